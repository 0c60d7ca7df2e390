"""The life of a run, and the commands to it, without the face that users call."""

from __future__ import annotations

import asyncio
import threading

import adaptive
import pytest

from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InvalidInputError,
    RunFolderLockedError,
    SchedulerUnavailableError,
)
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.server_support.lifecycle import Lifecycle
from adaptive_scheduler.server_support.steering import Steering
from adaptive_scheduler.server_support.waiting import DetachNotice
from tests.end_to_end.looking import records
from tests.end_to_end.schedulers import Played
from tests.waiting import PATIENCE, wait_until

N_POINTS = 3


class Site:
    """A folder with a queue whose jobs nobody plays, and the lives of runs there."""

    def __init__(self, path, monkeypatch):
        monkeypatch.chdir(path)
        self.path = path
        self.lives = []

    def live(self, learners, *, name="run", **options):
        queue = self.path / f"{name}-queue"
        queue.mkdir(exist_ok=True)
        scheduler = Played(queue, cores=1)
        options = {"goal": N_POINTS, "job_name": name, "quiet": True, "url": None} | options
        spec = RunSpec.of(scheduler, learners, options)
        fnames = [f"{name}-data/{i}.pickle" for i in range(len(learners))]
        life = Lifecycle(spec, scheduler, learners, fnames, goal=options["goal"])
        self.lives.append(life)
        return life


@pytest.fixture
def site(tmp_path, monkeypatch):
    site = Site(tmp_path, monkeypatch)
    yield site
    for life in site.lives:
        life.detach()


def new_learners(n=1, n_points=0):
    learners = [adaptive.Learner1D(abs, (0, 1)) for _ in range(n)]
    for learner in learners:
        for i in range(n_points):
            learner.tell(i / N_POINTS, i / N_POINTS)
    return learners


def journal_of(life, kind=object):
    return records(kind, life.spec.run_folder.journal)


def wait_for_submission(life):
    wait_until(lambda: journal_of(life, events.Submitted))


class Hurdle:
    """A turn that comes when a test says so."""

    def __init__(self):
        self.is_asked = threading.Event()
        self._is_passed = threading.Event()

    async def __call__(self):
        self.is_asked.set()
        await asyncio.to_thread(self._is_passed.wait)

    def lift(self):
        self._is_passed.set()


def test_what_is_done_in_memory_is_recorded_saved_and_never_submitted(site):
    life = site.live(new_learners(n_points=N_POINTS))
    assert life.status() == "not yet started"
    life.start()
    life.task.result(timeout=PATIENCE)
    assert life.status() == "finished"
    assert (site.path / "run-data/0.pickle").exists()
    done = [type(r).__name__ for r in journal_of(life)]
    assert done == ["RunBegan", "ManagerStarted", "Done", "RunEnded"]


def test_a_start_that_fails_leaves_neither_lock_nor_times(site, monkeypatch):
    life = site.live(new_learners(), cleanup_first=True)
    life.start()
    wait_for_submission(life)
    life.detach()
    failing = site.live(new_learners(), cleanup_first=True)

    def no_answer(_self, **_):
        raise SchedulerUnavailableError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(Played, "queue", no_answer)
        with pytest.raises(SchedulerUnavailableError):
            failing.start()
    assert (failing.start_time, failing.task, failing.status()) == (None, None, "not yet started")
    again = site.live(new_learners())
    again.start()
    assert again.status() == "running"


def test_it_starts_once_and_again_after_its_end_with_new_managers(site):
    life = site.live(new_learners())
    life.start()
    with pytest.raises(AdaptiveSchedulerError, match="'run' has been started before"):
        life.start()
    wait_for_submission(life)
    life.cancel()
    life.task.result(timeout=PATIENCE)
    assert life.status() == "cancelled"
    before = life.managers
    life.start()
    assert life.status() == "running"
    assert life.managers is not before
    assert len(journal_of(life, events.ManagerStarted)) == 2
    assert not life.spec.overwrite_db


