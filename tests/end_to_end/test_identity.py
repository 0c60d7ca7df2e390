"""Promise 9: a run touches no job that carries the id of another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import adaptive
import msgspec
import pytest

from adaptive_scheduler.cli import main
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_beginning
from adaptive_scheduler.scheduler.jobs import run_id_of
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records
from tests.end_to_end.sites import BOTH_SITES
from tests.waiting import wait_until

N_LEARNERS = 3
RUN = Path("run-run")


def make_learners(ledger, gate):
    functions = [Noted(ledger.path, i, gate=gate) for i in range(N_LEARNERS)]
    return [adaptive.SequenceLearner(function, range(10)) for function in functions]


def become_another_run(journal):
    """Have a journal say that it is of another run; return what was in it."""
    before = journal.read_bytes()
    began = msgspec.structs.replace(read_beginning(journal), run_id="fedcba9876543210")
    _, _, others = before.partition(b"\n")
    journal.write_bytes(events.write_record(began) + others)
    return before


@pytest.fixture
def other_run(jobs):
    """Return the folder of a run with an id of its own whose journal knows the jobs of `jobs`."""
    shutil.copytree(RUN, "other-run")
    become_another_run(Path("other-run/journal.jsonl"))
    spec = Path("other-run/spec.json")
    spec.write_text(json.dumps(json.loads(spec.read_text()) | {"run_id": "fedcba9876543210"}))
    return Path("other-run")


@pytest.fixture
def start(make_run, site, ledger, gate):
    """Return a function that starts a run of two jobs at most."""

    def start(**keywords):
        learners = make_learners(ledger, gate)
        run = make_run(learners, scheduler=site.scheduler(), max_simultaneous_jobs=2, **keywords)
        return run.start()

    return start


@pytest.fixture
def jobs(start, site, ledger):
    """Return the ids of the jobs of a run that nobody manages, and that is not over."""
    run = start()
    wait_until(lambda: len(ledger.jobs()) == 2)
    run.detach()
    return site.running()


@BOTH_SITES
def test_what_a_run_submits_carries_its_id(jobs, site):
    run_id = read_beginning(RUN / "journal.jsonl").run_id
    assert {run_id_of(job["token"]) for job in site.queue().values()} == {run_id}
    assert len(jobs) == 2


@BOTH_SITES
def test_who_cancels_a_run_without_a_manager_ends_no_jobs_of_another(jobs, site, capsys):
    before = become_another_run(RUN / "journal.jsonl")
    main(["cancel", str(RUN)])
    assert "0 jobs" in capsys.readouterr().out
    assert site.running() == jobs
    (RUN / "journal.jsonl").write_bytes(before)
    main(["cancel", str(RUN)])
    wait_until(lambda: not site.queue())


@BOTH_SITES
def test_a_run_that_is_started_and_cancelled_ends_no_jobs_of_another(jobs, other_run, site, start):
    run = start(folder=other_run, cleanup_first=True)
    gone = records(events.JobGone, other_run / "journal.jsonl")
    assert jobs <= {record.job_id for record in gone}
    assert site.running() == jobs
    run.cancel()
    assert jobs <= site.running()


@BOTH_SITES
def test_a_run_that_goes_on_does_not_adopt_the_jobs_of_another(jobs, other_run, site, start):
    run = start(folder=other_run)
    wait_until(lambda: records(events.JobGone, other_run / "journal.jsonl"))
    assert site.running() == jobs
    assert not jobs & set(run.database_manager.state.jobs)
