"""Promise 9: a moved project goes on from its new place; a copy touches nothing of its original."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.cli import main
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunFolderError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_beginning
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.scheduler import Local
from tests.end_to_end import programs
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records, wait_for_empty_queue
from tests.waiting import wait_until

N_LEARNERS, N_POINTS = 3, 10
RUN = Path("run-run")


@pytest.fixture
def project(here, monkeypatch):
    """Return the folder of a project, in which this process is."""
    folder = here / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def elsewhere(here):
    """Return a place for the project that does not exist yet."""
    return here / "other/place"


@pytest.fixture
def learners(ledger, gate):
    functions = [Noted(ledger.path, i, gate=gate) for i in range(N_LEARNERS)]
    return [adaptive.SequenceLearner(function, range(N_POINTS)) for function in functions]


@pytest.fixture
def finished(project, make_run, learners, gate):
    """Finish a run in the project."""
    gate.touch()
    run = go_on(make_run(learners))
    wait_for_empty_queue()  # else a job may still write its last line
    return run


@pytest.fixture
def left(project, make_run, learners, ledger):
    """Leave a run with two jobs that live; return their ids."""
    make_run(learners).start().detach()
    wait_until(lambda: len(ledger.jobs()) == 2)
    return living()


def go_on(run):
    if not run.is_started:
        run.start()
    run.wait(timeout=120)
    assert run.status() == "finished"
    return run


def living():
    return {job_id for job_id, job in Local().queue().items() if job["phase"] == "running"}


def move(project, elsewhere):
    elsewhere.parent.mkdir(exist_ok=True)
    project.rename(elsewhere)
    os.chdir(elsewhere)


def copy(project, elsewhere):
    shutil.copytree(project, elsewhere)
    os.chdir(elsewhere)


def run_id(folder):
    return read_beginning(folder / "journal.jsonl").run_id


def files_of(folder):
    """Return the files below a folder with what is in them."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def shown(command, *arguments, capsys):
    main([command, *map(str, arguments)])
    return capsys.readouterr().out


# Moved.


def test_a_finished_run_shows_itself_where_it_was_moved(finished, project, elsewhere, capsys):
    move(project, elsewhere)
    os.chdir("/")
    status = json.loads(shown("status", elsewhere / RUN, "--json", capsys=capsys))
    assert (status["status"], status["learners"]["done"]) == ("finished", N_LEARNERS)
    logs = shown("logs", elsewhere / RUN, capsys=capsys)
    assert "npoints" in logs
    assert str(elsewhere / RUN / "logs") in logs
    assert str(project) not in [line.split("/run-run")[0] for line in logs.splitlines()]
    run = RunManager.attach(elsewhere / RUN)
    run.load_learners()
    assert [learner.npoints for learner in run.learners] == [N_POINTS] * N_LEARNERS
    assert Path(run.get_database()["log_fname"][0]).exists()
    assert len(run.parse_log_files()) == N_LEARNERS
    assert not project.exists()


def test_a_moved_run_goes_on_where_it_is_with_its_id(finished, project, elsewhere):
    before = run_id(RUN)
    move(project, elsewhere)
    os.chdir("/")
    run = go_on(RunManager.attach(elsewhere / RUN, goal=lambda learner: learner.npoints >= 5))
    assert run_id(elsewhere / RUN) == before
    spec = RunSpec.read(elsewhere / RUN)
    assert (spec.standing, spec.project.folder) == (Standing.HERE, elsewhere)
    assert not project.exists()
    assert run.status() == "finished"


def test_a_run_that_was_left_goes_on_where_it_was_moved(left, project, elsewhere, ledger, gate):
    move(project, elsewhere)
    gate.touch()
    run = go_on(RunManager.attach(RUN))
    assert not project.exists()
    run.load_learners()
    assert [learner.npoints for learner in run.learners] == [N_POINTS] * N_LEARNERS
    assert sorted(path.name for path in (elsewhere / "data").iterdir()) == [
        f"{i}.pickle" for i in range(N_LEARNERS)
    ]


