"""What `SlurmExecutor` does before any job runs: as `concurrent.futures` says, and at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading

import pytest

import adaptive_scheduler.futures.service
from adaptive_scheduler import SlurmExecutor, SlurmTask
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InvalidInputError,
    SubmissionRejectedError,
    UnpicklableError,
)
from adaptive_scheduler.scheduler import PBS, SLURM, Local
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEDULER_SYSTEM", "LOCAL")
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(tmp_path / "spool"))
    return tmp_path


@pytest.fixture(name="no_hurry")
def _no_hurry(monkeypatch):
    """Gather calls until somebody asks for a result."""
    monkeypatch.setattr(adaptive_scheduler.futures.service, "_GATHERING", PATIENCE)
    monkeypatch.setattr(adaptive_scheduler.futures.service, "_LONGEST_GATHERING", PATIENCE)


@pytest.fixture
def executor(no_hurry):
    executor = SlurmExecutor()
    yield executor
    executor.shutdown(cancel_futures=True)


# Construction.


def test_an_executor_takes_what_slurm_run_takes():
    keywords = inspect.signature(SlurmExecutor).parameters
    for name in ("partition", "goal", "save_interval", "max_simultaneous_jobs", "extra_env_vars"):
        assert name in keywords
    for name in ("learners", "fnames", "dependencies", "initializers", "job_name"):
        assert name not in keywords
    assert keywords["cleanup_first"].default is True
    assert keywords["save_dataframe"].default is False
    assert keywords["quiet"].default is True


def test_nothing_is_written_before_a_call_is_submitted(here):
    SlurmExecutor()
    assert list(here.iterdir()) == []


def test_an_unknown_keyword_is_an_error_at_once():
    with pytest.raises(TypeError, match="max_workers"):
        SlurmExecutor(max_workers=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_per_learner": 0},
        {"save_interval": -1},
        {"name": "with a space"},
        {"max_simultaneous_jobs": 0},
        {"executor_type": "none"},
        {"partition": "gpu"},
        {"extra_run_manager_kwargs": {"learners": []}},
        {"scheduler": "SLURM"},
        {"scheduler": Local},
        {"scheduler": Local(), "memory": "4G"},
        {"scheduler": Local(), "extra_scheduler_kwargs": {"time": 60}},
    ],
)
def test_a_value_that_cannot_work_is_an_error_at_once(wrong):
    with pytest.raises(InvalidInputError):
        SlurmExecutor(**wrong)


def test_it_runs_where_this_machine_has_a_scheduler(monkeypatch):
    assert isinstance(SlurmExecutor().scheduler, Local)
    monkeypatch.setenv("SCHEDULER_SYSTEM", "SLURM")
    wanted = SlurmExecutor(
        partition="gpu", cores_per_node=4, extra_scheduler_kwargs={"time": "01:00:00"}
    ).scheduler
    assert isinstance(wanted, SLURM)
    resources = wanted.resources(0)
    assert (resources.partition, resources.cores, resources.time) == ("gpu", 4, "01:00:00")
    monkeypatch.setenv("SCHEDULER_SYSTEM", "PBS")
    wanted = SlurmExecutor(partition="long", cores_per_node=4, memory="2gb").scheduler
    assert isinstance(wanted, PBS)
    assert (wanted.resources(0).queue, wanted.resources(0).cores) == ("long", 4)


def test_a_scheduler_may_be_given():
    scheduler = Local(cores=2)
    assert SlurmExecutor(scheduler=scheduler).scheduler is scheduler


def test_new_makes_another_one_with_some_changes():
    first = SlurmExecutor("first", cores_per_node=2, size_per_learner=7)
    second = first.new({"name": "second"})
    assert (second.name, second.size_per_learner) == ("second", 7)
    assert second.scheduler.resources(0).cores == 2
    assert second.folder != first.folder
    with pytest.raises(TypeError, match="sise"):
        first.new({"sise": 1})


# Submission.


def test_a_task_is_a_future(executor):
    task = executor.submit(abs, -1)
    assert isinstance(task, SlurmTask)
    assert isinstance(task, concurrent.futures.Future)
    assert not task.done()
    assert not task.running()


def test_only_functions_are_submitted(executor):
    with pytest.raises(TypeError, match="no function"):
        executor.submit(3)


def test_what_cannot_travel_is_an_error_at_once(executor):
    with pytest.raises(UnpicklableError, match="lock"):
        executor.submit(abs, threading.Lock())
    lock = threading.Lock()
    with pytest.raises(UnpicklableError, match="lock"):
        executor.submit(lambda: lock)


def test_nothing_is_submitted_after_shutdown(executor):
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(abs, 1)


def test_calls_are_spread_over_jobs_each_with_as_many_as_it_has_cores(no_hurry):
    for keywords, n_calls, sizes in [
        ({"max_simultaneous_jobs": 4}, 10, [3, 3, 3, 1]),
        ({"cores_per_node": 2}, 5, [2, 2, 1]),
        ({"cores_per_node": 2, "executor_type": "sequential"}, 3, [1, 1, 1]),
        ({"size_per_learner": 4}, 10, [4, 4, 2]),
    ]:
        executor = SlurmExecutor(**keywords, extra_scheduler_kwargs={"max_cores": 2}, name="spread")
        tasks = [executor.submit(abs, -i) for i in range(n_calls)]
        run = executor.finalize(start=False)
        assert [len(learner.sequence) for learner in run.learners] == sizes
        assert run.job_name == "spread-0"
        for task in tasks:
            assert task.cancel()


def test_a_function_travels_once_for_all_its_calls(executor):
    big = bytes(100_000)

    def function(x):
        return x, len(big)

    for i in range(10):
        executor.submit(function, i)
    run = executor.finalize(start=False)
    assert {len(learner.function.function.functions) for learner in run.learners} == {1}


def test_arguments_are_those_of_the_moment_of_submission(executor):
    numbers = [1]
    first = executor.submit(sum, numbers)
    numbers.append(2)
    second = executor.submit(sum, numbers)
    gathered = executor._service._gathered
    first_call, second_call = (gathered[task].arguments for task in (first, second))
    assert first_call != second_call


def test_finalize_without_calls_makes_no_run(executor):
    assert executor.finalize() is None


# Cancelling and waiting.


def test_a_call_that_was_not_started_can_be_cancelled(executor):
    first, second = executor.submit(abs, 1), executor.submit(abs, 2)
    assert first.cancel()
    assert first.cancel()
    assert first.cancelled()
    done, left = concurrent.futures.wait([first, second], timeout=0)
    assert (done, left) == ({first}, {second})
    assert executor.finalize(start=False).learners[0].sequence != []
    assert len(executor.run_managers[0].learners) == 1
    with pytest.raises(concurrent.futures.CancelledError):
        first.result()


def test_shutdown_can_cancel_all_calls_that_did_not_start(executor):
    tasks = [executor.submit(abs, i) for i in range(3)]
    executor.shutdown(cancel_futures=True)
    assert all(task.cancelled() for task in tasks)
    assert executor.run_managers == []


def test_a_result_can_be_waited_for_with_a_timeout(executor):
    task = executor.submit(abs, 1)
    executor.finalize(start=False)
    with pytest.raises(TimeoutError):
        task.result(timeout=0)
    with pytest.raises(TimeoutError):
        task.exception(timeout=0)


def test_interrupting_whoever_awaits_does_not_cancel_the_call(executor):
    task = executor.submit(abs, 1)
    executor.finalize(start=False)

    async def impatient():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0)

    asyncio.run(impatient())
    assert not task.cancelled()


def test_calls_raise_what_keeps_their_run_from_starting(executor, monkeypatch):
    def refuse(self, batch):
        raise SubmissionRejectedError("no jobs today")

    monkeypatch.setattr(Local, "submit", refuse)
    tasks = [executor.submit(abs, i) for i in range(3)]
    for task in tasks:
        with pytest.raises(SubmissionRejectedError, match="no jobs today"):
            task.result(timeout=PATIENCE)


def test_files_stay_while_calls_are_open(executor):
    executor.submit(abs, 1)
    with pytest.raises(AdaptiveSchedulerError, match="1 open calls"):
        executor.cleanup()
