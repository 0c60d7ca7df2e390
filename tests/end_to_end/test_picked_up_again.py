"""Promise 3: a run can be picked up again."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import RunFolderError, RunFolderLockedError
from adaptive_scheduler.protocol.messages import Attempt, Done, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.outbox import Outbox
from tests.end_to_end import programs
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records, send
from tests.end_to_end.schedulers import Played
from tests.waiting import wait_until

N_LEARNERS = 3
N_POINTS = 10

PROGRAM = programs.program(
    n_learners=N_LEARNERS,
    n_points=N_POINTS,
    end="run.start()\nprint(run.status(), flush=True)\nrun.wait()\nprint(run.status())\n",
)


def test_the_next_process_adopts_living_jobs(ledger, gate):
    first = programs.start(PROGRAM)
    wait_until(lambda: len(ledger.jobs()) == 2)
    send(signal.SIGKILL, [first.pid])
    programs.finish(first)
    second = programs.start(PROGRAM)
    assert second.stdout.readline() == "running\n"
    assert len(records(events.ManagerStarted)) == 2
    gate.touch()
    code, output, errors = programs.finish(second)
    assert (code, output) == (0, "finished\n"), errors
    for learner in range(N_LEARNERS):
        assert ledger.points(learner) == set(range(N_POINTS))
        assert len(ledger.jobs(learner)) == 1
    assert ledger.twice() == []
    assert len(records(events.Submitted)) == 1


def test_a_second_manager_in_the_same_process_takes_over(make_run, ledger, gate):
    first, second = (make_run(make_learners(ledger, gate)) for _ in range(2))
    first.start()
    wait_until(lambda: len(ledger.jobs()) == 2)
    second.start()
    assert first.status() == "cancelled"
    assert second.status() == "running"
    gate.touch()
    second.wait()
    assert second.status() == "finished"
    assert ledger.twice() == []
    assert all(len(ledger.jobs(learner)) == 1 for learner in range(N_LEARNERS))
    assert len(records(events.Submitted)) == 1


def test_a_run_with_other_fnames_in_the_same_folder_stops_no_manager(make_run, ledger, gate):
    first = make_run(make_learners(ledger, gate))
    mistaken = make_run(
        make_learners(ledger, gate), [f"other{i}.pickle" for i in range(N_LEARNERS)]
    )
    first.start()
    with pytest.raises(RunFolderError, match="a run with other fnames"):
        mistaken.start()
    assert mistaken.status() == "not yet started"
    assert first.status() == "running"
    gate.touch()
    first.wait()
    assert ledger.twice() == []


def test_a_second_process_is_told_who_has_the_run(make_run, ledger, gate):
    first = programs.start(PROGRAM)
    wait_until(ledger.jobs)
    second = make_run(make_learners(ledger, gate))
    who = f"process {first.pid} on {socket.gethostname()}"
    with pytest.raises(RunFolderLockedError, match=who):
        second.start()
    assert second.status() == "not yet started"
    gate.touch()
    assert programs.finish(first)[0] == 0
    assert ledger.twice() == []
    second.start()
    second.wait()
    assert second.status() == "finished"


def test_a_run_folder_belongs_to_one_list_of_fnames(make_run, ledger):
    learners = make_learners(ledger, None)
    first = make_run(learners)
    first.start()
    first.wait()
    other = make_run(learners, [f"elsewhere/{i}.pickle" for i in range(N_LEARNERS)])
    with pytest.raises(RunFolderError, match="overwrite_db"):
        other.start()
    assert not Path("elsewhere").exists()


def test_who_begins_anew_says_so_and_no_data_is_touched(make_run, ledger):
    learners = make_learners(ledger, None)
    make_run(learners).start().wait()
    again = make_run(learners, overwrite_db=True)
    again.start()
    again.wait()
    assert again.status() == "finished"
    assert ledger.twice() == []  # jobs load what they find
    assert len(list(again.run_folder.root.glob("journal-until-*.jsonl"))) == 1


def test_who_removes_the_data_does_not_hear_what_jobs_had_reported(make_run, here, ledger):
    (here / "queue").mkdir()
    run = make_run(make_learners(ledger, None), scheduler=Played(here / "queue"))
    run.run_folder.create()
    job = JobIdentity("of a run before")
    Outbox(run.run_folder.outbox).put(Done(job, Attempt(0, 1), {"npoints": N_POINTS}))
    run.remove_existing_data()
    run.start()
    assert run.database_manager.n_done() == 0
    (aside,) = run.run_folder.root.glob("outbox-until-*")
    assert len(list(aside.iterdir())) == 1


def make_learners(ledger, gate):
    functions = [Noted(ledger.path, i, free=3, gate=gate) for i in range(N_LEARNERS)]
    return [adaptive.SequenceLearner(function, list(range(N_POINTS))) for function in functions]