def test_jobs_that_wait_are_not_started_where_the_run_was(
    *, project, elsewhere, make_run, learners, gate, ledger
):
    make_run(learners, scheduler=Local(1, max_cores=1)).start().detach()
    wait_until(lambda: len(ledger.jobs()) == 1)
    move(project, elsewhere)
    gate.touch()
    go_on(RunManager.attach(RUN))
    assert not [gone for gone in records(events.JobGone) if gone.is_failed_start]
    assert not project.exists()


def test_absolute_names_in_the_project_and_initializers_move_along_twice(
    *, project, elsewhere, make_run, learners, gate, here
):
    gate.touch()
    names = [project / f"data/{i}.pickle" for i in range(N_LEARNERS)]
    initializers = [(here / "begun").touch] * N_LEARNERS
    go_on(make_run(learners, names, initializers=initializers))
    for place, n_points in ((elsewhere, N_POINTS), (here / "third", N_POINTS - 1)):
        move(Path.cwd(), place)
        (here / "begun").unlink()
        (place / "data/0.pickle").unlink()
        run = RunManager.attach(RUN, goal=lambda learner, n=n_points: learner.npoints >= n)
        go_on(run)
        assert run.fnames == [str(place / f"data/{i}.pickle") for i in range(N_LEARNERS)]
        assert (here / "begun").exists()
        assert (place / "data/0.pickle").exists()
    assert not project.exists()


def test_functions_of_a_module_in_the_project_are_found_where_it_was_moved(
    project, elsewhere, here
):
    (project / "of_the_user.py").write_text("def function(x):\n    return 2 * x\n")
    text = (
        "import adaptive, of_the_user\n"
        "from adaptive_scheduler import RunManager\n"
        "from adaptive_scheduler.scheduler import Local\n"
        "learner = adaptive.SequenceLearner(of_the_user.function, range(4))\n"
        "run = RunManager(Local(1), [learner], ['0.pickle'], job_name='run', quiet=True)\n"
        "run.start(); run.wait(); print(run.status())\n"
    )
    (project / "program.py").write_text(text)
    python = [programs.sys.executable]
    subprocess.run([*python, project / "program.py"], check=True, timeout=120)
    move(project, elsewhere)
    attach = (
        "from adaptive_scheduler import RunManager\n"
        f"run = RunManager.attach({str(elsewhere / RUN)!r}, goal=lambda l: l.done())\n"
        "run.wait(); run.load_learners(); print(run.status(), run.learners[0].npoints)\n"
    )
    words = subprocess.check_output([*python, "-c", attach], timeout=120, text=True, cwd=here)
    assert words.split() == ["finished", "4"]


def test_a_program_goes_on_with_a_run_that_was_moved_with_it(
    *, left, project, elsewhere, make_run, learners, gate
):
    before = run_id(RUN)
    move(project, elsewhere)
    gate.touch()
    go_on(make_run(learners))
    assert run_id(RUN) == before
    assert not project.exists()


def test_who_cancels_a_renamed_run_ends_nothing_of_a_new_one_of_its_name(
    *, finished, project, make_run, learners, gate, ledger, capsys
):
    RUN.rename("old-run")
    shutil.rmtree("data")
    gate.unlink()
    ledger.path.unlink()
    make_run(learners).start().detach()
    wait_until(lambda: len(ledger.jobs()) == 2)
    before = living(), (RUN / "journal.jsonl").read_bytes()
    assert "nothing to cancel" in shown("cancel", "old-run", capsys=capsys)
    assert (living(), (RUN / "journal.jsonl").read_bytes()) == before


