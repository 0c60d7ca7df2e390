"""Programs written for 2.17 call the same names with the same arguments.

Each line is the parameter list of a name of release 2.17.2, with the defaults that it
has now. More parameters may follow, if they have defaults.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from inspect import Parameter

import pytest

_ANY_SCHEDULER = """python_executable=None, log_folder='', mpiexec_executable=None,
    executor_type='process-pool', num_threads=1, extra_scheduler=None, extra_env_vars=None,
    extra_script=None, batch_folder=''"""
_ANY_RUN = """goal=None, check_goal_on_start=True, runner_kwargs=None, url=None,
    job_manager_interval=60, kill_interval=60, kill_on_error='srun: error:', overwrite_db=False,
    job_manager_kwargs=None, kill_manager_kwargs=None, loky_start_method='loky',
    dataframe_format='pickle', max_log_lines=500, max_simultaneous_jobs=100"""
_RUN = f"""{_ANY_RUN}, save_interval=300, log_interval=300, max_fails_per_job=50,
    dependencies=None, initializers=None, quiet=False"""
_WISHES = """partition=None, nodes=1, cores_per_node={}, memory=None, num_threads=1,
    exclusive=False, executor_type='process-pool', extra_scheduler=None, extra_env_vars=None"""
_OVER_ALL = "extra_run_manager_kwargs=None, extra_scheduler_kwargs=None"

SIGNATURES = {
    "scheduler": {
        "SLURM": f"""*, cores=None, nodes=None, cores_per_node=None, partition=None, memory=None,
            exclusive=False, {_ANY_SCHEDULER}""",
        "PBS": f"cores, *, cores_per_node=None, {_ANY_SCHEDULER}",
        "LocalMockScheduler": f"cores=1, *, mock_scheduler_kwargs=None, {_ANY_SCHEDULER}",
        "BaseScheduler": f"cores, *, {_ANY_SCHEDULER}",
        "BaseScheduler.queue": "self, *, me_only=True",
        "BaseScheduler.queue_df": "self",
        "BaseScheduler.cancel": "self, job_names, *, with_progress_bar=True, max_tries=5",
        "BaseScheduler.job_script": "self, options=None, *, index=None",
        "BaseScheduler.write_job_script": "self, name, options, index=None",
        "BaseScheduler.start_job": "self, name, *, index=None",
        "BaseScheduler.batch_fname": "self, name",
        "BaseScheduler.log_fname": "self, name",
        "BaseScheduler.output_fnames": "self, name",
        "BaseScheduler.job_names_to_job_ids": "self, *job_names",
        "BaseScheduler.extra_scheduler": "self, *, index=None",
        "BaseScheduler.extra_env_vars": "self, *, index=None",
        "BaseScheduler.extra_script": "self, *, index=None",
        "BaseScheduler.sanatize_job_id": "self, job_id",
        "SLURM.cancel_jobs": "name, *, dry=False",
        "slurm_partitions": "*, timeout=5, with_ncores=True",
    },
    "server_support": {
        "RunManager": f"""scheduler, learners, fnames, *, job_name='adaptive-scheduler',
            move_old_logs_to='old_logs', db_fname=None, cleanup_first=False,
            save_dataframe=False, {_RUN}""",
        "RunManager.start": "self, wait_for=None",
        "RunManager.cancel": "self",
        "RunManager.cleanup": "self, *, remove_old_logs_folder=False",
        "RunManager.status": "self",
        "RunManager.elapsed_time": "self",
        "RunManager.info": "self, format='widget'",
        "RunManager.parse_log_files": "self, *, only_last=True",
        "RunManager.get_database": "self",
        "RunManager.load_learners": "self",
        "RunManager.load_dataframes": "self",
        "RunManager.remove_existing_data": "self, *, move_to=None, force=False",
        "RunManager.job_starting_times": "self",
        "RunManager.task_status": "self",
        "slurm_run": f"""learners, fnames, *, name='adaptive-scheduler', folder='',
            {_WISHES.format(None)}, {_RUN}, cleanup_first=True, save_dataframe=True,
            {_OVER_ALL}""",
        "DatabaseManager": """url, scheduler, db_fname, learners, fnames, *, dependencies=None,
            overwrite_db=False, initializers=None, with_progress_bar=True""",
        "DatabaseManager.start": "self",
        "DatabaseManager.cancel": "self",
        "DatabaseManager.update": "self, queue=None",
        "DatabaseManager.n_done": "self",
        "DatabaseManager.n_unscheduled": "self",
        "DatabaseManager.is_done": "self",
        "DatabaseManager.as_dicts": "self",
        "DatabaseManager.as_df": "self",
        "DatabaseManager.replace_learner": "self, index, new_learner",
        "JobManager": """job_names, database_manager, scheduler, interval=30, *,
            max_simultaneous_jobs=100, max_fails_per_job=50, save_dataframe=True,
            dataframe_format='pickle', loky_start_method='loky', log_interval=60,
            save_interval=300, runner_kwargs=None, goal=None""",
        "JobManager.start": "self",
        "JobManager.cancel": "self",
        "JobManager.trigger": "self",
        "KillManager": """scheduler, database_manager, *, error='srun: error:', interval=600,
            max_cancel_tries=5, move_to=None""",
        "KillManager.start": "self",
        "KillManager.cancel": "self",
        "MultiRunManager": "run_managers=None",
        "MultiRunManager.add_run_manager": "self, run_manager, *, start=False, wait_for=None",
        "MultiRunManager.remove_run_manager": "self, name",
        "MultiRunManager.start_all": "self",
        "MultiRunManager.cancel_all": "self",
        "MultiRunManager.info": "self",
        "MultiRunManager.display": "self",
        "start_one_by_one": "*run_managers, goal=None, interval=120",
        "get_allowed_url": "",
        "parse_log_files": "database_manager, scheduler, *, only_last=True",
        "cleanup_scheduler_files": "job_names, scheduler, *, with_progress_bar=True, move_to=None",
        "logs_with_string_or_condition": "error, database_manager",
        "periodically_clean_ipython_profiles": "scheduler, interval=600",
        "BaseManager.start": "self",
        "BaseManager.cancel": "self",
    },
    "futures": {
        "SlurmExecutor": f"""name='adaptive-scheduler', folder=None, {_WISHES.format(1)}, *,
            {_ANY_RUN}, save_interval=10, log_interval=60, max_fails_per_job=5,
            cleanup_first=True, save_dataframe=False, quiet=True, size_per_learner=None,
            {_OVER_ALL}""",
        "SlurmExecutor.submit": "self, fn, /, *args",
        "SlurmExecutor.map": "self, fn, *iterables",
        "SlurmExecutor.finalize": "self, *, start=True",
        "SlurmExecutor.new": "self, update=None",
        "SlurmExecutor.shutdown": "self, wait=True",
        "SlurmExecutor.cleanup": "self",
    },
    "client_support": {
        "get_learner": "url, log_fname, job_id, job_name",
        "tell_done": "url, fname",
        "log_info": "runner, interval=300",
        "log_now": "runner, npoints_start",
        "add_log_file_handler": "log_fname",
        "args_to_env": "args, prefix='ADAPTIVE_SCHEDULER_'",
    },
    "utils": {
        "shuffle_list": "*lists, seed=0",
        "hash_anything": "x",
        "split": "seq, n_parts",
        "round_sigfigs": "num, sig_figs",
        "maybe_round": "x, sig_figs",
        "split_in_balancing_learners": "learners, fnames, n_parts, strategy='npoints'",
        "split_sequence_learner": "big_learner, n_learners, folder=''",
        "split_sequence_in_sequence_learners": "function, sequence, n_learners, folder=''",
        "combine_sequence_learners": "learners, big_learner=None",
        "copy_from_sequence_learner": "learner_from, learner_to",
        "combo2fname": "combo, folder=None, ext='.pickle', sig_figs=8",
        "combo_to_fname": "combo, folder=None, ext='.pickle'",
        "add_constant_to_fname": """combo, constant, *, folder=None, ext='.pickle',
            sig_figs=8""",
        "load_parallel": "learners, fnames, *, with_progress_bar=True, max_workers=None",
        "save_parallel": "learners, fnames, *, with_progress_bar=True",
        "fname_to_learner": "fname, *, return_initializer=False",
        "fname_to_learner_fname": "fname",
        "cloudpickle_learners": """learners, fnames, *, initializers=None,
            with_progress_bar=False, empty_copies=True""",
        "fname_to_dataframe": "fname, format='pickle'",
        "save_dataframe": """fname, *, format='pickle', save_kwargs=None, expand_dicts=True,
            atomically=True, **to_dataframe_kwargs""",
        "load_dataframes": "fnames, *, concat=True, read_kwargs=None, format='pickle'",
        "expand_dict_columns": "df",
        "atomic_write": "dest, mode='w', *args, return_path=False, **kwargs",
        "smart_goal": "goal, learners",
        "connect_to_ipyparallel": "n, profile, timeout=300, folder=None, client_kwargs=None",
        "LRUCachedCallable": "function, *, max_size=128, with_cloudpickle=False",
        "shared_memory_cache": "cache_size=128",
        "WrappedFunction": "function, *, mode='random_id'",
        "track_file_creation_progress": "paths_dict, interval=1",
        "sleep_unless_task_is_done": "task, sleep_duration, trigger_event=None",
        "log_exception": "log, msg, exception",
        "add_timing_to_object": """obj, timing_dict=None, *, include_private=True,
            include_magic=False, print_times=True, print_cutoff=0.01""",
    },
    "widgets": {
        "info": """run_manager, *, display_widget=True,
            disable_widgets_output_scrollbar=True""",
        "log_explorer": "run_manager",
        "queue_widget": "scheduler",
        "database_widget": "run_manager",
        "results_widget": "fnames, dataframe_format",
        "RunManagerInfo.from_run_manager": "run_manager, *, parse_log_files=True",
    },
}
ATTRIBUTES = {
    "scheduler.BaseScheduler": "launcher single_job_script",
    "scheduler.SLURM": "ext submit_cmd partitions",
    "scheduler.PBS": "ext submit_cmd",
    "server_support.RunManager": "is_started",
    "server_support.DatabaseManager": "failed",
    "server_support.JobManager": "max_job_starts n_started",
    "futures.SlurmTask": "result exception cancel done running __await__",
}


def found(module, name):
    thing = import_module(f"adaptive_scheduler.{module}")
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def parameters_of(text):
    """Parse a parameter list as Python does."""
    signature = inspect.signature(eval(f"(lambda {text}: None)"))
    return list(signature.parameters.values())


def may_be_given(parameter):
    """Return how a caller may give an argument: by its place, by its name, or both."""
    return {
        Parameter.POSITIONAL_ONLY: {"place"},
        Parameter.POSITIONAL_OR_KEYWORD: {"place", "name"},
        Parameter.KEYWORD_ONLY: {"name"},
    }.get(parameter.kind, {"many"})


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in SIGNATURES for name in SIGNATURES[module]]
)
def test_a_name_takes_what_it_took_in_release_2(module, name):
    expected = parameters_of(SIGNATURES[module][name])
    actual = list(inspect.signature(found(module, name)).parameters.values())
    by_name = {parameter.name: (i, parameter) for i, parameter in enumerate(actual)}
    for place, parameter in enumerate(expected):
        assert parameter.name in by_name
        its_place, its_own = by_name.pop(parameter.name)
        assert may_be_given(parameter) <= may_be_given(its_own)
        assert its_own.default == parameter.default
        if "place" in may_be_given(parameter):
            assert its_place == place
    optional = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    required = [
        new.name
        for _, new in by_name.values()
        if new.default is Parameter.empty and new.kind not in optional
    ]
    assert not required


@pytest.mark.parametrize("owner", ATTRIBUTES)
def test_attributes_have_kept_their_names(owner):
    missing = set(ATTRIBUTES[owner].split()) - set(dir(found(*owner.split("."))))
    assert not missing


def test_the_package_itself_offers_what_it_did():
    names = """PBS SLURM RunManager MultiRunManager SlurmExecutor SlurmTask slurm_run
        start_one_by_one client_support scheduler server_support utils __version__"""
    package = import_module("adaptive_scheduler")
    assert [name for name in names.split() if not hasattr(package, name)] == []
