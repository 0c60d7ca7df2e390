"""`Local` runs jobs on one machine, as a scheduler does on many."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from adaptive_scheduler.errors import (
    InvalidInputError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler import Local, LocalMockScheduler
from adaptive_scheduler.scheduler.local import client, daemon
from adaptive_scheduler.scheduler.local import scheduler as local_scheduler
from adaptive_scheduler.scheduler.local.client import ask, exchange
from adaptive_scheduler.scheduler.local.processes import identify, is_alive
from adaptive_scheduler.scheduler.local.spool import open_spool, write_record
from tests.scheduler.contract import HOLD, SchedulerContract, alive, exists, make_batch
from tests.waiting import PATIENCE, wait_until


class LocalSite:
    n_cores = 2
    odd_job_names = ("with space", "it's $HOME `pwd` \\", "π-数据", "new\nline")
    import_line = "from adaptive_scheduler.scheduler import Local\ns = Local(max_cores=2)"

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._made = []

    def scheduler(self, **keywords):
        self._made.append(Local(**{"max_cores": self.n_cores} | keywords))
        return self._made[-1]

    @contextmanager
    def hung(self):
        pid = daemon_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            with self._monkeypatch.context() as patch:
                patch.setattr(Local, "command_timeout", 0.5)
                for scheduler in self._made:
                    patch.setattr(scheduler.commands, "timeout", 0.5)
                yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def killed(self):
        kill_daemon()
        yield


class TestLocal(SchedulerContract):
    @pytest.fixture
    def site(self, local_spool, tmp_path, monkeypatch):  # noqa: ARG002
        return LocalSite(tmp_path / "work", monkeypatch)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def submit(local_spool, folder):
    def submit(script, n=1, *, using=None, **fields):
        scheduler = using or Local(max_cores=2, kill_wait=0.5)
        return list(scheduler.submit(make_batch(scheduler, folder, script, n, **fields)).values())

    return submit


@pytest.fixture
def running(submit, folder):
    """Submit a job and wait until it runs; return its id and the pid of its script."""

    def start(script="", **keywords):
        (job_id,) = submit(f"{script}\necho $$ > pid.new; mv pid.new pid; {HOLD}", **keywords)
        pid = wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
        (folder / "pid").unlink()
        return job_id, int(pid)

    return start


def daemon_pid():
    return int(wait_until(open_spool().daemon.read_text).split()[0])


def kill_daemon():
    """Kill the daemon without warning."""
    pid = daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not exists(pid))


def supervisor_of(pid):
    """Return the number of the process that started the job with the main process `pid`."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def change_supervisor(job_id, **fields):
    """Have the spool say something else of a job's supervisor."""
    spool = open_spool()
    record = spool.read_record(job_id)
    supervisor = dict(zip(("pid", "began", "boot"), record["supervisor"], strict=True)) | fields
    job_file = os.open(spool.job_file(job_id), os.O_RDWR)
    write_record(job_file, record | {"supervisor": list(supervisor.values())})
    os.close(job_file)


# The daemon.


def test_without_jobs_there_is_no_daemon(local_spool):
    scheduler = Local()
    assert scheduler.queue() == {}
    assert scheduler.ends(["1_0"]) == {}
    scheduler.cancel_ids(["1_0"])
    assert list(open_spool().folder.iterdir()) == []


def test_the_daemon_goes_away_when_there_is_nothing_to_do(submit):
    (job_id,) = submit("exit 3")
    pid = daemon_pid()
    wait_until(lambda: not exists(pid))
    assert Local().ends([job_id])[job_id].exit_code == 3


def test_jobs_run_on_and_are_adopted_when_the_daemon_is_killed(running, folder):
    job_id, pid = running("trap 'exit 5' EXIT")
    kill_daemon()
    assert exists(pid)
    assert Local().queue()[job_id]["running"]
    (folder / "go").touch()
    wait_until(lambda: job_id not in alive(Local()))
    assert Local().ends([job_id])[job_id].exit_code == 5


def test_jobs_that_wait_are_started_by_the_next_daemon(running, submit, folder):
    wide = Local(cores=2, max_cores=2)
    first, _ = running(using=wide)
    waiting = submit("echo $ADAPTIVE_SCHEDULER_LOCAL_NUMBER >> order", 3, using=wide)
    kill_daemon()
    (folder / "go").touch()
    wait_until(lambda: not alive(Local()))
    assert (folder / "order").read_text().split() == ["0", "1", "2"]
    assert set(Local().ends([first, *waiting])) == {first, *waiting}