def test_who_cancels_a_renamed_run_that_was_left_writes_into_its_own_journal(
    *, left, project, make_run, learners, gate, ledger, capsys
):
    RUN.rename("old-run")
    wait_for_empty_queue()  # the jobs see that their place is gone
    ledger.path.unlink()
    make_run(learners).start().detach()
    wait_until(lambda: len(ledger.jobs()) == 2)
    before = living(), (RUN / "journal.jsonl").read_bytes()
    assert "is cancelled" in shown("cancel", "old-run", capsys=capsys)
    assert (living(), (RUN / "journal.jsonl").read_bytes()) == before
    (ended,) = records(events.RunEnded, Path("old-run/journal.jsonl"))
    assert ended.status == "cancelled"


def test_a_waiting_job_of_a_renamed_run_does_not_join_a_new_one_of_its_name(
    *, project, here, make_run, learners, ledger, gate
):
    first = Noted(here / "other ledger", gate=here / "other gate")
    blocking = adaptive.SequenceLearner(first, range(2))
    one_core = Local(1, max_cores=1)
    make_run([blocking], ["blocking.pickle"], job_name="blocking", scheduler=one_core).start()
    wait_until((here / "other ledger").exists)
    old_run = make_run(learners, scheduler=one_core).start()
    wait_until(lambda: len(Local().queue()) == 1 + N_LEARNERS)
    waiting = Local().queue().keys() - living()
    old_run.detach()
    RUN.rename("old-run")
    gate.touch()
    run = make_run(learners, scheduler=one_core).start()
    (here / "other gate").touch()
    go_on(run)
    assert len(waiting) == N_LEARNERS
    assert not waiting & {record.job.job_id for record in records(events.Assigned)}
    assert not waiting & {entry.job_id for entry in ledger.begun()}


def test_only_the_user_can_say_that_a_run_was_moved_from_a_place_that_cant_be_looked_at(
    left, project, elsewhere, capsys, gate
):
    content = json.loads((RUN / "spec.json").read_text())
    content["file_system"] |= {"source": "server:/export", "mount": "/not here"}
    (RUN / "spec.json").write_text(json.dumps(content))
    move(project, elsewhere)
    assert json.loads(shown("status", RUN, "--json", capsys=capsys))["status"] == "unmanaged"
    with pytest.raises(RunFolderError, match=r"--moved.*two managers"):
        RunManager.attach(RUN)
    assert main(["pause", str(RUN)]) == 1
    assert "--moved" in capsys.readouterr().err
    assert "submit" in shown("pause", RUN, "--moved", capsys=capsys)
    run = RunManager.attach(RUN, moved=True)
    gate.touch()
    run.resume()
    go_on(run)


# Copied.


def test_a_copy_shows_itself(finished, project, elsewhere, capsys):
    copy(project, elsewhere)
    (elsewhere / "data/0.pickle").unlink()
    logs = shown("logs", RUN, capsys=capsys)
    assert str(elsewhere / RUN / "logs") in logs
    assert f"==> {project}" not in logs
    run = RunManager.attach(RUN)
    run.load_learners()
    assert [learner.npoints for learner in run.learners] == [0, N_POINTS, N_POINTS]


@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "retry"])
def test_a_copy_has_no_jobs_to_act_on(left, project, elsewhere, capsys, command):
    copy(project, elsewhere)
    original, ours = files_of(project / "run-run"), (RUN / "journal.jsonl").read_bytes()
    assert main([command, str(RUN)]) == 1
    assert f"a copy of the run in '{project / RUN}'" in capsys.readouterr().err
    assert living() == left
    assert (RUN / "journal.jsonl").read_bytes() == ours
    journal = project / RUN / "journal.jsonl"
    assert journal.read_bytes() == original[journal][0]


def test_who_attaches_a_copy_does_not_start_it(left, project, elsewhere, capsys):
    copy(project, elsewhere)
    before = files_of(elsewhere)
    run = RunManager.attach(RUN)
    assert not run.is_started
    assert "a copy of the run in" in shown("attach", RUN, capsys=capsys)
    assert files_of(elsewhere) == before
    assert living() == left


