"""Runs on a real Slurm cluster in which jobs, nodes and the controller die.

After each: all learners are done, no point is lost, and no learner was in two
jobs at the same time.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path

import adaptive
import psutil

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.server_support import reconcile
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import family, is_alive, records, send
from tests.end_to_end.slurm.checks import FREE, N_POINTS, NEVER, check_that_all_is_well
from tests.waiting import PATIENCE, wait_until

DATA = Path("data/0.pickle")


# Jobs that end.


def test_a_job_whose_program_is_killed_loses_only_what_was_not_saved(stopped, ledger, gate):
    run = stopped(save_interval=1)
    wait_until(is_saved)
    job = family(ledger.begun()[0].job_pid)
    send(signal.SIGKILL, job[:1])
    wait_until(lambda: not any(map(is_alive, job)))
    wait_until(lambda: run.get_database().fails[0] == 1)
    assert "SIGKILL" in run.get_database().error[0]
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 2


def is_saved() -> bool:
    """Return whether the data file has all points that went through the gate."""
    if not DATA.exists():
        return False
    learner = adaptive.SequenceLearner(abs, list(range(N_POINTS)))
    learner.load(DATA)
    return learner.npoints == FREE


def test_a_job_that_is_cancelled_by_somebody_else_saves_and_another_goes_on(
    cluster, stopped, ledger, gate
):
    run = stopped(save_interval=NEVER)
    (job_id,) = ledger.jobs()
    cluster.run("scancel", job_id)
    wait_until(lambda: run.get_database().attempt[0] == 2)
    assert run.get_database().last_end[0].startswith("CANCELLED")
    assert run.get_database().fails[0] == 0
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 2


def test_pending_jobs_that_somebody_else_cancels_are_submitted_again(cluster, start, ledger, gate):
    functions = [Noted(ledger.path, index, free=0, gate=gate) for index in range(10)]
    learners = [adaptive.SequenceLearner(function, [0, 1]) for function in functions]
    run = start(learners, max_fails_per_job=3)
    wait_until(lambda: len(records(events.Assigned)) == 4)  # each of the four nodes has one job
    cluster.run("scancel", "--state=PENDING", "--name=run")
    # Slurm remembers nothing of these six, and they have not failed.
    wait_until(lambda: len(records(events.JobGone)) == 6)
    wait_until(lambda: sum(len(record.job_ids) for record in records(events.Submitted)) == 16)
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)


def test_a_job_that_is_requeued_saves_and_gets_its_learner_back(cluster, stopped, ledger, gate):
    run = stopped(save_interval=NEVER, max_simultaneous_jobs=1)
    (job_id,) = ledger.jobs()
    cluster.requeue(job_id)
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    output = next(Path("run-run/logs").glob(f"*{job_id}.out"))
    assert "DUE TO JOB REQUEUE" in output.read_text()


def test_what_a_requeued_job_had_is_taken_by_one_that_has_nothing_else(
    cluster, start, ledger, here
):
    gates = [here / "first", here / "second"]
    functions = [Noted(ledger.path, i, free=2, gate=gate) for i, gate in enumerate(gates)]
    learners = [adaptive.SequenceLearner(function, list(range(4))) for function in functions]
    run = start(learners, save_interval=NEVER)
    wait_until(lambda: len(ledger.begun(0)) == len(ledger.begun(1)) == 4)
    (requeued,), (other,) = ledger.jobs(0), ledger.jobs(1)
    cluster.put_back(requeued, hold=True)
    wait_until(lambda: run.get_database().state[0] == "ready")
    for gate in gates:
        gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert ledger.jobs(0) == [requeued, other]
    wait_until(lambda: run.scheduler.queue() == {})


def test_a_job_that_no_node_can_launch_is_replaced(cluster, start, sequence, ledger, gate):
    gate.touch()
    with cluster.launches_failing():
        run = start([sequence])
        wait_until(lambda: run.get_database().fails[0] >= 2)
        assert "launch failed requeued held" in run.get_database().error[0]
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    wait_until(lambda: run.scheduler.queue() == {})


def test_a_requeued_job_that_can_not_be_launched_again_is_replaced(cluster, stopped, ledger, gate):
    run = stopped(save_interval=NEVER)
    (job_id,) = ledger.jobs()
    cluster.put_back(job_id)
    with cluster.launches_failing():
        cluster.let_begin(job_id)
        wait_until(lambda: records(events.JobGone))
        assert run.get_database().fails[0] == 0  # it had worked
        assert "1 HELD" in run.info(format="text")
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 2


def test_a_node_that_is_lost_takes_no_learner_with_it(cluster, stopped, ledger, gate):
    run = stopped(save_interval=1)
    wait_until(is_saved)
    old = ledger.begun()[0].job_pid
    (job_id,) = ledger.jobs()
    cluster.lose_node(node_of(old))
    cluster.let_begin(job_id)
    # The process on the lost node lives on, while Slurm starts its job once more elsewhere.
    wait_until(lambda: len(ledger.jobs()) == 2)
    wait_until(lambda: not is_alive(old))  # it heard that another has its learner
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)


def node_of(pid: int) -> str:
    """Return the node of a job's process."""
    return psutil.Process(pid).environ()["SLURMD_NODENAME"]