def test_a_job_that_ends_while_there_is_no_daemon_is_remembered(running, folder):
    job_id, pid = running("trap 'exit 6' EXIT")
    supervisor = supervisor_of(pid)
    kill_daemon()
    (folder / "go").touch()
    wait_until(lambda: not exists(supervisor))
    assert Local().queue() == {}
    assert Local().ends([job_id])[job_id].exit_code == 6


def test_a_job_meets_its_time_limit_while_there_is_no_daemon(submit):
    kill_it = f"kill -KILL $(cut -d ' ' -f 1 {open_spool().daemon})"
    (job_id,) = submit(f"{kill_it}\n{HOLD}", using=Local(time=2, max_cores=2))
    supervisor, *_ = wait_until(lambda: open_spool().read_record(job_id).get("supervisor"))
    wait_until(lambda: not exists(supervisor))
    assert not exists(daemon_pid())
    wait_until(lambda: job_id not in alive(Local()))
    assert Local().ends([job_id])[job_id].state == "TIMEOUT"


def test_a_job_can_be_cancelled_after_its_daemon_was_killed(running):
    job_id, pid = running()
    kill_daemon()
    Local().cancel_ids([job_id])
    wait_until(lambda: job_id not in alive(Local()))
    assert not exists(pid)
    assert Local().ends([job_id])[job_id].state == "CANCELLED"


@pytest.mark.parametrize("daemon_too", [False, True])
def test_what_a_killed_supervisor_leaves_is_ended(running, folder, daemon_too):
    script = """
        (echo $BASHPID >> workers; exec setsid sleep 1000) &
        (echo $BASHPID >> workers; trap '' TERM; exec sleep 1000) &
        until [ $(wc -l < workers) = 2 ]; do sleep 0.05; done
    """
    job_id, pid = running(script)
    pids = [pid, *map(int, (folder / "workers").read_text().split())]
    if daemon_too:
        kill_daemon()
    os.kill(supervisor_of(pid), signal.SIGKILL)
    wait_until(lambda: job_id not in alive(Local()))
    assert not any(map(exists, pids))
    end = Local().ends([job_id])[job_id]
    assert end.state == "FAILED"
    assert "killed" in end.reason


def test_a_stopped_supervisor_goes_on_when_its_job_is_cancelled(running):
    job_id, pid = running()
    os.kill(supervisor_of(pid), signal.SIGSTOP)
    Local().cancel_ids([job_id])
    wait_until(lambda: job_id not in alive(Local()))
    assert not exists(pid)


def test_a_stopped_job_can_be_cancelled(running):
    job_id, pid = running(using=Local(max_cores=2))
    os.kill(pid, signal.SIGSTOP)
    Local().cancel_ids([job_id])
    wait_until(lambda: job_id not in alive(Local()))


def test_jobs_of_an_earlier_start_of_the_machine_are_gone(running):
    job_id, pid = running()
    kill_daemon()
    supervisor = supervisor_of(pid)
    os.kill(supervisor, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    change_supervisor(job_id, boot="an earlier one")
    assert Local().queue() == {}
    end = Local().ends([job_id])[job_id]
    assert end.state == "NODE_FAIL"
    assert end.is_no_fault


def test_a_process_that_got_the_number_of_a_supervisor_is_left_alone(running):
    job_id, pid = running()
    kill_daemon()
    os.kill(supervisor_of(pid), signal.SIGKILL)
    with subprocess.Popen(["sleep", "1000"], env={}) as stranger:
        change_supervisor(job_id, pid=stranger.pid)
        Local().cancel_ids([job_id])
        wait_until(lambda: job_id not in alive(Local()))
        assert not exists(pid)
        assert stranger.poll() is None
        stranger.kill()


def test_many_processes_that_need_a_daemon_at_once_get_the_same(local_spool, folder):
    scheduler = Local(max_cores=2)
    code = (
        "import sys, pickle; from adaptive_scheduler.scheduler import Local\n"
        "batch = pickle.load(sys.stdin.buffer)\n"
        "print(*Local(max_cores=2).submit(batch).values())"
    )
    batch = pickle.dumps(make_batch(scheduler, folder, "echo . >> lines", 5))
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(6)
    ]
    ids = []
    for program in programs:
        program.stdin.write(batch)
        program.stdin.close()
    for program in programs:
        ids += program.stdout.read().split()
        program.stdout.close()
        assert program.wait(timeout=PATIENCE) == 0
    assert len(set(ids)) == 30
    wait_until(lambda: not alive(scheduler))
    assert (folder / "lines").read_text().count(".") == 30


