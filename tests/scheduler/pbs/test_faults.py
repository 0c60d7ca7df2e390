"""What `PBS` does when the server, the network or a node fails."""

from __future__ import annotations

import pwd
import threading
from types import SimpleNamespace

import pytest

from adaptive_scheduler.errors import SchedulerUnavailableError, SubmissionRejectedError
from adaptive_scheduler.scheduler import PBS
from adaptive_scheduler.scheduler.command import Commands
from tests.scheduler.contract import HOLD, alive, make_batch
from tests.waiting import wait_until


def tokens(scheduler):
    return [job["token"] for job in scheduler.queue().values()]


def names(scheduler):
    return sorted(job["job_name"] for job in scheduler.queue().values())


def test_a_submission_whose_answer_was_lost_is_found_by_its_token(pbs, scheduler, folder):
    pbs.lose_next_answer()
    with pytest.raises(SchedulerUnavailableError, match="not known"):
        scheduler.submit(make_batch(scheduler, folder, HOLD, n=3, token="t"))
    assert tokens(scheduler) == ["t"] * 3
    assert names(scheduler) == ["job-0", "job-1", "job-2"]


def test_a_submission_to_a_hung_server_is_found_by_its_token(pbs, scheduler, folder, monkeypatch):
    scheduler.check(scheduler.resources(0))  # what is asked once is known now
    timeout = 1.0
    with pbs.hung(), monkeypatch.context() as patch:
        while not pbs.jobs():  # on a busy machine qsub may not have begun when it is given up
            patch.setattr(Commands, "timeout", timeout)
            with pytest.raises(SchedulerUnavailableError, match="did not answer within"):
                scheduler.submit(make_batch(scheduler, folder, HOLD, token="t"))
            timeout *= 3
    assert tokens(scheduler) == ["t"]
    assert names(scheduler) == ["job-0"]


def test_a_server_that_hangs_for_a_moment_is_waited_for(pbs, scheduler, folder):
    with pbs.hung():
        timer = threading.Timer(1.0, (pbs.folder / "hung").unlink)
        timer.start()
        job_ids = scheduler.submit(make_batch(scheduler, folder, HOLD, n=2))
        (pbs.folder / "hung").touch()  # for the end of the block
    assert set(job_ids.values()) == alive(scheduler)


def test_while_the_server_is_down_nothing_is_believed(pbs, scheduler, folder):
    (job_id,) = scheduler.submit(make_batch(scheduler, folder, HOLD)).values()
    with pbs.down():
        with pytest.raises(SchedulerUnavailableError, match="Connection refused"):
            scheduler.queue()
        with pytest.raises(SchedulerUnavailableError, match="Couldn't connect"):
            scheduler.cancel_ids([job_id])
        with pytest.raises(SchedulerUnavailableError, match="Connection refused"):
            scheduler.submit(make_batch(scheduler, folder, HOLD))
        assert scheduler.ends([job_id]) == {}
    assert alive(scheduler) == {job_id}


def test_a_job_that_is_requeued_has_the_same_id_and_knows_it(pbs, scheduler, folder):
    me = scheduler.variables
    script = f'touch "begun-{me.restarts}"; {HOLD}'
    (job_id,) = scheduler.submit(make_batch(scheduler, folder, script)).values()
    for i in range(2):
        wait_until((folder / f"begun-{i}").exists)
        pbs.requeue(job_id)
    wait_until((folder / "begun-2").exists)
    assert alive(scheduler) == {job_id}
    assert scheduler.ends([job_id]) == {}


def test_a_job_of_an_array_that_is_requeued_knows_it(pbs, scheduler, folder):
    me = scheduler.variables
    script = f'touch "begun-{me.number}-{me.restarts}"; {HOLD}'
    job_ids = scheduler.submit(make_batch(scheduler, folder, script, n=2))
    wait_until((folder / "begun-1-0").exists)
    pbs.requeue(job_ids[1])
    wait_until((folder / "begun-1-1").exists)
    assert alive(scheduler) == set(job_ids.values())


