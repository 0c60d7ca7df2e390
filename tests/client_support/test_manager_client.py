"""A job gets learners and delivers its reports, from the manager or from the run folder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os

import pytest

from adaptive_scheduler.client_support import manager_client as client_module
from adaptive_scheduler.client_support.fence import FollowedRun, SupersededError
from adaptive_scheduler.client_support.manager_client import ManagerClient, Verdict
from adaptive_scheduler.client_support.place import Place
from adaptive_scheduler.protocol import client as connection_module
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder import outbox as outbox_module
from adaptive_scheduler.run_folder.journal import read_journal
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.models import DONE, READY, RUNNING
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.spec import RunSpec
from tests import journals
from tests.asynchronous import in_a_loop
from tests.server_support.fake_manager import Manager, check_consistency
from tests.server_support.serving import Site, until
from tests.waiting import PATIENCE

GO_ON, SUPERSEDED, STOP = Verdict.GO_ON, Verdict.SUPERSEDED, Verdict.STOP


class Run:
    """A run folder, and the managers and jobs that come and go."""

    def __init__(self, root, monkeypatch, n_learners=3):
        self._monkeypatch = monkeypatch
        self.be_patient(is_patient=False)
        self.folder = RunFolder.at(root)
        self.folder.create()
        self.n_learners = n_learners
        self.spec = RunSpec(job_name="sweep", run_folder=self.folder)
        self.outbox = Outbox(self.folder.outbox)

    def be_patient(self, *, is_patient):
        """Have jobs wait as long as it takes, or not at all where nobody would answer."""
        patience = PATIENCE if is_patient else 0.3
        self._monkeypatch.setattr(connection_module, "_FIRST_PAUSE", 0.3)
        self._monkeypatch.setattr(client_module, "_LITTLE_PATIENCE", patience)
        self._monkeypatch.setattr(client_module, "_PATIENCE", patience)

    @contextlib.asynccontextmanager
    async def manager(self):
        """Manage the run for a while: from the journal, answering jobs, with reports in it."""
        manager = Manager([0] * self.n_learners)
        for record in read_journal(self.folder.journal):
            manager.state.apply(record)
        site = Site(self.folder.root)
        manager.site = site

        manager.journal = site.journal
        for path, message in list(self.outbox.messages()):
            manager.handler.answer(message)
            path.unlink()
        site.handle = manager.handler.handle
        site.publish(self.folder.connection)
        self.be_patient(is_patient=True)
        try:
            yield manager
        finally:
            self.be_patient(is_patient=False)
            await site.close()
            check_consistency(manager.state)

    @contextlib.contextmanager
    def job(self, number, job_id=None, restarts=0):
        identity = messages.JobIdentity(job_id or str(number), restarts)
        client = ManagerClient(
            self.folder.root,
            self.spec,
            identity,
            number,
            self.n_learners,
            place=Place(self.folder.root),
        )
        try:
            yield client
        finally:
            client.close()


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path / "sweep-run", monkeypatch)


def declare(run, **options):
    """Write what a manager says of the run at its start."""
    spec = RunSpec(job_name="sweep", run_folder=run.folder, n_learners=run.n_learners, **options)
    run.folder.spec.write_bytes(spec.to_json())
    run.folder.spec.chmod(0o600)


def done(client, **figures):
    return messages.Done(client.job, client.holding, figures)


# With a manager.


@in_a_loop
async def test_a_job_goes_from_learner_to_learner_until_none_is_left(run):
    async with run.manager() as manager:
        with run.job(1) as client:
            for learner in (1, 0, 2):
                assert await client.next_attempt() == messages.Attempt(learner, 1)
                assert await client.status({"npoints": 3}) is GO_ON
                await client.report(done(client, npoints=9))
                assert client.holding is None
            assert await client.next_attempt() is None
        assert manager.states() == [DONE] * 3
        assert [entry.npoints for entry in manager.state.learners] == [9] * 3


@in_a_loop
async def test_the_manager_is_told_who_the_job_is(run):
    async with run.manager() as manager:
        with run.job(1, "12_1", restarts=2) as client:
            await client.next_attempt()
        entry = manager.state.learners[1]
        assert (entry.job, entry.job_name) == (messages.JobIdentity("12_1", 2), "sweep-1")
        assert entry.log_fname == str(run.folder.log_of("sweep-1", "12_1"))


@in_a_loop
async def test_a_job_hears_that_it_should_stop(run):
    async with run.manager() as manager:
        with run.job(0) as client:
            await client.next_attempt()
            manager.handler.stop()
            assert await client.status({}) is STOP
            await client.report(messages.Released(client.job, client.holding, "cancelled"))
            assert await client.next_attempt() is None
        assert manager.states() == [READY] * 3


@in_a_loop
async def test_a_job_whose_learner_another_has_is_superseded(run):
    async with run.manager() as manager:
        with run.job(0) as client, run.job(0, "other") as other:
            await client.next_attempt()
            client.check_holding()
            manager.job_gone("0")
            assert await other.next_attempt() == messages.Attempt(0, 2)
            assert await client.status({}) is SUPERSEDED
            with pytest.raises(SupersededError):
                client.check_holding()
            assert await other.status({}) is GO_ON
            other.check_holding()


@in_a_loop
async def test_a_job_that_was_thought_gone_goes_on_under_a_new_number(run):
    async with run.manager() as manager:
        with run.job(0) as client:
            await client.next_attempt()
            manager.job_gone("0")
            assert await client.status({}) is GO_ON
            assert client.holding == messages.Attempt(0, 2)
            await client.report(done(client))
        assert manager.states()[0] == DONE


@in_a_loop
async def test_without_a_learner_there_is_nothing_to_go_on_with(run):
    async with run.manager():
        with run.job(0) as client:
            assert await client.status({}) is STOP


# Without.


@in_a_loop
async def test_a_job_that_nobody_answers_takes_its_own_learner(run):
    with run.job(1) as client:
        assert await client.next_attempt() == messages.Attempt(1, 1)
        assert not client.is_answered
        assert await client.status({}) is GO_ON
        client.check_holding()
    ((_, claim),) = run.outbox.messages()
    assert isinstance(claim, messages.Hello)
    assert (claim.job, claim.holding) == (messages.JobIdentity("1"), messages.Attempt(1, 1))


@in_a_loop
async def test_jobs_that_are_alone_take_different_learners(run):
    with run.job(0, "a") as first, run.job(0, "b") as second, run.job(2, "c") as third:
        attempts = await asyncio.gather(*(d.next_attempt() for d in (first, second, third)))
        assert {attempt.learner for attempt in attempts} == {0, 1, 2}
        with run.job(1, "d") as fourth:
            assert await fourth.next_attempt() is None


@in_a_loop
async def test_a_job_that_is_alone_goes_from_learner_to_learner_too(run):
    with run.job(1) as client:
        seen = []
        while (attempt := await client.next_attempt()) is not None:
            seen.append(attempt.learner)
            await client.report(done(client))
    assert seen == [1, 0, 2]


@in_a_loop
async def test_a_job_that_is_alone_takes_nothing_that_the_journal_knows_taken(run):
    async with run.manager():
        with run.job(0, "a") as client:
            await client.next_attempt()
        with run.job(1, "b") as client:
            await client.next_attempt()
            await client.report(done(client))
    with run.job(0, "c") as client:
        assert await client.next_attempt() == messages.Attempt(2, 1)
        await client.report(done(client))
        assert await client.next_attempt() is None


@in_a_loop
async def test_a_claim_that_the_manager_has_overtaken_is_taken_back(run, monkeypatch):
    overtaken = iter([True, False])
    monkeypatch.setattr(FollowedRun, "was_assigned", lambda *_: next(overtaken))
    with run.job(1) as client:
        assert await client.next_attempt() == messages.Attempt(0, 1)
    assert not run.outbox.is_claimed(messages.Attempt(1, 1))
    assert run.outbox.is_claimed(messages.Attempt(0, 1))


@in_a_loop
async def test_no_job_begins_after_the_end_of_the_run(run):
    journals.write(run.folder.journal, events.RunEnded(time=1.0, status="cancelled"))
    with run.job(1) as client:
        assert await client.next_attempt() is None


@in_a_loop
async def test_a_job_takes_what_it_was_given_though_the_answer_was_lost(run):
    async with run.manager() as manager:
        manager.submit(1)
        with run.job(0, "other") as other:
            await other.next_attempt()
        with run.job(1) as client:
            manager.handler.answer(client._hello(None))  # and the manager dies
    with run.job(1) as client:
        assert await client.next_attempt() == messages.Attempt(1, 1)
        assert list(run.outbox.messages()) == []
        client.check_holding()
        await client.report(done(client))
        assert await client.next_attempt() == messages.Attempt(
            2, 1
        )  # what it has reported is over for it


@in_a_loop
async def test_a_job_does_not_take_what_it_was_given_and_another_has_claimed(run):
    async with run.manager() as manager:
        manager.submit(1)
        with run.job(1) as client:
            manager.handler.answer(client._hello(None))
            other = messages.Hello(
                messages.JobIdentity("x"), "sweep-1", 1, "h", 1, "", messages.Attempt(1, 1)
            )
            assert run.outbox.claim(messages.Attempt(1, 1), other)
    with run.job(1) as client:
        assert await client.next_attempt() == messages.Attempt(0, 1)


# A disk in trouble.


@pytest.fixture
def failing_disk(run, monkeypatch):
    """Have the outbox fail three times, as on a disk that is full for a while."""
    monkeypatch.setattr(client_module, "_FIRST_DISK_PAUSE", 0.01)
    left = [errno.ENOSPC, errno.EDQUOT, errno.ESTALE]
    real = outbox_module._write

    def write(file, message):
        if left:
            raise OSError(left[0], os.strerror(left.pop(0)))
        real(file, message)

    monkeypatch.setattr(outbox_module, "_write", write)
    return left


@in_a_loop
async def test_a_report_that_can_not_be_left_is_left_when_the_disk_is_well(run, failing_disk):
    with run.job(1) as client:
        client.holding = messages.Attempt(1, 1)
        await client.report(done(client))
    assert failing_disk == []
    assert [message for _, message in run.outbox.messages()] == [
        messages.Done(messages.JobIdentity("1"), messages.Attempt(1, 1), {})
    ]
    assert len(list(run.outbox.folder.iterdir())) == 1


@in_a_loop
async def test_a_learner_is_claimed_when_the_disk_is_well(run, failing_disk):
    with run.job(1) as client:
        assert await client.next_attempt() == messages.Attempt(1, 1)
    assert failing_disk == []
    assert len(list(run.outbox.messages())) == 1


@in_a_loop
async def test_a_manager_that_comes_back_hears_what_the_disk_did_not_take(
    run, failing_disk, monkeypatch
):
    def never(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with run.job(1) as client:
        async with run.manager():
            await client.next_attempt()
        monkeypatch.setattr(outbox_module, "_write", never)
        reporting = asyncio.ensure_future(client.report(done(client)))
        await until(lambda: not client.is_answered)
        async with run.manager() as manager:
            await reporting
            assert manager.states()[1] == DONE


@in_a_loop
async def test_a_disk_that_stays_broken_ends_the_job_with_what_it_said(
    run, failing_disk, monkeypatch
):
    monkeypatch.setattr(client_module, "_DISK_PATIENCE", 0.0)
    with run.job(1) as client:
        with pytest.raises(OSError, match="No space"):
            await client.next_attempt()
        assert list(run.outbox.folder.iterdir()) == []  # nobody is kept from the learner


# The manager goes and comes back.


@in_a_loop
async def test_a_job_goes_on_while_the_manager_is_away(run):
    with run.job(1) as client:
        async with run.manager():
            assert await client.next_attempt() == messages.Attempt(1, 1)
        assert await client.status({}) is GO_ON
        async with run.manager() as manager:
            assert await client.status({}) is GO_ON
            assert client.is_answered
            assert client.holding == messages.Attempt(1, 1)
            await client.report(done(client))
            assert manager.states() == [READY, DONE, READY]


@in_a_loop
async def test_what_a_job_did_while_the_manager_was_away_is_known_afterwards(run):
    with run.job(1) as client:
        await client.next_attempt()
        await client.report(done(client))
        assert await client.next_attempt() == messages.Attempt(0, 1)
        async with run.manager() as manager:
            assert manager.states() == [RUNNING, DONE, READY]
            assert await client.status({}) is GO_ON
            await client.report(messages.Failed(client.job, client.holding, "ValueError: no"))
            assert manager.state.learners[0].error == "ValueError: no"


@in_a_loop
async def test_a_manager_that_has_not_read_the_outbox_yet_gives_no_learner_again(run):
    with run.job(1) as client:
        async with run.manager():
            assert await client.next_attempt() == messages.Attempt(1, 1)
        await client.report(done(client))
        ((path, _),) = run.outbox.messages()
        path.rename(path.with_suffix(".late"))
        async with run.manager() as manager:
            assert await client.next_attempt() == messages.Attempt(0, 1)
            assert manager.states() == [RUNNING, DONE, READY]


@in_a_loop
async def test_a_job_that_took_a_learner_given_to_another_meanwhile_is_superseded(run):
    async with run.manager() as manager:
        with run.job(0, "a") as client:
            unheard = client._hello(None)

            def handle(request):
                if request.message == unheard:  # it may still be under way long afterwards
                    raise LookupError("This is lost.")
                return manager.handler.handle(request)

            manager.site.handle = handle
            run.be_patient(is_patient=False)
            assert await client.next_attempt() == messages.Attempt(0, 1)
            run.be_patient(is_patient=True)
            with run.job(0, "b") as other:
                assert await other.next_attempt() == messages.Attempt(0, 1)
                assert await client.status({}) is SUPERSEDED
                with pytest.raises(SupersededError):
                    client.check_holding()
                other.check_holding()


# A connection file that is another user's.


@in_a_loop
async def test_a_job_goes_on_alone_when_its_connection_file_is_not_its_users(run, caplog):
    with run.job(0) as client:
        run.folder.connection.write_text("{}")
        run.folder.connection.chmod(0o644)
        assert await client.next_attempt() == messages.Attempt(0, 1)
        assert not client.is_answered
    events = [r.msg for r in caplog.records if r.name == "adaptive_scheduler.job"]
    (event,) = (each for each in events if each["event"] == "the manager does not answer")
    assert "readable or writable by others (mode 0644)" in event["error"]


# How long a job waits.


class Requests:
    """A connection that is never answered, and remembers how long it was waited for."""

    def __init__(self, client, *, is_refused):
        self.patiences = []
        self._is_refused = is_refused
        client._connection.close()
        client._connection = self

    async def request(self, message, *, patience):
        del message
        self.patiences.append(patience)

    async def is_refused(self):
        return self._is_refused

    def close(self):
        pass


@in_a_loop
async def test_a_manager_that_may_be_busy_is_waited_for_once(run, monkeypatch):
    monkeypatch.setattr(client_module, "_LITTLE_PATIENCE", 3.0)
    monkeypatch.setattr(client_module, "_PATIENCE", 30.0)
    with run.job(0) as client:
        requests = Requests(client, is_refused=False)
        await client.next_attempt()
        assert requests.patiences == [3.0, 30.0]
        await client.status({})
        assert requests.patiences == [3.0, 30.0, 3.0]


@in_a_loop
async def test_where_nobody_listens_a_job_does_not_wait_long(run, monkeypatch):
    monkeypatch.setattr(client_module, "_LITTLE_PATIENCE", 3.0)
    with run.job(0) as client:
        requests = Requests(client, is_refused=True)
        await client.next_attempt()
        await client.report(done(client))
        assert requests.patiences == [3.0]


@in_a_loop
async def test_a_job_that_is_alone_goes_by_what_the_last_manager_has_declared(run):
    with run.job(1) as client:
        async with run.manager():
            await client.next_attempt()
            await client.report(done(client))
        declare(run, dependencies={0: [2]})
        assert await client.next_attempt() == messages.Attempt(2, 1)
        declare(run)
        assert await client.next_attempt() == messages.Attempt(0, 1)


@in_a_loop
async def test_a_manager_that_has_not_read_the_outbox_gives_nobody_what_is_done(run, tmp_path):
    """It knows that this job had claimed a learner, and not yet that it is done with that."""
    with run.job(0) as client:
        assert await client.next_attempt() == messages.Attempt(0, 1)
        async with run.manager() as manager:
            assert manager.states() == [RUNNING, READY, READY]
        await client.report(done(client))
        assert await client.next_attempt() == messages.Attempt(1, 1)
        run.folder.outbox.rename(tmp_path / "unread")
        run.folder.outbox.mkdir()
        async with run.manager() as manager:
            assert await client.status({}) is GO_ON
            assert manager.states() == [DONE, RUNNING, READY]
