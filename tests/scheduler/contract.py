"""What every scheduler keeps, whatever its name.

A test module makes a subclass of `SchedulerContract`, whose name begins with
"Test", and gives it a fixture ``site``, a `Site`.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol

import cloudpickle
import pytest

from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InvalidInputError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler import BaseScheduler, Batch
from adaptive_scheduler.scheduler.jobs import new_token, run_id_of
from tests.waiting import PATIENCE, wait_until

#: Lets a script live until the file ``go`` appears in its folder.
HOLD = "until [ -e go ]; do sleep 0.05; done"

#: Processes that a job starts, each of which notes its id.
IN_ITS_SESSION = (
    "(note; exec sleep 1000) &",
    "(note; exec nohup sleep 1000) > /dev/null 2>&1 &",
    "(note; trap '' TERM; until [ -e never ]; do sleep 0.05; done) &",
)
OUT_OF_ITS_SESSION = (
    "(note; exec setsid sleep 1000) &",
    "setsid bash -c '(echo $BASHPID >> pids; exec sleep 1000) & disown; exit'",
)

#: What users' folders and jobs are named.
ODD_NAMES = [
    "with space",
    "it's",
    'double"quote',
    "dollar$HOME",
    "back`tick`",
    "back\\slash",
    "naïve π 数据",
    "new\nline",
    "-dash & ; | > *",
    "%x %j {0}",
]


class Site(Protocol):
    """One queueing system, with what the tests have to know about it."""

    #: Cores that jobs can have at the same time.
    n_cores: int
    #: A folder for a test's files.
    folder: Path
    #: Names that jobs can have here, besides plain ones.
    odd_job_names: list[str]
    #: How the scheduler's class is imported in another process.
    import_line: str

    def scheduler(self, **keywords: object) -> BaseScheduler:
        """Make a scheduler; with ``kill_wait`` seconds between SIGTERM and SIGKILL."""

    def hung(self) -> AbstractContextManager[None]:
        """Let the scheduler not answer for a while."""

    def killed(self) -> AbstractContextManager[None]:
        """Let the scheduler be dead for a while, if something does not start it again."""


def make_batch(scheduler: BaseScheduler, folder: Path, script: str, n: int = 1, **fields) -> Batch:
    """Make a batch whose jobs run `script`, a piece of bash."""
    text = f"#!/bin/bash\n{script}\n"
    path = folder / "job.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    values = {
        "job_name": "job",
        "numbers": tuple(range(n)),
        "script": text,
        "script_path": path,
        "resources": scheduler.resources(0),
        "workdir": folder,
        "log_folder": folder / "logs",
        "token": uuid.uuid4().hex,
    }
    return Batch(**values | fields)


class SchedulerContract:
    """The tests."""

    #: Those that end with their job.
    workers = (*IN_ITS_SESSION, *OUT_OF_ITS_SESSION)
    #: Whether members of an array that are cancelled before they begin leave no trace.
    forgets_what_never_began = False

    @pytest.fixture
    def scheduler(self, site, monkeypatch):
        scheduler = site.scheduler()
        # What waits for a queue that only the test uses need not spare it.
        monkeypatch.setattr(type(scheduler), "min_poll_interval", 0.2)
        return scheduler

    @pytest.fixture
    def submit(self, site, scheduler):
        """Return a function that submits jobs and returns their ids, in order."""

        def submit(script, n=1, *, using=scheduler, **fields):
            batch = make_batch(using, site.folder, script, n, **fields)
            job_ids = using.submit(batch)
            assert list(job_ids) == list(batch.numbers)
            return list(job_ids.values())

        return submit

    @pytest.fixture
    def running(self, site, scheduler, submit):
        """Return a function that submits jobs and waits until their scripts run.

        They run until they are ended, or the file ``go`` appears.
        """

        def start(script="", n=1, **fields):
            begun = site.folder / f"begun-{uuid.uuid4().hex}"
            begun.mkdir(parents=True)
            me = scheduler.variables.job_id
            ids = submit(f'{script}\ntouch "{begun}/{me}"\n{HOLD}', n, **fields)
            wait_until(lambda: len(list(begun.iterdir())) == n)
            return ids

        return start

    # Submitting.

    def test_a_job_runs_and_leaves_the_queue(self, site, scheduler, submit):
        (job_id,) = submit("echo done > result")
        wait_until(lambda: job_id not in alive(scheduler))
        assert (site.folder / "result").read_text() == "done\n"

    def test_a_job_is_in_the_queue_as_soon_as_it_is_submitted(self, scheduler, submit):
        (job_id,) = submit(HOLD)
        assert job_id in alive(scheduler)

    def test_each_job_of_a_batch_has_an_id_and_a_name_of_its_own(self, scheduler, submit):
        ids = submit(HOLD, numbers=(0, 3, 4, 10))
        assert len(set(ids)) == 4
        names = [scheduler.queue()[job_id]["job_name"] for job_id in ids]
        assert names == ["job-0", "job-3", "job-4", "job-10"]

    def test_ids_are_never_used_again(self, scheduler, submit):
        ids = set(submit("true", 3))
        wait_until(lambda: not ids & alive(scheduler))
        assert not ids & set(submit("true", 3))

    def test_a_job_knows_its_id_and_its_number(self, site, scheduler, submit):
        me = scheduler.variables
        ids = submit(f'echo "{me.job_id} {me.number} {me.restarts}" > "who-{me.number}"', 3)
        wait_until(lambda: not set(ids) & alive(scheduler))
        said = [(site.folder / f"who-{i}").read_text().split() for i in range(3)]
        assert said == [[job_id, str(i), "0"] for i, job_id in enumerate(ids)]

    def test_the_queue_carries_the_token_of_the_submission(self, scheduler, submit):
        first = submit(HOLD, 2, token="one")
        second = submit(HOLD, 2, token="two")
        tokens = {job_id: job["token"] for job_id, job in scheduler.queue().items()}
        assert [tokens[i] for i in first + second] == ["one", "one", "two", "two"]

    def test_the_queue_tells_to_which_run_a_job_belongs(self, scheduler, submit, running):
        ours, theirs = "0123456789abcdef", "fedcba9876543210"
        ids = [*running(token=new_token(ours)), *submit(HOLD, 2, token=new_token(theirs))]
        queue = scheduler.queue()
        assert [run_id_of(queue[i]["token"]) for i in ids] == [ours, theirs, theirs]

    def test_the_queue_tells_when_a_job_was_submitted(
        self, scheduler, submit, running, monkeypatch
    ):
        monkeypatch.setenv("TZ", "ELSEWHERE-9")  # clocks of users may show any time
        before = time.time()
        (begun,) = running()
        array = submit(HOLD, 3)
        after = time.time()
        queue = scheduler.queue()
        times = [queue[job_id]["submitted"] for job_id in [begun, *array]]
        assert all(before - 1 < time <= after for time in times)  # some tell whole seconds
        assert times == sorted(times)

    def test_the_queue_tells_jobs_that_run_from_jobs_that_wait(self, site, scheduler, running):
        ids = running(n=site.n_cores)
        waiting = scheduler.submit(make_batch(scheduler, site.folder, "true"))[0]
        queue = scheduler.queue()
        assert all(queue[job_id]["running"] for job_id in ids)
        assert not queue[waiting]["running"]
        assert queue[waiting]["reason"]
        assert all(job["alive"] for job in queue.values())

    def test_jobs_that_ask_for_more_than_there_is_are_refused(self, site):
        scheduler = site.scheduler(cores=site.n_cores + 1)
        resources = scheduler.resources(0)
        with pytest.raises(InvalidInputError, match=str(site.n_cores + 1)):
            scheduler.check(resources)
        with pytest.raises(SubmissionRejectedError, match="job"):
            scheduler.submit(make_batch(scheduler, site.folder, "true"))
        assert scheduler.queue() == {}

    def test_the_queue_as_a_table(self, scheduler, submit):
        assert scheduler.queue_df().empty
        ids = submit(HOLD, 2)
        table = scheduler.queue_df()
        assert list(table.index) == ids
        assert list(table["job_name"]) == ["job-0", "job-1"]

    # Output, folders, names.

    def test_output_and_errors_are_there_while_the_job_runs(self, site, running):
        (job_id,) = running("echo π; echo trouble >&2")
        output = site.folder / "logs" / f"job-0-{job_id}.out"
        assert wait_until(lambda: output.exists() and output.read_text()) == "π\ntrouble\n"

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_a_folder_may_have_any_name(self, site, scheduler, submit, name):
        workdir = site.folder / name
        workdir.mkdir(parents=True)
        (job_id,) = submit("pwd; pwd > here", workdir=workdir, log_folder=workdir / f"logs {name}")
        wait_until(lambda: job_id not in alive(scheduler))
        assert (workdir / "here").read_text() == f"{workdir}\n"
        output = workdir / f"logs {name}" / f"job-0-{job_id}.out"
        assert output.read_text() == f"{workdir}\n"

    def test_jobs_may_have_odd_names(self, site, scheduler, running):
        for name in site.odd_job_names:
            (job_id,) = running("echo here", job_name=name)
            assert scheduler.queue()[job_id]["job_name"] == f"{name}-0"
            assert scheduler.job_names_to_job_ids(f"{name}-0") == [job_id]
            assert (site.folder / "logs" / f"{name}-0-{job_id}.out").read_text() == "here\n"
            scheduler.cancel([f"{name}-0"], with_progress_bar=False)

    # Ends.

    def test_how_a_job_has_ended_is_known(self, scheduler, submit):
        good, bad, killed = (*submit("true"), *submit("exit 7"), *submit("kill -KILL $$"))
        wait_until(lambda: not {good, bad, killed} & alive(scheduler))
        ends = scheduler.ends([good, bad, killed, "never-heard-of"])
        assert set(ends) == {good, bad, killed}
        assert (ends[good].state, ends[good].exit_code) == ("COMPLETED", 0)
        assert (ends[bad].state, ends[bad].exit_code) == ("FAILED", 7)
        assert ends[killed].state == "FAILED"
        assert "KILL" in str(ends[killed])

    def test_a_job_that_has_not_ended_has_no_end(self, scheduler, running):
        (job_id,) = running()
        assert scheduler.ends([job_id]) == {}

    def test_a_job_that_runs_too_long_is_ended(self, site, submit):
        scheduler = site.scheduler(time="00:00:01")
        (job_id,) = submit("exec sleep 1000", using=scheduler)
        wait_until(lambda: job_id not in alive(scheduler))
        assert scheduler.ends([job_id])[job_id].state == "TIMEOUT"

    def test_a_job_that_must_end_has_time_to_save(self, site, scheduler, running):
        script = "trap 'echo saved > result; exit 0' TERM"
        (job_id,) = running(script)
        scheduler.cancel_ids([job_id])
        wait_until(lambda: job_id not in alive(scheduler))
        assert (site.folder / "result").read_text() == "saved\n"

    def test_a_job_that_does_not_want_to_end_is_killed(self, site, scheduler, running):
        stubborn = site.scheduler(kill_wait=0.5)
        (job_id,) = running("trap '' TERM", using=stubborn)
        scheduler.cancel_ids([job_id])
        wait_until(lambda: job_id not in alive(scheduler))
        assert "KILL" in str(scheduler.ends([job_id])[job_id])

    @pytest.mark.parametrize("how", ["cancel", "kill the main process"])
    def test_workers_end_with_their_job(self, site, scheduler, running, how):
        impatient = site.scheduler(kill_wait=0.5)
        noting = ["note() { echo $BASHPID >> pids; }", *self.workers, "echo $$ > main"]
        all_noted = f"until [ $(wc -l < pids) = {len(self.workers)} ]; do sleep 0.05; done"
        script = "\n".join([*noting, all_noted])
        (job_id,) = running(script, using=impatient)
        workers = [int(pid) for pid in (site.folder / "pids").read_text().split()]
        assert all(map(exists, workers))
        if how == "cancel":
            scheduler.cancel_ids([job_id])
        else:
            os.kill(int((site.folder / "main").read_text()), signal.SIGKILL)
        wait_until(lambda: job_id not in alive(scheduler))
        assert not any(map(exists, workers))

    # Cancelling.

    def test_cancelling_one_job_leaves_the_others(self, scheduler, running):
        first, second = running(n=2)
        scheduler.cancel_ids([first])
        wait_until(lambda: first not in alive(scheduler))
        assert second in alive(scheduler)
        assert scheduler.ends([first])[first].state == "CANCELLED"

    def test_jobs_that_wait_can_be_cancelled(self, site, scheduler, submit, running):
        running(n=site.n_cores)
        waiting = submit("touch started", 50)
        scheduler.cancel_ids(waiting)
        wait_until(lambda: not set(waiting) & alive(scheduler))
        (site.folder / "go").touch()
        wait_until(lambda: not alive(scheduler))
        assert not (site.folder / "started").exists()
        states = {end.state for end in scheduler.ends(waiting).values()}
        assert states == {"CANCELLED"} or (self.forgets_what_never_began and not states)

    def test_cancelling_by_name_waits_until_the_jobs_are_gone(self, scheduler, running):
        first, second = running(n=2)
        scheduler.cancel(["job-0", "no-such-job-0"], with_progress_bar=False)
        assert first not in alive(scheduler)
        assert second in alive(scheduler)

    def test_cancelling_what_is_not_there_is_no_error(self, scheduler, submit):
        (done,) = submit("true")
        wait_until(lambda: done not in alive(scheduler))
        scheduler.cancel_ids([done, "999999999", "999999999_7", "x", ""])
        scheduler.cancel_ids([])
        assert scheduler.ends([done])[done].state == "COMPLETED"

    def test_cancelling_twice_is_no_error(self, scheduler, running):
        (job_id,) = running()
        scheduler.cancel_ids([job_id])
        scheduler.cancel_ids([job_id])
        wait_until(lambda: job_id not in alive(scheduler))

    # Order and cores.

    def test_no_more_jobs_run_than_there_are_cores_for(self, site, scheduler, submit):
        me = scheduler.variables.number
        script = f'touch "on-{me}"; ls on-* | wc -l > "seen-{me}"; sleep 0.05; rm "on-{me}"'
        ids = submit(script, 6 * site.n_cores)
        wait_until(lambda: not set(ids) & alive(scheduler))
        seen = [int(path.read_text()) for path in site.folder.glob("seen-*")]
        assert len(seen) == len(ids)
        assert max(seen) <= site.n_cores

    def test_as_many_jobs_run_as_there_are_cores_for(self, site, running):
        running(n=site.n_cores)  # waits until all of them run

    def test_a_job_may_have_several_cores(self, site, scheduler, running):
        wide = site.scheduler(cores=site.n_cores)
        running(using=wide)
        waiting = scheduler.submit(make_batch(scheduler, site.folder, "true"))[0]
        assert not scheduler.queue()[waiting]["running"]

    def test_jobs_start_in_the_order_in_which_they_came(self, site, scheduler, submit, running):
        wide = site.scheduler(cores=site.n_cores)
        running(using=wide)
        me = scheduler.variables.number
        ids = [
            *submit(f'echo "a{me}" >> order', 2, using=wide),
            *submit(f'echo "b{me}" >> order', 2, using=wide),
        ]
        (site.folder / "go").touch()
        wait_until(lambda: not set(ids) & alive(scheduler))
        assert (site.folder / "order").read_text().split() == ["a0", "a1", "b0", "b1"]

    # Other processes.

    def test_another_process_sees_the_jobs_and_can_cancel_them(self, site, scheduler, running):
        first, second = running(n=2)
        seen = in_another_process(
            site, f"s.cancel_ids([{first!r}])\nprint(json.dumps(s.queue()[{second!r}]))"
        )
        assert json.loads(seen)["job_name"] == "job-1"
        wait_until(lambda: first not in alive(scheduler))
        assert second in alive(scheduler)

    def test_jobs_outlive_the_process_that_submitted_them(self, site, scheduler):
        (site.folder).mkdir(parents=True, exist_ok=True)
        batch = make_batch(scheduler, site.folder, f"{HOLD}; pwd > x")
        (site.folder / "batch").write_bytes(pickle.dumps(batch))
        with pytest.raises(subprocess.CalledProcessError) as caught:
            in_another_process(
                site,
                f"batch = pickle.loads(open({str(site.folder / 'batch')!r}, 'rb').read())\n"
                "print(s.submit(batch)[0], flush=True)\n"
                "os.killpg(0, signal.SIGKILL)",
            )
        job_id = caught.value.stdout.strip()
        assert job_id in alive(scheduler)
        (site.folder / "go").touch()
        wait_until(lambda: job_id not in alive(scheduler))
        assert (site.folder / "x").exists()
        assert scheduler.ends([job_id])[job_id].exit_code == 0

    @pytest.mark.parametrize("pickler", [pickle, cloudpickle])
    def test_a_scheduler_can_be_pickled(self, scheduler, submit, pickler):
        (job_id,) = submit(HOLD)
        copy = pickle.loads(pickler.dumps(scheduler))
        assert job_id in alive(copy)
        assert copy.job_script({"a": 1}) == scheduler.job_script({"a": 1})

    # A scheduler in trouble.

    @pytest.mark.parametrize("trouble", ["hung", "killed"])
    def test_a_scheduler_in_trouble_says_so_or_is_right(self, site, scheduler, running, trouble):
        (job_id,) = running()
        with getattr(site, trouble)():
            try:
                assert job_id in alive(scheduler)
            except SchedulerUnavailableError as error:
                assert len(str(error)) > 20  # noqa: PT017
            for call in (
                lambda: scheduler.cancel(["job-0"], with_progress_bar=False, max_tries=1),
                lambda: scheduler.submit(make_batch(scheduler, site.folder, "exit", token="t")),
            ):
                with suppress(SchedulerUnavailableError):
                    call()
        # What it did is seen once it answers again; nothing was done twice.
        (queue,) = wait_until(
            lambda: [] if (answer := answer_of(scheduler.queue)) is None else [answer]
        )
        assert sum(job["token"] == "t" for job in queue.values()) <= 1

    # Jobs by name.

    def test_a_script_that_was_written_can_be_started(self, site):
        scheduler = site.scheduler(
            log_folder=site.folder / "logs",
            batch_folder=site.folder / "batch scripts",
            python_executable="/bin/echo",
        )
        scheduler.write_job_script("odd name-7", {"run_folder": "it's $HOME"})
        assert scheduler.batch_fname("odd name-7").read_text().startswith("#!/bin/bash")
        job_id = scheduler.start_job("odd name-7")
        wait_until(lambda: job_id not in alive(scheduler))
        (output,) = (site.folder / "logs").glob("odd name-7-*.out")
        said = output.read_text()
        assert "--run-folder=it's $HOME" in said
        assert f"--job-id={job_id} --number=7 --restarts=0" in said

    def test_a_script_that_was_not_written_can_not_be_started(self, site):
        scheduler = site.scheduler(batch_folder=site.folder)
        with pytest.raises(InvalidInputError, match="write_job_script"):
            scheduler.start_job("job-1")


def alive(scheduler: BaseScheduler) -> set[str]:
    """Return the ids of the jobs that may still run."""
    return {job_id for job_id, job in scheduler.queue().items() if job["alive"]}


def exists(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def answer_of(call):
    """Return what `call` returns, or None if there is no answer."""
    try:
        return call()
    except AdaptiveSchedulerError:
        return None


def in_another_process(site: Site, code: str) -> str:
    """Run `code`, which finds a scheduler in ``s``, in a new session; return what it prints."""
    head = f"import json, os, pickle, signal\n{site.import_line}\n"
    return subprocess.run(
        [sys.executable, "-c", head + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        start_new_session=True,
    ).stdout