def test_a_job_whose_folder_vanished_is_held_and_says_why(pbs, scheduler, folder):
    batch = make_batch(scheduler, folder, HOLD)
    pbs.set(nodes={"pbs-head": 0})
    scheduler.check = lambda _: None
    (job_id,) = scheduler.submit(batch).values()
    (folder / "logs").rmdir()
    pbs.set(nodes={"pbs-head": 2})
    job = wait_until(
        lambda: (job := scheduler.queue()[job_id])["state"] == "H" and job,
    )
    assert job["alive"]
    assert job["reason"] == "job held, too many failed attempts to run"


def test_a_job_that_the_server_holds_waits_and_says_why(pbs, scheduler, folder):
    jobs = scheduler.submit(make_batch(scheduler, folder, HOLD, n=3))
    pbs.hold(jobs[2], "Not allowed: over the budget")
    job = scheduler.queue()[jobs[2]]
    assert (job["state"], job["alive"], job["running"]) == ("H", True, False)
    assert job["reason"] == "Not allowed: over the budget"
    scheduler.cancel_ids([jobs[2]])
    assert jobs[2] not in alive(scheduler)


def test_without_a_history_a_job_that_is_gone_has_no_known_end(pbs, scheduler, folder):
    pbs.set(history=False)
    (job_id,) = scheduler.submit(make_batch(scheduler, folder, "exit 3")).values()
    wait_until(lambda: job_id not in scheduler.queue())
    assert scheduler.ends([job_id]) == {}


def test_without_a_history_members_that_have_ended_have_no_known_end(pbs, scheduler, folder):
    pbs.set(history=False)
    script = f'[ "{scheduler.variables.number}" = 0 ] && exit 3; {HOLD}'
    ended, other = scheduler.submit(make_batch(scheduler, folder, script, n=2)).values()
    wait_until(lambda: alive(scheduler) == {other})
    assert scheduler.ends([ended, other]) == {}


def test_a_qstat_without_wide_lines_will_do(pbs, scheduler, folder):
    pbs.forget_wide_lines()
    long = folder / ("x" * 100) / ("y" * 100)
    batch = make_batch(scheduler, folder, HOLD, n=2, token="t", log_folder=long)
    job_ids = scheduler.submit(batch)
    for _ in range(2):
        assert list(scheduler.queue()) == list(job_ids.values())
        assert tokens(scheduler) == ["t", "t"]
    assert sum("-w" in call for call in pbs.calls("qstat")) == 1


def test_a_qsub_that_can_not_write_output_at_once_will_do(pbs, scheduler, folder):
    pbs.forget_direct_output()
    for n in range(2):
        job_ids = scheduler.submit(make_batch(scheduler, folder, f"echo {n}", n=2))
        wait_until(lambda ids=job_ids: not alive(scheduler) & set(ids.values()))
        output = folder / "logs" / f"job-1-{job_ids[1]}.out"
        assert output.read_text() == f"{n}\n"
    assert sum("-k" in call for call in pbs.calls("qsub")) == 1


def test_a_qsub_that_takes_short_names_only_will_do(pbs, scheduler, folder):
    pbs.set(longest_name=15)
    name = "2026 a long name"
    for n in range(1, 3):
        job_ids = scheduler.submit(make_batch(scheduler, folder, HOLD, n=n, job_name=name))
        queue = scheduler.queue()
        wanted = [f"{name}-{i}" for i in job_ids]
        assert [queue[job_id]["job_name"] for job_id in job_ids.values()] == wanted
    assert pbs.job(job_ids[1])["name"] == "j2026_a_long_na"
    assert sum("-N" in call for call in pbs.calls("qsub")) == 3


def test_strangers_and_odd_names_disturb_nobody(pbs, scheduler, folder):
    odd = [pbs.add_job_of("bob", name) for name in ("nan", "1e5", "x\nJob Id: 9.pbs-head\ny")]
    (job_id,) = scheduler.submit(make_batch(scheduler, folder, HOLD)).values()
    assert list(scheduler.queue()) == [job_id]
    assert set(scheduler.queue(me_only=False)) == {job_id, *odd}


def test_without_qselect_the_jobs_of_all_are_looked_at(pbs, scheduler, folder):
    pbs.add_job_of("bob", "nan")
    job_ids = scheduler.submit(make_batch(scheduler, folder, HOLD, n=2))
    (pbs.folder / "bin" / "qselect").unlink()
    assert list(scheduler.queue()) == list(job_ids.values())


