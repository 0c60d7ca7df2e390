"""A shell acts on a run that nobody manages: all of what it is asked to, or nothing."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import InvalidInputError, UntrustedFileError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support.remote import command_run
from tests import journals


@pytest.fixture
def make_folder(tmp_path, local_spool):
    """Return a function that makes the folder of a run with three learners; nobody manages it."""

    def make(scheduler):
        folder = RunFolder.at(tmp_path / "sweep-run")
        folder.create()
        spec = RunSpec(
            run_id=journals.RUN_ID,
            job_name="sweep",
            run_folder=folder,
            n_learners=3,
            scheduler=scheduler,
        )
        folder.spec.write_bytes(spec.to_json())
        folder.spec.chmod(0o600)
        journals.write(folder.journal)
        return folder

    return make


@pytest.mark.parametrize("learners", [None, [1]], ids=["the run", "a learner"])
def test_nothing_is_cancelled_where_the_scheduler_can_not_be_found(make_folder, learners):
    folder = make_folder({"kind": "", "class": "mine.Queue"})
    with pytest.raises(InvalidInputError, match=r"'mine.Queue'.*`RunManager.attach`"):
        command_run(folder.root, "cancel", learners)
    assert journals.read(folder.journal) == []


def test_what_needs_no_scheduler_is_done_without_one(make_folder):
    folder = make_folder({"kind": "", "class": "mine.Queue"})
    assert "`adaptive-scheduler attach`" in command_run(folder.root, "pause")
    (record,) = journals.read(folder.journal)
    assert isinstance(record, events.Paused)


def test_learners_and_then_the_run_are_cancelled(make_folder):
    folder = make_folder(Local().as_data())
    assert command_run(folder.root, "cancel", [1]).startswith("1 learner")
    (record,) = journals.read(folder.journal)
    assert (type(record), record.learner) == (events.Cancelled, 1)
    assert command_run(folder.root, "cancel").startswith("0 jobs are being cancelled")
    assert isinstance(journals.read(folder.journal)[-1], events.RunEnded)


@pytest.mark.parametrize("name", ["spec", "journal"])
def test_nothing_is_done_by_what_others_may_have_written(make_folder, name):
    folder = make_folder(Local().as_data())
    getattr(folder, name).chmod(0o666)
    with pytest.raises(UntrustedFileError, match="writable by others"):
        command_run(folder.root, "cancel")
    assert journals.read(folder.journal) == []