def test_no_job_runs_twice_however_often_the_daemon_is_killed(submit, folder):
    ids = []
    for _ in range(12):
        ids += submit("echo $ADAPTIVE_SCHEDULER_LOCAL_JOB_ID >> ran", 5)
        pid = daemon_pid()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(Local()))
    ran = (folder / "ran").read_text().split()
    assert len(ran) == len(set(ran))
    ends = Local().ends(ids)
    assert set(ends) == set(ids)
    # One that was about to be started just then is reported as failed.
    assert {i for i, end in ends.items() if end.state == "COMPLETED"} <= set(ran)
    assert len(ran) >= len(ids) - 12


def test_a_submission_that_is_sent_twice_is_done_once(submit, monkeypatch):
    submit("true")
    asked = []

    def ask_and_note(spool, question, **keywords):
        asked.append(question)
        return ask(spool, question, **keywords)

    monkeypatch.setattr(local_scheduler, "ask", ask_and_note)
    (job_id,) = submit(HOLD, token="once")
    assert ask(open_spool(), asked[0], timeout=PATIENCE) == {"batch": int(job_id.split("_")[0])}
    assert alive(Local()) >= {job_id}
    assert sum(job["token"] == "once" for job in Local().queue().values()) == 1


def test_a_question_that_comes_too_late_is_not_acted_upon(running, monkeypatch):
    job_id, pid = running()
    says_what_to_do = pytest.raises(SchedulerUnavailableError, match=f"kill -CONT {daemon_pid()}")
    with LocalSite(None, monkeypatch).hung(), says_what_to_do:
        Local().cancel_ids([job_id])
    assert Local().queue()[job_id]["state"] == "RUNNING"
    assert exists(pid)


def test_a_daemon_of_another_release_is_replaced_and_its_jobs_go_on(running):
    job_id, pid = running()
    old = daemon_pid()
    answer = exchange(open_spool(), {"do": "queue", "protocol": 0}, timeout=PATIENCE)
    assert answer == {"outdated": True}
    wait_until(lambda: not exists(old))
    assert Local().queue()[job_id]["running"]
    assert daemon_pid() != old
    assert exists(pid)


def test_garbage_on_the_socket_harms_nobody(running):
    job_id, _ = running()
    for garbage in (b"", b"\x80\x04garbage", b"[]", b'{"do": "queue"', b'"x"', b"null"):
        with socket.socket(socket.AF_UNIX) as connection:
            with open_spool().socket_address() as address:
                connection.connect(address)
            connection.sendall(garbage)
    for question in ({"do": "no such thing"}, {"do": "submit"}, {"do": "cancel", "job_ids": [1]}):
        with pytest.raises(SchedulerUnavailableError, match="does not understand"):
            ask(open_spool(), question, timeout=PATIENCE)
    assert job_id in alive(Local())