def test_users_with_the_name_of_a_site_in_theirs_find_their_jobs(
    pbs,
    scheduler,
    monkeypatch,
):
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="bob@lab"))
    mine = pbs.add_job_of("bob@lab", "mine")
    pbs.add_job_of("bob", "others")
    assert list(scheduler.queue()) == [mine]


def test_few_calls_submit_list_and_cancel_many_jobs(pbs, scheduler, folder):
    batch = make_batch(scheduler, folder, HOLD, numbers=(*range(300), *range(400, 500)))
    job_ids = scheduler.submit(batch)
    assert sorted(alive(scheduler)) == sorted(job_ids.values())
    scheduler.cancel_ids(list(job_ids.values())[2:])
    wait_until(lambda: len(alive(scheduler)) == 2)
    assert len(pbs.calls("qsub")) - 1 == 2  # and one that asked for the version
    assert len(pbs.calls("qdel")) == 1


def test_a_queue_that_takes_smaller_arrays_gets_smaller_arrays(pbs, scheduler, folder):
    pbs.set(queue_max_array_size=3)
    job_ids = scheduler.submit(make_batch(scheduler, folder, HOLD, n=10))
    assert list(job_ids) == list(range(10))
    assert alive(scheduler) == set(job_ids.values())


def test_the_servers_limit_is_asked_for(pbs, scheduler, folder):
    pbs.set(max_array_size=4)
    assert len(scheduler.submit(make_batch(scheduler, folder, HOLD, n=10))) == 10
    arrays = [call[call.index("-J") + 1] for call in pbs.calls("qsub") if "-J" in call]
    assert arrays == ["0-3", "4-7", "8-9"]


def test_when_the_second_array_is_refused_the_first_is_there(pbs, scheduler, folder):
    pbs.set(max_array_size=4, max_user_jobs=5)
    assert list(scheduler.submit(make_batch(scheduler, folder, HOLD, n=8))) == [0, 1, 2, 3]
    with pytest.raises(SubmissionRejectedError, match="per-user limit") as caught:
        scheduler.submit(make_batch(scheduler, folder, HOLD, n=8))
    assert "max_simultaneous_jobs" in str(caught.value)


def test_an_unknown_queue_is_refused_in_the_words_of_qsub(pbs, folder):
    scheduler = PBS(1, queue="nowhere")
    with pytest.raises(SubmissionRejectedError, match="qsub: Unknown queue") as caught:
        scheduler.submit(make_batch(scheduler, folder, HOLD))
    assert "queue=..." in str(caught.value)


def test_options_of_users_reach_qsub(pbs, folder):
    scheduler = PBS(1, extra_scheduler=["-l select=1:ncpus=2", "-m n"])
    (job_id,) = scheduler.submit(make_batch(scheduler, folder, HOLD)).values()
    assert pbs.job(job_id)["cores"] == 2


def test_how_many_cores_a_node_has_is_guessed_and_said(pbs):
    pbs.set(nodes={"a": 4, "b": 4, "c": 16})
    scheduler = PBS(8, executor_type="mpi4py")
    with pytest.warns(UserWarning, match="guessed 4") as said:
        assert "#PBS -l select=2:ncpus=4:mpiprocs=4" in scheduler.job_script()
    assert {warning.filename for warning in said} == {__file__}
    assert (
        "select=1:ncpus=8:mpiprocs=8"
        in PBS(8, cores_per_node=16, executor_type="mpi4py").job_script()
    )


def test_where_nobody_says_how_many_cores_a_node_has_the_user_must(pbs):
    pbs.set(nodes={})
    scheduler = PBS(8, executor_type="mpi4py")
    with pytest.raises(SchedulerUnavailableError, match="cores_per_node="):
        scheduler.job_script()


def test_a_job_is_warned_before_its_walltime(folder, listening):
    scheduler = PBS(1, walltime=600, signal_before_end=599)
    head = "\n".join(scheduler.script_head(scheduler.resources(0)))
    script = f"{head}\n{listening}"
    (job_id,) = scheduler.submit(make_batch(scheduler, folder, script)).values()
    wait_until(lambda: job_id not in alive(scheduler))
    assert (folder / "warned").exists()
