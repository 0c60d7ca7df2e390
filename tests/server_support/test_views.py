"""A run shows the same, whether its manager is asked or its folder is read."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from adaptive_scheduler.errors import AdaptiveSchedulerError, InvalidInputError
from adaptive_scheduler.learners.pack import write_pack
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal
from adaptive_scheduler.run_folder.lock import RunFolderLock
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.server_support.folder_view import FolderView
from adaptive_scheduler.server_support.info import THIS_PROCESS, as_text
from adaptive_scheduler.version import __version__
from tests.widgets.fake_run import FakeRun


class WrittenRun(FakeRun):
    """A run that is played in memory, with the folder that it would have on disk."""

    def __init__(self, tmp_path, **keywords):
        super().__init__(tmp_path, **keywords)
        folder = self.run_folder
        folder.create()
        spec = RunSpec(
            run_id="0" * 16,
            job_name=self.job_name,
            run_folder=folder,
            n_learners=len(self.learners),
            max_fails_per_job=self.manager.state.learners.max_fails,
        )
        folder.spec.write_bytes(spec.to_json())
        write_pack(folder.pack, self.learners, self.fnames)
        self.lock = RunFolderLock(folder)
        self.lock.acquire()
        self.n_written = 0
        now, version = self.manager.now, __version__
        began = events.RunBegan(
            time=now,
            format=events.FORMAT,
            run_id="0" * 16,
            version=version,
            n_learners=len(self.learners),
            fnames_digest="x",
        )
        self.manager.record.append(began)
        self.manager.record.append(
            events.ManagerStarted(time=now, host="here", pid=os.getpid(), version=version)
        )
        self.write()

    def write(self):
        """Write what has happened since the last time: records, and logs of the jobs."""
        journal = Journal(self.run_folder.journal)
        for record in self.manager.journal[self.n_written :]:
            journal.append(record)
        journal.flush()
        journal.close()
        self.n_written = len(self.manager.journal)
        for entry in self.manager.state.learners:
            if entry.log_fname and (figures := self.manager.handler.figures.get(entry.index)):
                line = {"event": "current status", "learner": entry.index, **figures}
                with Path(entry.log_fname).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


@pytest.fixture
def run(tmp_path):
    run = WrittenRun(tmp_path, max_fails=2)
    yield run
    run.lock.release()


@pytest.fixture(params=["live", "folder"])
def look(request, run):
    """Return a function that returns the view of the run, which knows all that has happened."""
    views = {}

    def view():
        run.write()
        if request.param == "live":
            return run.view
        if "folder" not in views:
            views["folder"] = FolderView(run.run_folder.root)
        return views["folder"]

    return view


# Both.


def test_learners_jobs_and_figures_are_told(run, look):
    first, second = run.job(0), run.job(1)
    first.status(**{"npoints": 50, "npoints/s": 5.0, "latest_loss": 0.5, "cpu_usage": 90.0})
    second.status(**{"npoints": 30, "npoints/s": 1.0, "latest_loss": 0.1, "mem_usage": 2.0})
    info = look().info()
    assert (info.name, info.folder) == ("sweep", str(run.run_folder.root))
    assert (info.status, info.is_paused, info.counts) == (
        "running",
        False,
        {"running": 2, "ready": 1},
    )
    assert (info.jobs_running, info.jobs_pending) == (2, 0)
    assert (info.npoints, info.rate, info.loss) == (80, 6.0, 0.3)
    assert (info.cpu, info.memory) == (90.0, 2.0)
    assert abs(info.as_of - time.time()) < 60
    first.done(npoints=100)
    info = look().info()
    assert (info.n_done, info.n_running, info.npoints) == (1, 1, 130)
    assert info.rate == 1.0


def test_failures_and_troubles_are_told_those_given_up_first(run, look):
    jobs = [run.job(number) for number in range(3)]
    jobs[2].failed(error="ValueError: once")
    jobs[1].failed(error="ValueError: first")
    run.manager.now += 1e6
    run.manager.state.end_pauses(1e12)
    run.job(1).failed(error="ValueError: last")
    jobs[0].send(messages.Status(jobs[0].identity, jobs[0].holding, {}, "the disk is full"))
    info = look().info()
    assert [str(failure) for failure in info.failures] == [
        "failed 2 times, given up: ValueError: last",
        "failed once, will be tried again: ValueError: once",
    ]
    assert info.learner_troubles == {0: "the disk is full"}


def test_only_learners_that_have_changed_are_read_again(run, look):
    new = look().rows()
    assert sorted(row.index for row in new.rows) == [0, 1, 2]
    assert {row.state for row in new.rows} == {"ready"}
    job = run.job(1)
    new = look().rows(new.version)
    assert [(row.index, row.state, row.attempt) for row in new.rows] == [(1, "running", 1)]
    assert [row.index for row in look().rows(new.version).rows] == []
    job.status(npoints=7)
    run.job(2)
    newer = look().rows(new.version)
    assert {row.index for row in newer.rows} == {1, 2}
    assert {row.index for row in look().rows(new.version).rows} == {1, 2}  # whoever else asks
    assert len(look().rows().rows) == 3


def test_a_learner_is_told_with_its_job(run, look):
    job = run.job(1)
    job.status(npoints=25, latest_loss=0.5, cpu_usage=80.0, mem_usage=1.5)
    row = look().learner(1)
    assert (row.index, row.state, row.npoints, row.loss) == (1, "running", 25, 0.5)
    assert (row.job_id, row.job_name, row.host, row.attempt) == ("1", "sweep-1", "node1", 1)
    assert (row.cpu, row.memory) == (80.0, 1.5)
    assert row.log == run.run_folder.log_of("sweep-1", "1")
    assert row.output == run.run_folder.output_of("sweep-1", "1")
    job.failed(error="ValueError: no", traceback="Traceback ...")
    row = look().learner(1)
    assert (row.state, row.fails) == ("ready", 1)
    assert (row.error, row.traceback) == ("ValueError: no", "Traceback ...")
    for index in (-1, 3):
        with pytest.raises(InvalidInputError, match="0 to 2"):
            look().learner(index)


def test_whatever_a_job_tells_is_no_more_than_unknown(run, look):
    run.job(0).status(npoints="many", latest_loss=True, cpu_usage=None)
    row = look().learner(0)
    assert (row.npoints, row.loss, row.cpu) == (None, None, None)
    assert look().info().npoints == 0


def test_jobs_are_told(run, look):
    run.job(0)
    run.manager.submit(2, token="late")
    jobs = {job.job_id: job for job in look().jobs()}
    assert jobs.keys() == {"0", "2"}
    assert (jobs["0"].job_name, jobs["0"].learner) == ("sweep-0", 0)
    assert (jobs["2"].learner, jobs["2"].started) == (None, None)
    assert (look().info().jobs_running, look().info().jobs_pending) == (1, 1)


def test_attempts_and_what_their_jobs_write_are_told(run, look):
    run.job(1).failed(error="ValueError: no")
    run.job(1)
    attempts = look().attempts(1)
    assert [(a.number, a.outcome) for a in attempts] == [(1, "failed"), (2, "running")]
    path = attempts[0].output
    path.write_text("one\ntw")
    new = look().log_lines(path)
    assert new.lines == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    assert look().log_lines(path, new.position).lines == ["two"]


def test_a_pause_and_the_end_are_told(run, look):
    run.job(0).status(**{"npoints": 5, "npoints/s": 1.0, "cpu_usage": 90.0})
    run.manager.record.append(events.Paused(time=run.manager.now))
    assert look().info().is_paused
    run.manager.record.append(events.RunEnded(time=run.manager.now, status="cancelled"))
    run.state_word = "cancelled"
    info = look().info()
    assert (info.status, info.is_over, info.npoints) == ("cancelled", True, 5)
    assert (info.jobs_running, info.rate, info.cpu, info.time_left) == (0, 0.0, None, None)


def test_data_files_are_told(run, look):
    del run
    fnames = look().fnames
    assert [fname.given for fname in fnames] == ["0.pickle", "1.pickle", "2.pickle"]
    assert fnames[1].paths == (Path.cwd() / "1.pickle",)


def test_both_tell_the_same(run):
    jobs = [run.job(number) for number in range(3)]
    jobs[0].status(**{"npoints": 50, "npoints/s": 5.0, "latest_loss": 0.5})
    jobs[1].failed(error="ValueError: no")
    jobs[2].done(npoints=9, latest_loss=0.25)
    run.write()
    run.monitor.sample()
    run.monitor.history.write(run.run_folder.history)
    live, folder = run.view, FolderView(run.run_folder.root)
    unlike = {
        "as_of": 0.0,
        "manager": "",
        "elapsed_time": 0.0,
        "core_hours": 0.0,
        "time_left": None,
    }
    assert replace(live.info(), **unlike) == replace(folder.info(), **unlike)

    def rows(view):
        # What part of its goal a learner has reached, only who knows the goal can tell.
        rows = view.rows().rows
        return {row.index: replace(row, seen=None, share=None, loss=None) for row in rows}

    assert rows(live) == rows(folder)
    assert live.jobs() == folder.jobs()


# The live run.


def test_a_run_of_this_process_is_managed_by_it(run):
    info = run.view.info()
    assert info.manager == THIS_PROCESS
    assert "managed" not in as_text(info)


@pytest.mark.parametrize(
    ("command", "learners", "call", "words"),
    [
        ("cancel", None, "cancel", "The run is cancelled. Its jobs save and end;"),
        ("cancel", [0, 2], ("cancel", [0, 2]), "2 learners cancelled;"),
        ("retry", [1], ("retry", [1]), "2 learners will be tried again."),
    ],
)
def test_commands_reach_the_manager(run, command, learners, call, words):
    assert run.view.command(command, learners).startswith(words)
    assert run.calls == [call]


def test_a_run_that_is_started_again_is_told_anew(run, tmp_path):
    new = run.view.rows()
    other = FakeRun(tmp_path / "other")
    other.job(2)
    run.database_manager, run.monitor = other.database_manager, other.monitor
    states = {row.index: row.state for row in run.view.rows(new.version).rows}
    assert states == {0: "ready", 1: "ready", 2: "running"}


# The folder.


def unmanaged(run):
    """Return the view of a run that nobody manages any more."""
    run.write()
    run.lock.release()
    return FolderView(run.run_folder.root)


def test_who_manages_a_run_and_as_of_when_it_is_told_is_said(run):
    view = FolderView(run.run_folder.root)
    assert f"managed by process {os.getpid()} on " in as_text(view.info())
    run.lock.release()
    long_ago = time.time() - 3600
    for path in (run.run_folder.journal, run.run_folder.lock):
        os.utime(path, (long_ago, long_ago))
    info = view.info()
    assert (info.status, info.manager) == ("unmanaged", "")
    assert info.as_of == pytest.approx(long_ago, abs=1)
    assert "nobody manages it now; as of 20" in as_text(info)


def test_what_jobs_have_left_in_the_outbox_is_told_and_not_twice(run):
    job = run.job(0)
    view = unmanaged(run)
    seen = view.rows()
    done = messages.Done(job.identity, job.holding, {"npoints": 99, "latest_loss": 0.5})
    Outbox(run.run_folder.outbox).put(done)
    (row,) = view.rows(seen.version).rows
    assert (row.state, row.npoints, row.loss) == ("done", 99, 0.5)
    assert view.info().npoints == 99
    job.done(npoints=99, latest_loss=0.5)  # the next manager has read it
    for path in run.run_folder.outbox.glob("*.json"):
        path.unlink()
    run.write()
    info = view.info()
    assert (info.n_done, info.n_ready, info.npoints) == (1, 2, 99)


def test_a_job_that_has_claimed_a_learner_by_itself_is_told(run):
    run.manager.submit(1, token="t")
    view = unmanaged(run)
    attempt, me = messages.Attempt(1, 1), messages.JobIdentity("1")
    hello = messages.Hello(me, "sweep-1", 1, "node7", 9, "/log", attempt)
    Outbox(run.run_folder.outbox).claim(attempt, hello)
    row = view.learner(1)
    assert (row.state, row.host) == ("running", "node7")


def test_a_journal_that_was_compacted_is_told_as_before(run):
    run.job(0).failed()
    run.job(1).done(npoints=3)
    run.write()
    view = FolderView(run.run_folder.root)
    before = view.info()
    records, _ = run.manager.compacted()
    journal = Journal(run.run_folder.journal)
    journal.compact(records)
    journal.close()
    after = view.info()
    unlike = {"as_of": 0.0, "elapsed_time": 0.0}
    assert replace(after, **unlike) == replace(before, **unlike)


def test_who_only_looks_changes_nothing(run):
    view = FolderView(run.run_folder.root)
    with pytest.raises(AdaptiveSchedulerError, match="only looked at"):
        view.command("pause")
    told = []
    view = FolderView(run.run_folder.root, lambda *words: told.append(words) or "Paused.")
    assert view.command("pause") == "Paused."
    assert told == [("pause", None)]


def test_of_many_logs_a_part_is_read_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr("adaptive_scheduler.server_support.folder_view._LOGS_AT_ONCE", 2)
    run = WrittenRun(tmp_path, n_learners=5)
    for number in range(5):
        run.job(number).status(npoints=10)
    run.write()
    view = FolderView(run.run_folder.root)  # looks once, too
    assert [view.info().npoints for _ in range(3)] == [40, 50, 50]
    run.lock.release()


def test_a_run_that_has_not_begun_shows_its_learners(run_folder):
    spec = RunSpec(run_folder=run_folder, n_learners=3, dependencies={1: [0], 2: [1]})
    run_folder.spec.write_bytes(spec.to_json())
    view = FolderView(run_folder.root)
    assert [view.learner(i).state for i in range(3)] == ["ready", "waiting", "waiting"]


def test_a_folder_that_was_copied_or_moved_is_shown_by_its_own_logs(run, tmp_path):
    run.job(0).status(npoints=3)
    run.write()
    copy = tmp_path / "copy-run"
    shutil.copytree(run.run_folder.root, copy)
    run.job(0).status(npoints=9)
    run.write()
    assert FolderView(copy).info().npoints == 3
    assert FolderView(run.run_folder.root).info().npoints == 9
    run.run_folder.root.rename(tmp_path / "moved-run")
    assert FolderView(tmp_path / "moved-run").info().npoints == 9
