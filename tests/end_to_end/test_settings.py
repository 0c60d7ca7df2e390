"""What users can set about a run, and do with it, works with real jobs."""

from __future__ import annotations

import os
from pathlib import Path

import adaptive
import pandas as pd
import pytest

from adaptive_scheduler._common.scratch import scratch_of
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Ledger, Noted
from tests.end_to_end.looking import most_at_once, records, wait_for_empty_queue
from tests.waiting import wait_until

N_POINTS = 6


def sequence(function):
    return adaptive.SequenceLearner(function, list(range(N_POINTS)))


def sequences(ledger, n, **keywords):
    return [sequence(Noted(ledger.path, i, **keywords)) for i in range(n)]


def finish(run):
    run.start()
    run.wait()
    assert run.status() == "finished"


def test_a_learner_begins_when_those_that_it_depends_on_are_done(make_run, ledger):
    run = make_run(sequences(ledger, 4), dependencies={0: [1], 1: [2, 3]})
    finish(run)
    times = [[e.time for e in ledger.begun(i)] for i in range(4)]
    assert max(times[2] + times[3]) < min(times[1])
    assert max(times[1]) < min(times[0])
    assert ledger.twice() == []


def test_what_depends_on_a_learner_that_failed_is_given_up_with_it(make_run, ledger):
    learners = sequences(ledger, 2)
    learners[0] = sequence(Noted(ledger.path, 0, raises=bool))
    run = make_run(learners, dependencies={1: [0]}, max_fails_per_job=1)
    run.start()
    with pytest.raises(AdaptiveSchedulerError, match="Learner 0"):
        run.wait()
    assert ledger.begun(1) == []
    assert len(run.database_manager.failed) == 2


@pytest.mark.parametrize("executor_type", ["process-pool", "loky", "sequential"])
def test_an_initializer_is_called_once_in_each_worker_before_its_first_point(
    make_run, ledger, here, executor_type
):
    calls = Ledger(here / "calls")
    initializers = [lambda i=i: calls.note("calls", i, os.getpid()) and None for i in range(2)]
    scheduler = Local(cores=2, max_cores=2, executor_type=executor_type)
    run = make_run(sequences(ledger, 2), scheduler=scheduler, initializers=initializers)
    finish(run)
    for learner in range(2):
        called = calls.entries("calls", learner)
        workers = [e.pid for e in called]
        first = {pid: min(e.time for e in called if e.pid == pid) for pid in workers}
        assert len(workers) == len(set(workers))
        assert all(first[e.pid] < e.time for e in ledger.begun(learner))


@pytest.mark.parametrize("dataframe_format", ["pickle", "csv", "parquet"])
def test_data_is_saved_as_dataframes_too(make_run, dataframe_format):
    learners = [adaptive.Learner1D(lambda x: x**2, (-1, 1)) for _ in range(2)]
    run = make_run(learners, goal=9, save_dataframe=True, dataframe_format=dataframe_format)
    finish(run)
    frame = run.load_dataframes()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 18
    assert set(frame.fname) == {"data/0.pickle", "data/1.pickle"}
    assert list(frame.y) == [x**2 for x in frame.x]


def test_arguments_reach_the_runner(make_run, ledger):
    learner = sequence(Noted(ledger.path, raises=lambda n: n == 2))
    run = make_run([learner], runner_kwargs={"retries": 1}, max_fails_per_job=1)
    finish(run)
    assert len(ledger.begun()) == N_POINTS + 1
    assert len(ledger.jobs()) == 1


def says_something_bad(lines):
    return any(line == "something bad" for line in lines)


@pytest.mark.parametrize("condition", ["thing ba", says_something_bad])
def test_a_job_whose_output_matches_is_cancelled_and_another_one_goes_on(
    make_run, ledger, condition
):
    def function(x):
        ledger.note("begins", 0, x)
        if len(ledger.jobs()) == 1 and x == 3:
            print("something bad", flush=True)  # noqa: T201
            wait_until(lambda: False)
        return x

    run = make_run([sequence(function)], kill_on_error=condition, kill_interval=1)
    finish(run)
    assert len(ledger.jobs()) == 2
    assert run.kill_manager.cancelled == ledger.jobs()[:1]
    assert [e.x for e in ledger.begun()] == [0, 1, 2, 3, 3, 4, 5]


def test_no_more_jobs_than_allowed_are_in_the_queue(make_run, ledger, gate):
    run = make_run(sequences(ledger, 4, gate=gate), max_simultaneous_jobs=1)
    run.start()
    wait_until(ledger.begun)
    assert len(run.scheduler.queue()) == 1
    gate.touch()
    run.wait()
    assert most_at_once() == 1
    assert len(ledger.jobs()) == 1


def test_jobs_never_have_more_cores_than_there_are(make_run, ledger, gate):
    scheduler = Local(cores=2, max_cores=3)
    run = make_run(sequences(ledger, 2, gate=gate), scheduler=scheduler)
    run.start()
    wait_until(lambda: len(ledger.begun()) == 2)
    assert len(ledger.jobs()) == 1
    assert sum(job["running"] for job in scheduler.queue().values()) == 1
    gate.touch()
    run.wait()


