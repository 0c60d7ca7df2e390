"""Runs are started and waited for in scripts, threads, event loops, and shells."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading

import adaptive
import pytest

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import Local
from tests.end_to_end import programs
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records, send, wait_for_empty_queue
from tests.waiting import PATIENCE, wait_until

N_POINTS = 10
ALL = set(range(N_POINTS))


def make_learner(ledger, **keywords):
    return adaptive.SequenceLearner(Noted(ledger.path, **keywords), list(range(N_POINTS)))


def test_a_plain_script_starts_and_waits(ledger, gate):
    gate.touch()
    end = "run.start()\nrun.wait()\nrun.load_learners()\nprint(learners[1].result())\n"
    assert programs.run(programs.program(end=end)) == f"{[float(x**2) for x in range(10)]}\n"


def test_a_script_with_a_main_guard_may_use_spawned_workers(ledger, gate):
    gate.touch()
    end = "if __name__ == '__main__':\n    run.start()\n    run.wait()\n    print(run.status())\n"
    text = programs.program(end=end).replace("max_cores=2", "max_cores=2, executor_type='loky'")
    assert programs.run(text) == "finished\n"


def test_a_program_with_an_event_loop_awaits_the_run(make_run, ledger):
    run = make_run([make_learner(ledger)])

    async def main():
        run.start()
        await run
        return run.status()

    assert asyncio.run(main()) == "finished"


def test_who_stops_awaiting_does_not_stop_the_run(make_run, ledger, gate):
    run = make_run([make_learner(ledger, gate=gate)])

    async def main():
        run.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await run

    asyncio.run(main())
    assert run.status() == "running"
    gate.touch()
    run.wait()
    assert ledger.points(0) == ALL


def test_a_thread_starts_and_waits(make_run, ledger):
    run = make_run([make_learner(ledger)])
    thread = threading.Thread(target=lambda: (run.start(), run.wait()))
    thread.start()
    thread.join(PATIENCE)
    assert run.status() == "finished"


def test_waiting_has_a_limit_of_which_the_run_knows_nothing(make_run, ledger, gate):
    run = make_run([make_learner(ledger, gate=gate)])
    run.start()
    with pytest.raises(TimeoutError, match="not over"):
        run.wait(timeout=0)
    assert run.status() == "running"
    gate.touch()
    run.wait()


def test_a_run_is_started_once_and_not_waited_for_before(make_run, ledger):
    run = make_run([make_learner(ledger)])
    assert run.status() == "not yet started"
    with pytest.raises(AdaptiveSchedulerError, match="start"):
        run.wait()
    run.start()
    since = run.start_time
    with pytest.raises(AdaptiveSchedulerError, match="started before"):
        run.start()
    assert run.start_time == since
    run.wait()


def test_a_program_that_does_not_wait_ends_with_one_line_and_its_jobs_go_on(ledger, gate):
    done = subprocess.run(
        [sys.executable, "-c", programs.program(end="run.start()\n")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "jobs of run 'run' go on" in line
    assert "adaptive-scheduler cancel" in line
    wait_until(lambda: len(ledger.jobs()) == 2)
    assert len(Local().queue()) == 2  # the program was over while its jobs were not
    gate.touch()
    wait_for_empty_queue()
    assert ledger.points(0) == ledger.points(1) == ALL


def test_a_program_that_does_not_wait_is_told_when_its_jobs_are_refused(here):
    end = """
from adaptive_scheduler.errors import SubmissionRejectedError

def refuse(batch):
    raise SubmissionRejectedError("no such account")

run.scheduler.submit = refuse
run.start()
"""
    code, output, errors = programs.finish(programs.start(programs.program(end=end)))
    assert (code, output) == (0, "")
    assert errors == "Run 'run' has failed: no such account\n"


def test_a_program_that_cancels_and_ends_leaves_no_job(here):
    end = """
from tests.waiting import wait_until

run.start()
wait_until(lambda: len(list(here.glob("run-run/logs/*.log"))) == 2)
run.cancel()
"""
    assert programs.finish(programs.start(programs.program(end=end))) == (0, "", "")
    assert Local().queue() == {}
    assert records(events.RunEnded)[-1].status == "cancelled"


def test_ctrl_c_ends_the_waiting_and_nothing_else(ledger, gate):
    end = "run.start()\nprint('waits', flush=True)\nrun.wait()\nprint('not here')\n"
    process = programs.start(programs.program(end=end))
    assert process.stdout.readline() == "waits\n"
    wait_until(lambda: len(ledger.jobs()) == 2)
    send(signal.SIGINT, [process.pid])
    code, output, errors = programs.finish(process)
    assert code == 130
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith("Interrupted; the jobs of run 'run' go on.")
    assert len(Local().queue()) == 2
    gate.touch()
    wait_for_empty_queue()
    assert ledger.points(0) == ledger.points(1) == ALL


def test_plain_lines_tell_of_progress_where_there_is_no_terminal(ledger, gate):
    gate.touch()
    text = programs.program(end="run.start()\nrun.wait()\n").replace("quiet=True", "quiet=False")
    code, output, errors = programs.finish(programs.start(text))
    assert (code, output) == (0, "")
    last = [line for line in errors.splitlines() if not line.startswith(" ")][-1]
    assert re.match(r"run finished .*: 2/2 learners done", last), errors
    assert "\x1b" not in errors
