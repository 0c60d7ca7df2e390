"""`PBS` knows its jobs when their nodes are lost, or another server has them."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler import PBS
from tests.scheduler.contract import HOLD, alive, exists, make_batch
from tests.waiting import wait_until


@pytest.fixture
def run_jobs(scheduler, folder):
    """Return a function that submits jobs, waits until they run, and returns their ids."""

    def run_jobs(n):
        me = scheduler.variables
        script = f'echo $$ > "pid-{me.number}-{me.restarts}"; {HOLD}'
        job_ids = list(scheduler.submit(make_batch(scheduler, folder, script, n=n)).values())
        wait_until(lambda: all((folder / f"pid-{i}-0").exists() for i in range(n)))
        return job_ids

    return run_jobs


def replace(pbs, name, script):
    """Let a command be a script; the command itself is in ``$real``."""
    command = pbs.folder / "bin" / name
    real = command.rename(command.with_name(f"real-{name}"))
    command.write_text(f"#!/bin/sh\nreal='{real}'\n{script}\n")
    command.chmod(0o755)


def pid(folder, name):
    path = folder / name
    return int(wait_until(lambda: path.exists() and path.read_text()))


# Other servers.


@pytest.mark.parametrize("n", [1, 2])
def test_jobs_that_were_moved_to_another_server_are_still_there(pbs, scheduler, run_jobs, n):
    job_ids = run_jobs(n)
    assert alive(scheduler) == set(job_ids)
    for job_id in job_ids if n == 1 else [job_ids[0].replace("[0]", "[]")]:
        pbs.move(job_id)
    for _ in range(2):
        assert alive(scheduler) == set(job_ids)
    scheduler.cancel_ids(job_ids)
    wait_until(lambda: not alive(scheduler))


def test_another_process_finds_jobs_that_were_moved(pbs, run_jobs):
    (job_id,) = run_jobs(1)
    pbs.move(job_id)
    assert alive(PBS(1)) == {job_id}


@pytest.mark.parametrize("n", [1, 2])
def test_while_the_other_server_is_down_its_jobs_are_as_they_were(
    pbs,
    scheduler,
    folder,
    run_jobs,
    n,
):
    job_ids = run_jobs(n)
    before = scheduler.queue()
    pbs.move(job_ids[0].replace("[0]", "[]"))
    pbs.set(other_server_is_down=True)
    other = scheduler.submit(make_batch(scheduler, folder, HOLD, job_name="other"))[0]
    for _ in range(2):
        queue = scheduler.queue()
        assert {job_id: queue[job_id] for job_id in job_ids} == before
        assert other in queue
    pbs.set(other_server_is_down=False)
    (folder / "go").touch()
    wait_until(lambda: not alive(scheduler))


def test_another_process_believes_in_jobs_whose_server_is_down(pbs, run_jobs):
    (job_id,) = run_jobs(1)
    pbs.move(job_id)
    pbs.set(other_server_is_down=True)
    job = PBS(1).queue()[job_id]
    assert (job["state"], job["alive"], job["job_name"]) == ("M", True, "job-0")


def test_jobs_that_have_ended_are_not_asked_for_again(pbs, scheduler, folder):
    pbs.set(history=False)
    job_ids = set(scheduler.submit(make_batch(scheduler, folder, "true", n=2)).values())
    wait_until(lambda: not job_ids & alive(scheduler))
    n_calls = len(pbs.calls("qstat"))
    assert alive(scheduler) == set()
    assert len(pbs.calls("qstat")) == n_calls


# Lost nodes.


def test_a_job_on_a_lost_node_is_alive_until_the_server_says_otherwise(pbs, scheduler, run_jobs):
    (job_id,) = run_jobs(1)
    pbs.lose_node("pbs-head")
    job = scheduler.queue()[job_id]
    assert job["alive"]
    assert job["running"]


def test_a_job_that_runs_again_after_the_loss_of_its_node_knows_it(pbs, scheduler, folder):
    pbs.set(nodes={"a": 1, "b": 1})
    me = scheduler.variables
    script = f'echo $$ > "pid-{me.restarts}"; {HOLD}'
    (job_id,) = scheduler.submit(make_batch(scheduler, folder, script)).values()
    old = pid(folder, "pid-0")
    pbs.lose_node("a")
    pbs.give_up_node("a")
    new = pid(folder, "pid-1")
    assert exists(old)  # it does not know that it is alone
    assert new != old
    assert alive(scheduler) == {job_id}
    assert scheduler.ends([job_id]) == {}


def test_jobs_on_a_lost_node_are_cancelled_like_all_others(pbs, scheduler, run_jobs):
    pbs.set(nodes={"a": 1, "b": 1})
    on_a, on_b = run_jobs(2)
    pbs.lose_node("a")
    scheduler.cancel_ids([on_a, on_b])
    wait_until(lambda: not alive(scheduler))
    pbs.give_up_node("a")
    assert alive(scheduler) == set()
    forced = [call for call in pbs.calls("qdel") if "force" in call]
    assert forced == [["-W", "force", on_a]]


# What qstat can't have meant.


def test_an_array_without_members_is_no_answer(pbs, scheduler, run_jobs):
    run_jobs(2)
    without_members = "awk '/^Job Id/ { shown = !/\\[[0-9]/ } shown'"
    replace(pbs, "qstat", f'"$real" "$@" | {without_members}')
    with pytest.raises(SchedulerUnavailableError, match="none of its jobs"):
        scheduler.queue()


def test_what_a_site_prints_beside_the_ids_is_not_taken_for_ids(pbs, scheduler, run_jobs):
    job_ids = run_jobs(2)
    replace(pbs, "qselect", 'echo "Welcome to PBS"; "$real" "$@"')
    assert alive(scheduler) == set(job_ids)