def test_a_job_of_a_lost_node_that_must_not_come_back_is_replaced(cluster, stopped, ledger, gate):
    scheduler = SLURM(cores=2, requeue=False)
    run = stopped(save_interval=1, scheduler=scheduler)
    wait_until(is_saved)
    old = ledger.begun()[0].job_pid
    cluster.lose_node(node_of(old))
    wait_until(lambda: "NODE_FAIL" in str(run.get_database().last_end[0]))
    assert run.get_database().fails[0] == 0  # it was not the learner's fault
    assert "1 NODE_FAIL" in run.info(format="text")
    wait_until(lambda: len(ledger.jobs()) == 2)
    wait_until(lambda: not is_alive(old))
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)


def test_a_job_that_a_node_does_not_end_is_not_waited_for(
    cluster, stopped, ledger, gate, monkeypatch
):
    monkeypatch.setattr(reconcile, "LONGEST_END", 1.0)
    run = stopped(save_interval=1)
    wait_until(is_saved)
    (job_id,) = ledger.jobs()
    old = ledger.begun()[0].job_pid
    with cluster.node_stopped(node_of(old)):
        cluster.run("scancel", job_id)
        wait_until(lambda: len(ledger.jobs()) == 2)
        wait_until(lambda: not is_alive(old))  # it heard that another has its learner
        assert "1 ENDLESS" in run.info(format="text")
        assert run.get_database().fails[0] == 0
        gate.touch()
        run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)


def test_a_job_that_gives_way_to_a_more_urgent_one_saves(cluster, stopped, ledger, gate):
    scheduler = SLURM(cores=2, partition="single", requeue=False)
    run = stopped(save_interval=NEVER, scheduler=scheduler)
    urgent = ("--partition=urgent", "--nodelist=n0", "--ntasks=2", "--output=/dev/null")
    cluster.run("sbatch", *urgent, "--wrap=until [ -e gate ]; do sleep 0.05; done")
    wait_until(lambda: "PREEMPTED" in str(run.get_database().last_end[0]))
    assert run.get_database().fails[0] == 0
    assert "1 PREEMPTED" in run.info(format="text")
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 2


def test_a_job_that_uses_too_much_memory_is_told_from_others(cluster, stopped, ledger, gate):
    run = stopped(save_interval=1)
    wait_until(is_saved)
    (job_id,) = ledger.jobs()
    cluster.run_out_of_memory(job_id)
    send(signal.SIGKILL, family(ledger.begun()[0].job_pid))
    wait_until(lambda: run.get_database().attempt[0] == 2)
    assert run.get_database().last_end[0] == "OUT_OF_MEMORY (OutOfMemory)"
    assert "1 OUT_OF_MEMORY" in run.info(format="text")
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 2


# A controller in trouble.


def test_a_job_goes_on_while_the_controller_hangs(cluster, stopped, ledger, gate):
    run = stopped()
    with cluster.controller_stopped():
        wait_until(lambda: "slurm_load_jobs error" in run.info(format="text"))
        gate.touch()
        wait_until(lambda: run.get_database().is_done[0])
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 1


def test_a_job_that_dies_while_there_is_no_controller_is_replaced_later(
    cluster, stopped, ledger, gate
):
    run = stopped(save_interval=1)
    wait_until(is_saved)
    with cluster.controller_down():
        send(signal.SIGKILL, family(ledger.begun()[0].job_pid))
        wait_until(lambda: "slurm_load_jobs error" in run.info(format="text"))
        assert run.get_database().fails[0] == 0  # nobody knows that it is dead
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)


def test_a_submission_without_an_answer_is_found_and_not_repeated(cluster, start, ledger, caplog):
    functions = [Noted(ledger.path, i) for i in range(4)]
    learners = [adaptive.SequenceLearner(function, list(range(4))) for function in functions]
    scheduler = SLURM(cores=2)
    assert scheduler.partitions  # asked before the trouble begins
    with cluster.counted() as calls:
        with cluster.controller_stopped():
            run = start(learners, scheduler=scheduler)
            wait_until(lambda: "not known whether sbatch" in caplog.text)
        run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert calls["sbatch"] == 1
    assert len(records(events.Submitted)) == 1


def test_a_controller_that_is_killed_in_the_middle_of_a_submission_is_waited_for(
    cluster, start, ledger, here, caplog
):
    gates = [here / "first", here / "second", None]
    functions = [Noted(ledger.path, i, free=2, gate=gate) for i, gate in enumerate(gates)]
    learners = [adaptive.SequenceLearner(function, list(range(4))) for function in functions]
    # The third job is submitted when the first learner is done.
    run = start(learners, scheduler=SLURM(cores=(1, 1, 2)), dependencies={2: [0]})
    wait_until(lambda: len(ledger.begun(0)) == len(ledger.begun(1)) == 3)
    cluster.let_controller_save()
    cluster.signal(signal.SIGSTOP, "slurmctld")
    gates[0].touch()
    wait_until(lambda: len(records(events.Submitting)) == 2 and has_child_named("sbatch"))
    cluster.kill("slurmctld")
    killed = time.monotonic()
    gates[1].touch()
    wait_until(lambda: run.get_database().is_done[1])
    wait_until(lambda: "not known whether sbatch" in caplog.text)
    wait_until(lambda: time.monotonic() > killed + 20)
    cluster.start_controller()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert [len(ledger.jobs(i)) for i in range(3)] == [1, 1, 1]


def has_child_named(name: str) -> bool:
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # others come and go
            if child.name() == name:
                return True
    return False
