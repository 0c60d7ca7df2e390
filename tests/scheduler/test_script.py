"""A job script sets the environment and becomes the job's program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import SLURM, JobVariables, Local, Resources, script
from adaptive_scheduler.scheduler.script import check_warning, render_script, warning_time
from tests.scheduler.contract import ODD_NAMES
from tests.waiting import PATIENCE

pytestmark = pytest.mark.system

VARIABLES = JobVariables(job_id="${SOME_ID}_$SOME_INDEX", number="$SOME_INDEX", restarts="${N:-0}")

#: Stands for Python: says what it was called with and what it finds.
SAYS_ALL = """\
#!{python}
import json, os, sys
print(json.dumps({{"arguments": sys.argv[1:], "pid": os.getpid(), "environ": dict(os.environ)}}))
"""


def render(resources=None, *, head=(), python="/opt/py thon/bin/python", **options):
    return render_script(
        head=list(head),
        variables=VARIABLES,
        resources=resources or Resources(),
        python_executable=python,
        options=options,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs a script and tells what the program in it saw."""
    folder = tmp_path_factory.mktemp("script")
    python = folder / "py 'thon' $x"
    python.write_text(SAYS_ALL.format(python=sys.executable))
    python.chmod(0o755)

    def run(resources=None, **options):
        script = folder / "job.sh"
        script.write_bytes(os.fsencode(render(resources, python=str(python), **options)))
        process = subprocess.Popen(
            [shutil.which("bash"), script],
            env={"SOME_ID": "12", "SOME_INDEX": "3"},
            stdout=subprocess.PIPE,
        )
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        return json.loads(said) | {"script_pid": process.pid}

    return run


def test_the_program_gets_its_options_and_who_it_is(run):
    seen = run(run_folder="/a/b", save_interval=300)
    assert seen["arguments"] == [
        "-m",
        "adaptive_scheduler.run_learner",
        "--run-folder=/a/b",
        "--save-interval=300",
        "--job-id=12_3",
        "--number=3",
        "--restarts=0",
    ]


def test_the_program_takes_the_place_of_the_shell(run):
    seen = run()
    assert seen["pid"] == seen["script_pid"]


@pytest.mark.parametrize("value", [*ODD_NAMES, "", "-5", "--x", "tab\t", "\udcff", "!", "~", "a=b"])
def test_a_value_arrives_as_it_is(run, value):
    assert f"--path={value}" in run(path=value)["arguments"]


@settings(max_examples=30)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_text_arrives_as_it_is(run, text):
    assert f"--path={text}" in run(path=text)["arguments"]


def test_an_option_that_is_none_is_left_out(run):
    assert not any("goal" in argument for argument in run(goal=None)["arguments"])


def test_what_no_program_can_be_given_is_refused():
    with pytest.raises(InvalidInputError, match="NUL"):
        render(path="a\0b")


def test_each_evaluation_may_use_its_threads_and_no_more(run):
    environ = run(Resources(num_threads=3))["environ"]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        assert environ[name] == "3"


def test_variables_of_the_user_are_exported_and_expanded_as_in_a_shell(run):
    resources = Resources(extra_env_vars=("A='b c'", "B=$SOME_ID", "OMP_NUM_THREADS=7"))
    environ = run(resources)["environ"]
    assert (environ["A"], environ["B"], environ["OMP_NUM_THREADS"]) == ("b c", "12", "7")


def test_lines_of_the_user_run_before_the_program(run):
    resources = Resources(extra_env_vars=("A=1",), extra_script="B=$A\nexport B\n")
    assert run(resources)["environ"]["B"] == "1"


def test_the_schedulers_lines_come_right_after_the_first():
    script = render(head=["#SBATCH --ntasks=1", "#SBATCH --mem=2G"])
    assert script.startswith("#!/bin/bash\n#SBATCH --ntasks=1\n#SBATCH --mem=2G\n")


def test_equal_resources_give_equal_scripts():
    assert render(Resources(cores=2), a=1) == render(Resources(cores=2), a=1)


@pytest.mark.parametrize(
    ("limit", "wanted", "seconds"),
    [
        (36_000, None, 60),
        (100, None, 10),
        (5, None, 0),
        (None, None, 0),
        (36_000, 300, 300),
        (36_000, 0, 0),
        (None, 30.9, 30),
    ],
)
def test_a_warning_comes_a_minute_before_the_end_but_costs_short_jobs_little(
    limit, wanted, seconds
):
    assert warning_time(limit, wanted) == seconds


@pytest.mark.parametrize("seconds", [None, 0, 60, 0.5, 65_535])
def test_these_are_warnings(seconds):
    check_warning(seconds)


@pytest.mark.parametrize("seconds", [-1, 65_536, True, "60", float("nan")])
def test_these_are_none_and_the_error_says_so(seconds):
    with pytest.raises(InvalidInputError, match="signal_before_end"):
        check_warning(seconds)


def last_lines(scheduler):
    return scheduler.job_script({"run_folder": "/f"}).partition("\nexec ")[2]


@pytest.fixture
def mpi(monkeypatch):
    def pretend(version):
        monkeypatch.setattr(script, "_mpi_version", lambda _python: version)

    return pretend


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("MPICH Version: 5.0.2", "--mpi=pmi2"),
        ("Intel(R) MPI Library 2021.13", "--mpi=pmi2"),
        ("Open MPI v5.0.8", "--mpi=pmix"),
    ],
)
def test_srun_speaks_what_the_installed_mpi_understands(mpi, version, option):
    mpi(version)
    lines = last_lines(SLURM(nodes=2, cores_per_node=2, executor_type="mpi4py"))
    assert lines.startswith(f"srun {option} ")
    assert " -n 4 " in lines


def test_an_unknown_mpi_is_left_to_the_site(mpi):
    mpi("")
    lines = last_lines(SLURM(nodes=2, cores_per_node=2, executor_type="mpi4py"))
    assert "--mpi" not in lines.partition("\n")[0]


def test_what_the_user_names_is_taken_with_its_options():
    scheduler = SLURM(
        nodes=2, cores_per_node=2, executor_type="mpi4py", mpiexec_executable="my run --mpi=x"
    )
    assert last_lines(scheduler).startswith("my run --mpi=x -n 4 ")


def test_the_mpiexec_beside_python_is_preferred(tmp_path):
    assert script.local_mpiexec(str(tmp_path / "python")) == ["mpiexec"]
    (tmp_path / "mpiexec").touch()
    assert script.local_mpiexec(str(tmp_path / "python")) == [str(tmp_path / "mpiexec")]
    (tmp_path / "mpiexec.hydra").touch()
    assert script.local_mpiexec(str(tmp_path / "python"))[0].endswith("hydra")


@pytest.mark.parametrize("name", ["process-pool", "loky", "sequential"])
def test_all_else_is_started_once_and_plainly(name):
    scheduler = Local(cores=2, executor_type=name)
    assert scheduler.launch(Resources(cores=2, executor_type=name)) == script.Launch()
    assert " -m adaptive_scheduler.run_learner" in last_lines(scheduler).partition("\n")[0]