def test_a_run_that_is_cancelled_before_its_turn_never_begins(site):
    life, hurdle = site.live(new_learners()), Hurdle()
    life.start(turn=hurdle)
    assert hurdle.is_asked.wait(PATIENCE)
    life.cancel()
    life.task.result(timeout=PATIENCE)
    assert life.status() == "cancelled"
    assert life.end_time is not None
    assert not life.spec.run_folder.journal.exists()


def test_a_run_that_is_left_before_its_turn_never_begins(site):
    life, hurdle = site.live(new_learners()), Hurdle()
    life.start(turn=hurdle)
    assert hurdle.is_asked.wait(PATIENCE)
    life.detach()
    assert not life.spec.run_folder.journal.exists()


def test_who_cancels_a_run_that_could_not_begin_in_its_turn_is_not_kept_waiting(site, monkeypatch):
    is_checking, may_fail = threading.Event(), threading.Event()

    def check(_scheduler, _resources):
        is_checking.set()
        may_fail.wait(PATIENCE)
        raise InvalidInputError("no such partition")

    monkeypatch.setattr(Played, "check", check)
    life, hurdle = site.live(new_learners()), Hurdle()
    life.start(turn=hurdle)
    hurdle.lift()
    assert is_checking.wait(PATIENCE)
    cancelling = threading.Thread(target=life.cancel, daemon=True)
    cancelling.start()
    may_fail.set()
    cancelling.join(PATIENCE)
    assert not cancelling.is_alive()
    assert life.status() == "failed"


def test_a_run_that_waits_for_its_turn_begins_then(site):
    life, hurdle = site.live(new_learners()), Hurdle()
    steering = Steering(life)
    life.start(turn=hurdle)
    with pytest.raises(AdaptiveSchedulerError, match="waits for another run"):
        steering.pause()
    hurdle.lift()
    wait_for_submission(life)


def test_commands_are_recorded_once(site):
    life = site.live(new_learners(2))
    steering = Steering(life)
    life.start()
    wait_for_submission(life)
    for _ in range(2):
        steering.pause()
    assert steering.is_paused
    assert steering.cancel_learners([1, 1]) == 1
    assert steering.cancel_learners([1]) == 0
    assert steering.retry() == 1
    steering.resume()
    assert not steering.is_paused
    life.detach()
    kinds = (events.Paused, events.Cancelled, events.Retried, events.Resumed)
    assert [type(r) for r in journal_of(life) if isinstance(r, kinds)] == list(kinds)


def test_commands_of_other_processes_are_answered(site):
    life = site.live(new_learners(2))
    Steering(life)
    life.start()
    me = messages.JobIdentity("shell")
    answer = life.managers.database.listeners.answer_command
    assert not answer(messages.CommandRequest(me, "pause")).is_refused
    assert life.managers.database.state.is_paused
    refused = answer(messages.CommandRequest(me, "cancel", (7,)))
    assert refused.is_refused
    assert "no learner 7" in refused.words


def test_no_command_reaches_a_run_that_is_not_managed_here(site):
    life = site.live(new_learners())
    steering = Steering(life)
    with pytest.raises(AdaptiveSchedulerError, match="not yet started"):
        steering.pause()
    with pytest.raises(InvalidInputError, match="no learner 1 "):
        steering.cancel_learners([1])
    manager = site.live(new_learners())
    manager.start()
    for command in (steering.pause, steering.resume, steering.retry, life.cancel):
        with pytest.raises(RunFolderLockedError, match="is managed by"):
            command()


def test_the_way_back_to_the_jobs_is_said_once(tmp_path, capsys):
    words = DetachNotice("sweep", tmp_path / "my run")
    words.say("Interrupted")
    words.say("The script ends")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Interrupted; the jobs of run 'sweep' go on.")
    assert line.endswith(f"adaptive-scheduler cancel '{tmp_path}/my run'")