def test_the_daemon_imports_little(local_spool, submit):
    code = (
        "import sys, adaptive_scheduler.scheduler.local.daemon\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    said = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(Path(client.__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(said.split()) - set(sys.stdlib_module_names) <= {"__main__", "adaptive_scheduler"}


def test_a_daemon_that_a_job_starts_is_not_a_part_of_the_job(submit, folder, tmp_path):
    inner = tmp_path / "inner"
    script = f"""
        ADAPTIVE_SCHEDULER_LOCAL_DIR={inner} {sys.executable} inner.py > inner-id
    """
    (folder / "inner.py").write_text(
        "from pathlib import Path\n"
        "from adaptive_scheduler.scheduler import Local\n"
        "from adaptive_scheduler.scheduler.jobs import Batch\n"
        "s = Local()\n"
        "here = Path.cwd()\n"
        f"script = '#!/bin/bash\\necho $$ > inner-pid; {HOLD}\\n'\n"
        "print(s.submit(Batch(job_name='inner', numbers=(0,), script=script, script_path=here,\n"
        "    resources=s.resources(0), workdir=here, log_folder=here, token=''))[0])\n"
    )
    (outer,) = submit(script)
    wait_until(lambda: outer not in alive(Local()))
    assert Local().ends([outer])[outer].exit_code == 0
    said = folder / "inner-pid"
    pid = int(wait_until(lambda: said.exists() and said.read_text()))
    assert exists(pid)
    (folder / "go").touch()
    wait_until(lambda: not exists(pid))


def test_a_clock_that_is_set_back_and_forth_changes_nothing(local_spool, folder, monkeypatch):
    """The daemon and its supervisors are forks of this process: they see the same clock."""
    spool, real = open_spool(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200 * (time.monotonic_ns() % 3 - 1))
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            daemon.main([str(spool.folder)])
        os._exit(0)
    os.waitpid(pid, 0)
    scheduler = Local(max_cores=3, kill_wait=0.5, time=3)
    began = time.monotonic()
    late = scheduler.submit(make_batch(scheduler, folder, HOLD))[0]
    told = scheduler.submit(make_batch(scheduler, folder, f"trap '' TERM; touch ready; {HOLD}"))[0]
    good = scheduler.submit(make_batch(scheduler, folder, "true"))[0]
    wait_until((folder / "ready").exists)
    scheduler.cancel_ids([told])
    wait_until(lambda: not alive(scheduler))
    assert time.monotonic() - began >= 3
    ends = scheduler.ends([late, told, good])
    assert [ends[i].state for i in (late, told, good)] == ["TIMEOUT", "CANCELLED", "COMPLETED"]
    wait_until(lambda: not exists(daemon_pid()))
    assert spool.log.read_text() == ""


# The spool.


def test_nobody_else_can_look_into_the_spool(running):
    running()  # until the end of the test: nothing comes or goes
    spool = open_spool()
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    for path in spool.folder.iterdir():
        assert path.name == "socket" or stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_batch_of_many_jobs_takes_few_files_and_little_space(submit):
    (first, *_), n = submit(HOLD, 10_000), 10_000
    assert len(Local().queue()) == n
    spool = open_spool()
    assert len(list(spool.folder.iterdir())) < 12
    assert sum(path.stat().st_size for path in spool.folder.iterdir()) < 32 * n
    Local().cancel_ids(set(alive(Local())) - {first})
    wait_until(lambda: alive(Local()) <= {first})


def test_nothing_is_left_in_the_spool_when_jobs_have_ended(submit):
    submit("true", 5)
    wait_until(lambda: not alive(Local()))
    wait_until(lambda: not exists(daemon_pid()))
    kept = {path.name for path in open_spool().folder.iterdir()}
    assert kept == {"daemon", "starting", "socket", "jobs.sqlite", "daemon.log"}
    assert open_spool().log.read_text() == ""


def test_jobs_that_run_are_taken_over_when_the_database_is_damaged(running, submit, folder):
    wide = Local(cores=2, max_cores=2, kill_wait=0.5)
    job_id, pid = running("trap 'exit 5' EXIT", using=wide, job_name="wide", token="mine")
    (waiting,) = submit("touch started", using=wide)
    kill_daemon()
    spool = open_spool()
    for path in spool.folder.glob("jobs.sqlite*"):
        path.write_bytes(b"garbage" * 1000)
    with pytest.warns(UserWarning, match=r"damaged-1\.sqlite"):
        queue = Local().queue()
    assert set(queue) == {job_id}
    assert (queue[job_id]["job_name"], queue[job_id]["token"]) == ("wide-0", "mine")
    assert "damaged-1.sqlite" in spool.log.read_text()
    (new,) = submit("true")
    assert new not in {job_id, waiting}
    assert Local().queue()[new]["state"] == "PENDING"  # the cores are taken
    (folder / "go").touch()
    wait_until(lambda: not alive(Local()))
    assert Local().ends([job_id, new])[job_id].exit_code == 5
    assert not (folder / "started").exists()
    assert not exists(pid)


def test_a_job_whose_supervisor_dies_after_the_database_was_damaged_is_ended(running):
    job_id, pid = running()
    kill_daemon()
    for path in open_spool().folder.glob("jobs.sqlite*"):
        path.write_bytes(b"garbage" * 1000)
    os.kill(supervisor_of(pid), signal.SIGKILL)
    with pytest.warns(UserWarning, match="damaged"):
        Local().queue()
    wait_until(lambda: job_id not in alive(Local()))
    assert not exists(pid)
    assert Local().ends([job_id])[job_id].state == "FAILED"


def test_a_job_whose_file_was_deleted_is_ended(running):
    job_id, pid = running()
    kill_daemon()
    open_spool().job_file(job_id).unlink()
    wait_until(lambda: job_id not in alive(Local()))
    assert not exists(pid)
    assert Local().ends([job_id])[job_id].state == "FAILED"


#: What formats 1 and 2 wrote, but for fields that say how jobs are started.
_JOURNAL = """\
{"event": "booted", "boot": "b"}
{"event": "submitted", "batch": 1795920000, "numbers": [0, 1, 2, 5], "job_name": "job"}
{"event": "started", "job": [1795920000, 0], "keeper": [1, 2], "mark": "m"}
{"event": "started", "job": [1795920000, 1], "keeper": [3, 4], "mark": "n"}
{"event": "ended", "jobs": ["1795920000_0"], "state": "FAILED", "exit_code": 1, "reason": ""}
"""


@pytest.mark.parametrize(("number", "torn"), [("1", ""), ("2", '{"event": "en')])
def test_jobs_of_an_earlier_format_are_not_passed_over_in_silence(submit, number, torn):
    folder = open_spool().folder.with_name(number)
    folder.mkdir()
    (folder / "journal.jsonl").write_text(_JOURNAL + torn)
    says = pytest.warns(UserWarning, match=f"3 jobs of an earlier version .* in {folder}.* rm -r")
    with says:
        assert Local().queue() == {}
    with says:
        submit("true")
    ended = '{"event": "ended", "jobs": ["1795920000_%s"]}\n'
    (folder / "journal.jsonl").write_text(_JOURNAL + "".join(ended % i for i in (1, 2, 5)))
    wait_until(lambda: not alive(Local()))
    kill_daemon()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Local().queue()


def test_jobs_end_when_their_spool_is_removed(running):
    _, first = running()
    _, second = running()
    pid = daemon_pid()
    shutil.rmtree(open_spool().folder)
    os.kill(first, signal.SIGKILL)  # something for the daemon to notice
    wait_until(lambda: not exists(pid))
    wait_until(lambda: not exists(second))


def test_a_long_path_of_the_spool_works(tmp_path, monkeypatch, local_spool, submit):
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(local_spool / ("x" * 200)))
    (job_id,) = submit("true")
    wait_until(lambda: job_id not in alive(Local()))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_somebody_else_is_not_used(local_spool):
    local_spool.mkdir()
    (local_spool / "local").mkdir()
    os.chown(local_spool / "local", 65534, 65534)
    with pytest.raises(SchedulerUnavailableError, match="somebody else"):
        Local().queue()