@pytest.mark.parametrize("way", ["program", "program that cleans up first", "attach"])
def test_a_copy_that_is_started_is_a_run_of_its_own(
    *, left, project, elsewhere, make_run, learners, gate, way
):
    copy(project, elsewhere)
    before = run_id(project / RUN)
    if way == "attach":
        run = RunManager.attach(RUN)
    else:
        run = make_run(learners, cleanup_first="cleans up" in way)
    run.start()
    assert run_id(RUN) not in ("", before)
    assert RunSpec.read(RUN).standing is Standing.HERE
    assert run_id(project / RUN) == before
    assert left <= living()
    assert not left & set(run.database_manager.state.jobs)
    run.cancel()
    assert left <= living()
    run.wait(timeout=60)
    gate.touch()
    go_on(run.start())
    original = go_on(RunManager.attach(project / RUN))
    assert original.run_folder.root == project / RUN
    assert run_id(project / RUN) == before


def test_what_is_done_stays_done_in_a_copy(finished, project, elsewhere, ledger):
    copy(project, elsewhere)
    n_evaluated = len(ledger.begun())
    go_on(RunManager.attach(RUN).start())
    assert len(ledger.begun()) == n_evaluated


def test_a_copy_refuses_to_write_into_files_of_its_original(
    *, project, elsewhere, here, make_run, learners, gate
):
    gate.touch()
    outside = here / "outside"
    names = [outside / f"{i}.pickle" for i in range(N_LEARNERS)]
    theirs = {
        "scheduler": Local(1, max_cores=2, log_folder=outside / "logs"),
        "db_fname": outside / "record.json",
    }
    go_on(make_run(learners, names, **theirs))
    wait_for_empty_queue()
    copy(project, elsewhere)
    before = files_of(here)
    for run in (RunManager.attach(RUN), make_run(learners, names, **theirs)):
        with pytest.raises(RunFolderError) as refused:
            run.start()
        for each in (*names, outside / "logs", outside / "record.json", "`db_fname`", "`fnames`"):
            assert str(each) in str(refused.value)
    assert files_of(here) == before
    own = [f"mine/{i}.pickle" for i in range(N_LEARNERS)]
    go_on(make_run(learners, own))  # no record is left that would know others
    assert {path: files_of(here)[path] for path in before if project in path.parents} == {
        path: content for path, content in before.items() if project in path.parents
    }


def test_a_copy_cleans_up_and_removes_its_own_files_only(
    *, finished, project, elsewhere, make_run, learners
):
    copy(project, elsewhere)
    before = files_of(project)
    RunManager.attach(RUN).cleanup(remove_old_logs_folder=True)
    assert not list((elsewhere / RUN / "logs").iterdir())
    removed = RunManager.attach(RUN).remove_existing_data()
    assert removed == [Path(f"data/{i}.pickle") for i in range(N_LEARNERS)]
    assert not list((elsewhere / "data").iterdir())
    assert files_of(project) == before
    make_run(learners).remove_existing_data()
    assert files_of(project) == before


def test_a_copy_neither_cleans_up_nor_removes_what_is_its_originals(
    *, project, elsewhere, here, make_run, learners, gate
):
    gate.touch()
    outside = here / "outside"
    names = [outside / f"{i}.pickle" for i in range(N_LEARNERS)]
    theirs = {
        "scheduler": Local(1, max_cores=2, log_folder=outside / "logs"),
        "db_fname": outside / "record.json",
        "move_old_logs_to": outside / "old logs",
    }
    go_on(make_run(learners, names, **theirs))
    wait_for_empty_queue()
    copy(project, elsewhere)
    before = files_of(here)
    for run in (RunManager.attach(RUN), make_run(learners, names, **theirs)):
        with pytest.raises(
            RunFolderError, match=r"is a copy of the run in .* can't clean up"
        ) as no:
            run.cleanup(remove_old_logs_folder=True)
        assert str(outside / "logs") in str(no.value)
        assert str(outside / "old logs") in str(no.value)
        for force in (False, True):
            with pytest.raises(RunFolderError, match="can't remove data") as no:
                run.remove_existing_data(force=force)
            for each in (*names, outside / "record.json"):
                assert str(each) in str(no.value)
    assert files_of(here) == before
    run = RunManager.attach(project / RUN)
    run.cleanup()
    assert run.remove_existing_data() == names