def test_learners_have_jobs_of_their_own_kind(make_run, ledger):
    scheduler = Local(cores=(1, 2, 1), max_cores=3, executor_type=("sequential", "loky", "loky"))
    finish(make_run(sequences(ledger, 3), scheduler=scheduler))
    assert len(ledger.jobs()) == 3
    assert {e.pid == e.job_pid for e in ledger.begun(0)} == {True}
    assert {e.pid == e.job_pid for e in ledger.begun(1) + ledger.begun(2)} == {False}


def test_extra_script_and_variables_reach_the_job(make_run):
    scheduler = Local(extra_env_vars=["FROM_HERE='a b'"], extra_script="export FROM_THERE=c")
    learner = adaptive.SequenceLearner(lambda name: os.environ[name], ["FROM_HERE", "FROM_THERE"])
    run = make_run([learner], scheduler=scheduler)
    finish(run)
    run.load_learners()
    assert learner.result() == ["a b", "c"]


def test_a_run_that_was_cancelled_goes_on_when_it_is_started_again(make_run, ledger, gate):
    first = make_run(sequences(ledger, 3, free=2, gate=gate))
    first.start()
    wait_until(lambda: len(ledger.begun()) == 6)
    first.cancel()
    first.wait()
    assert first.status() == "cancelled"
    assert first.scheduler.queue() == {}
    gate.touch()
    second = make_run(sequences(ledger, 3))
    finish(second)
    assert ledger.twice() == []
    assert all(ledger.points(i) == set(range(N_POINTS)) for i in range(3))


def test_data_that_was_removed_is_computed_again(make_run, ledger, here):
    first = make_run(sequences(ledger, 2))
    finish(first)
    removed = first.remove_existing_data(move_to=here / "old")
    assert [str(path) for path in removed] == ["data/0.pickle", "data/1.pickle"]
    assert sorted(path.name for path in (here / "old").iterdir()) == ["0.pickle", "1.pickle"]
    finish(make_run(sequences(ledger, 2)))
    assert len(ledger.returned()) == 4 * N_POINTS


def test_data_is_not_removed_while_the_run_runs(make_run, ledger, gate):
    run = make_run(sequences(ledger, 1, gate=gate))
    run.start()
    with pytest.raises(AdaptiveSchedulerError, match="running"):
        run.remove_existing_data()
    with pytest.raises(AdaptiveSchedulerError, match="running"):
        run.cleanup()
    gate.touch()
    run.wait()


def test_logs_and_scripts_are_put_away_and_the_run_is_still_known(make_run, ledger):
    run = make_run(sequences(ledger, 2))
    finish(run)
    wait_for_empty_queue()
    folder = run.run_folder
    names = {path.name for path in [*folder.logs.iterdir(), *folder.scripts.iterdir()]}
    scratch_of(folder.root, "job that was killed").mkdir(parents=True)
    run.cleanup()
    assert not scratch_of(folder.root, "job that was killed").parent.exists()
    assert list(folder.logs.iterdir()) == list(folder.scripts.iterdir()) == []
    assert {path.name for path in (folder.root / "old_logs").iterdir()} == names
    again = make_run(sequences(ledger, 2))
    finish(again)
    wait_for_empty_queue()
    assert ledger.twice() == []
    again.cleanup(remove_old_logs_folder=True)
    assert not (folder.root / "old_logs").exists()


def test_the_next_job_of_a_learner_takes_what_replaced_it(make_run, ledger, gate):
    run = make_run(sequences(ledger, 2, gate=gate), max_simultaneous_jobs=1)
    run.start()
    wait_until(ledger.begun)
    run.database_manager.replace_learner(1, sequence(lambda x: -x))
    gate.touch()
    run.wait()
    run.load_learners()
    assert run.learners[1].result() == [-x for x in range(N_POINTS)]
    assert ledger.begun(1) == []


def test_points_that_are_only_in_memory_travel_along(make_run, ledger):
    (learner,) = sequences(ledger, 1)
    for point in learner.ask(3)[0]:
        learner.tell(point, -1)
    run = make_run([learner])
    finish(run)
    run.load_learners()
    assert learner.result() == [-1, -1, -1, 9, 16, 25]


def test_one_run_waits_for_another(make_run, ledger, here):
    first = make_run(sequences(ledger, 1), job_name="first")
    later = Ledger(here / "later")
    fnames = [f"data/later_{i}.pickle" for i in range(2)]
    second = make_run(sequences(later, 2), fnames, job_name="second")
    first.start()
    second.start(wait_for=first)
    second.wait()
    assert (first.status(), second.status()) == ("finished", "finished")
    assert max(e.time for e in ledger.returned()) < min(e.time for e in later.begun())


def test_tables_tell_of_each_learner(make_run, ledger, gate):
    run = make_run(sequences(ledger, 2, gate=gate))
    run.start()
    wait_until(lambda: len(ledger.jobs()) == 2)
    gate.touch()
    run.wait()
    database, logs = run.get_database(), run.parse_log_files()
    assert list(database.fname) == ["data/0.pickle", "data/1.pickle"]
    assert list(database.is_done) == [True, True]
    assert list(logs.npoints) == [N_POINTS, N_POINTS]
    assert all(Path(name).exists() for name in database.log_fname)
    assert len(run.job_starting_times()) == len(records(events.Submitted)[0].job_ids)
