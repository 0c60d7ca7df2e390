"""Managers of jobs on PBS are killed one after the other, and the run comes to its end."""

from __future__ import annotations

import asyncio
import signal

from adaptive_scheduler.run_folder import events
from tests.asynchronous import in_a_loop
from tests.end_to_end.crashing_manager import N_LEARNERS, N_POINTS
from tests.end_to_end.looking import records
from tests.end_to_end.test_manager_killed import Managers, errors, steps
from tests.waiting import wait_until

#: While jobs are submitted and begin.
EARLY = ("before the submission", "after the submission", "in the middle of journal.jsonl")
#: While jobs run, and wait.
LATE = ("after look 1", "when journal.jsonl is on disk", "after look 4")


@in_a_loop
async def test_managers_that_are_killed_start_no_job_of_pbs_twice(pbs, here, ledger, gate):
    async with Managers.open() as managers:

        async def manage(**how):
            return await managers.manage(here, jobs="pbs", **how)

        for step in EARLY:
            assert await manage(die_at=step) == -signal.SIGKILL, errors(here)
            assert steps(here)[-1] == step
        await asyncio.to_thread(
            wait_until, lambda: len(ledger.begun(0)) == len(ledger.begun(1)) == N_POINTS // 2 + 1
        )
        for step in LATE:
            assert await manage(die_at=step) == -signal.SIGKILL, errors(here)
            assert steps(here)[-1] == step
        gate.touch()
        assert await manage() == 0, errors(here)
    done = [record.learner for record in records(events.Done, here / "run" / "journal.jsonl")]
    assert sum("-J" in call for call in pbs.calls("qsub")) == 1
    assert ledger.twice() == []
    assert len(ledger.returned()) == N_LEARNERS * N_POINTS
    assert sorted(done) == list(range(N_LEARNERS))