def test_a_copy_whose_data_is_a_link_to_its_originals_refuses_to_start(
    *, project, elsewhere, here, make_run, learners, gate
):
    gate.touch()
    (here / "scratch").mkdir()
    (project / "data").symlink_to(here / "scratch")
    go_on(make_run(learners))
    wait_for_empty_queue()
    shutil.copytree(project, elsewhere, symlinks=True)
    os.chdir(elsewhere)
    before = files_of(here)
    for run in (RunManager.attach(RUN), make_run(learners)):
        with pytest.raises(RunFolderError, match=rf"{elsewhere}/data/0\.pickle"):
            run.start()
        with pytest.raises(RunFolderError, match=rf"{elsewhere}/data/0\.pickle"):
            run.remove_existing_data()
    assert files_of(here) == before


def test_a_run_folder_that_was_copied_alone_has_the_data_of_its_original(finished, make_run):
    shutil.copytree(RUN, "copy-run")
    with pytest.raises(RunFolderError, match=r"data/0\.pickle.*`overwrite_db=True`"):
        RunManager.attach("copy-run").start()


def test_a_copied_program_does_not_go_on_with_a_run_folder_that_was_not_copied(
    *, project, elsewhere, here, make_run, learners, gate
):
    gate.touch()
    go_on(make_run(learners, folder=here / "runs"))
    copy(project, elsewhere)
    with pytest.raises(RunFolderError, match=r"holds the run of the project in .*/project'"):
        make_run(learners, folder=here / "runs").start()
    shutil.rmtree(project)  # it was moved, then
    go_on(make_run(learners, folder=here / "runs"))


# One folder under two paths.


def test_a_run_under_another_path_is_the_run_itself(left, project, here, gate, capsys):
    (here / "link").symlink_to(project)
    before = run_id(RUN)
    os.chdir("/")
    gate.touch()
    run = RunManager.attach(here / "link/run-run")
    assert left & set(run.database_manager.state.jobs) or run.database_manager.n_done()
    go_on(run)
    assert run_id(project / RUN) == before


_UNDER_A_BIND_MOUNT = """
mkdir mount && mount --bind project mount && export MOUNTED=$PWD/mount
cd / && exec "$@"
"""


def test_a_run_under_a_bind_mount_is_the_run_itself(left, project, here):
    """The mount is made in a namespace of its own, so that nothing of it stays."""
    before = run_id(RUN)
    program = (
        "import os, sys\n"
        "from adaptive_scheduler.cli import main\n"
        "from adaptive_scheduler.run_folder.spec import RunSpec\n"
        "folder = os.environ['MOUNTED'] + '/run-run'\n"
        "print(RunSpec.read(folder).standing.name)\n"
        "sys.exit(main(['cancel', folder]))\n"
    )
    shell = ["unshare", "--mount", "sh", "-ec", _UNDER_A_BIND_MOUNT, "sh"]
    command = [*shell, programs.sys.executable, "-c", program]
    words = subprocess.check_output(command, timeout=60, text=True, cwd=here)
    assert words.startswith("HERE\n")
    assert "are being cancelled" in words
    wait_for_empty_queue()
    assert run_id(RUN) == before
    assert not left & living()
    assert not list((here / "mount").iterdir())


def test_looked_at_runs_refuse_commands_of_a_copy_as_shells_do(left, project, elsewhere):
    from adaptive_scheduler.server_support.remote import open_run

    copy(project, elsewhere)
    with pytest.raises(AdaptiveSchedulerError, match="a copy of the run in"):
        open_run(RUN).command("cancel")
    assert living() == left