def test_a_spool_in_whose_place_others_can_put_another_is_not_used(local_spool):
    local_spool.mkdir()
    local_spool.chmod(0o777)
    with pytest.raises(SchedulerUnavailableError, match="anybody can put another folder in its"):
        Local().queue()
    local_spool.chmod(0o1777)
    assert Local().queue() == {}


def test_the_missing_parents_of_a_spool_are_made_private(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(tmp_path / "new" / "spool"))
    before = os.umask(0)
    try:
        open_spool()
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ["new", "new/spool"]} == {0o700}


def test_a_relative_spool_is_refused(monkeypatch):
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", "spool")
    with pytest.raises(InvalidInputError, match="absolute path, not 'spool'"):
        Local().queue()


def test_a_spool_that_can_not_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(tmp_path / "file"))
    with pytest.raises(SchedulerUnavailableError, match="Not a directory"):
        Local().queue()


def test_a_full_disk_is_named_and_nothing_is_submitted(local_spool, folder):
    scheduler = Local(max_cores=2)
    small = make_batch(scheduler, folder, HOLD)
    large = make_batch(scheduler, folder, HOLD, 100_000)
    # A daemon whose files can't grow gets the same answer from the system as with a full disk.
    code = (
        "import resource, sys, pickle; from adaptive_scheduler.scheduler import Local\n"
        "small, large = pickle.load(sys.stdin.buffer)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "s = Local(max_cores=2)\n"
        "s.submit(small)\n"
        "try: s.submit(large)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((small, large)),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert said.startswith("SchedulerUnavailableError")
    assert "disk I/O error" in said
    assert "ADAPTIVE_SCHEDULER_LOCAL_DIR" in said
    assert len(scheduler.queue()) == 1
    assert len(list(open_spool().folder.glob("*.sh"))) == 1


# Jobs.


def test_a_job_that_can_not_have_its_output_fails_and_says_why(submit, folder):
    (folder / "file").touch()
    (job_id,) = submit("true", log_folder=folder / "file" / "logs")
    wait_until(lambda: job_id not in alive(Local()))
    end = Local().ends([job_id])[job_id]
    assert end.state == "FAILED"
    assert "Not a directory" in end.reason


def test_a_job_whose_folder_is_gone_fails_and_says_why(submit, folder):
    (job_id,) = submit("true", workdir=folder / "gone")
    wait_until(lambda: job_id not in alive(Local()))
    assert "gone" in Local().ends([job_id])[job_id].reason


def test_a_job_has_the_environment_and_the_umask_of_its_submitter(submit, folder, monkeypatch):
    monkeypatch.setenv("MINE", "a b\n'π'")
    submit("true")
    monkeypatch.setenv("MINE", "another\udcff")
    before = os.umask(0o027)
    try:
        submit('printf %s "$MINE" > mine')
    finally:
        os.umask(before)
    wait_until(lambda: not alive(Local()))
    assert (folder / "mine").read_bytes() == b"another\xff"
    assert stat.S_IMODE((folder / "mine").stat().st_mode) == 0o640


def test_signals_that_python_ignores_end_a_job_as_usual(submit, folder):
    (job_id,) = submit("trap > traps; yes | head -n 1; echo ${PIPESTATUS[0]} > code")
    wait_until(lambda: job_id not in alive(Local()))
    assert (folder / "traps").read_text() == ""
    assert (folder / "code").read_text() == f"{128 + signal.SIGPIPE}\n"


def test_a_job_is_in_a_session_of_its_own_and_reads_nothing(submit, folder):
    (job_id,) = submit("read _ || echo nothing > in; echo $$ $(cut -d ' ' -f 6 /proc/$$/stat) > id")
    wait_until(lambda: job_id not in alive(Local()))
    assert (folder / "in").read_text() == "nothing\n"
    pid, session = (folder / "id").read_text().split()
    assert pid == session


def test_a_script_may_be_long(submit, folder):
    (job_id,) = submit(f": {'x' * 300_000}\ntouch here")
    wait_until(lambda: job_id not in alive(Local()))
    assert (folder / "here").exists()


def test_ids_say_nothing_false_about_jobs_that_are_not_there(submit):
    (job_id,) = submit("true")
    wait_until(lambda: job_id not in alive(Local()))
    batch = job_id.partition("_")[0]
    assert Local().ends([f"{batch}_1", f"{batch}_00", "٣_0", batch]) == {}


# What users give.


def test_more_cores_than_there_are_can_be_shared_on_purpose(local_spool):
    n = 1000
    with pytest.raises(InvalidInputError, match="max_cores=1000"):
        Local(cores=n).check(Local(cores=n).resources(0))
    Local(cores=n, max_cores=n).check(Local(cores=n, max_cores=n).resources(0))


def test_a_job_name_that_can_not_be_a_file_name_is_refused(submit):
    for name in ("a/b", "x" * 250, "nul\0"):
        with pytest.raises(SubmissionRejectedError, match="job_name"):
            submit("true", job_name=name)


@pytest.mark.parametrize(
    "keywords",
    [
        {"max_cores": 0},
        {"max_cores": 1.5},
        {"max_cores": True},
        {"kill_wait": -1},
        {"kill_wait": "soon"},
        {"time": "soon"},
        {"time": 0},
        {"cores": 0},
    ],
)
def test_values_that_can_not_be_are_refused(keywords):
    with pytest.raises(InvalidInputError, match=next(iter(keywords))):
        Local(**keywords)


def test_options_that_nothing_reads_are_refused():
    scheduler = Local(extra_scheduler=["--qos=high"])
    with pytest.raises(InvalidInputError, match="extra_scheduler"):
        scheduler.check(scheduler.resources(0))


def test_the_old_name_says_what_has_no_effect():
    with pytest.warns(DeprecationWarning, match="mock_scheduler_kwargs"):
        scheduler = LocalMockScheduler(2, mock_scheduler_kwargs={"x": 1})
    assert isinstance(scheduler, Local)
    assert scheduler.cores == 2


def test_identifying_a_process():
    me = identify(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(me._replace(began=me.began + 1))
