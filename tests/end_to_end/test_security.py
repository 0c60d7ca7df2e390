"""Promise 6: nobody else gets in, nor sees anything that is secret."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import adaptive
import psutil
import pytest
import zmq

from adaptive_scheduler.protocol import curve, messages
from adaptive_scheduler.scheduler import Local
from tests.cluster.processes import find, kill_all
from tests.end_to_end.barriers import Barriers
from tests.end_to_end.looking import said
from tests.end_to_end.other_users import as_other_user, readable
from tests.waiting import wait_until

N_POINTS = 40
#: Seconds in which another user hears nothing.
_SILENCE_MS = 1500
FREE = 20


@pytest.fixture
def open_place(monkeypatch):
    """Work in a folder that everybody can look into, as many home folders are."""
    with tempfile.TemporaryDirectory(prefix="open-") as name:
        place = Path(name)
        place.chmod(0o755)
        monkeypatch.chdir(place)
        monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(place / "spool"))
        yield place
        mine = f"ADAPTIVE_SCHEDULER_LOCAL_DIR={place / 'spool'}".encode()
        kill_all(lambda: find(lambda environment: mine in environment))


@pytest.fixture
def no_umask():
    """Have new files be everybody's, where nothing else is asked for."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def run(open_place, no_umask, make_run, ledger):
    """Return a run that computes."""
    learner = adaptive.SequenceLearner(Barriers(open_place).function(ledger.path), range(N_POINTS))
    run = make_run([learner])
    run.start()
    wait_until(lambda: said("current status"))
    wait_until(lambda: len(ledger.points(0)) == FREE)
    yield run
    run.cancel()
    run.wait()


def connection(run):
    return curve.Connection.from_json(run.run_folder.connection.read_bytes())


def everything_in(*folders):
    return [str(path) for folder in folders for path in [folder, *folder.rglob("*")]]


def content(path):
    """Return what is in a file; nothing if it is gone, as others are that get another name."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def processes_of(run):
    """Return this process, and all that have to do with the run or with `Local`."""
    mine = f"ADAPTIVE_SCHEDULER_LOCAL_DIR={os.environ['ADAPTIVE_SCHEDULER_LOCAL_DIR']}"
    found = [psutil.Process()]
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
        except OSError:
            continue
        if mine in environment.split("\0"):
            found.append(process)
    return found


# Files.


def ask_local(path):
    """Ask the daemon of another user's `Local`."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError as error:
            return type(error).__name__
        return "connected"


def test_another_user_sees_nothing_of_a_run_nor_what_runs(run, open_place):
    private = everything_in(open_place / "run-run", open_place / "spool" / "local")
    assert len(private) > 12
    assert {Path(path).name for path in private} >= {"connection.json", "learners.pack", "socket"}
    assert as_other_user(readable, private) == []
    assert as_other_user(readable, [str(open_place)]) == [str(open_place)]  # it can get that far
    (path,) = (open_place / "spool").rglob("socket")
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert Local().queue()
    assert as_other_user(ask_local, str(path)) == "PermissionError"


# Keys.


def test_the_secret_keys_are_in_one_file_and_nowhere_else(run, open_place):
    folder = run.run_folder
    keys, manager = connection(run).job_keys, run.database_manager._server.manager_keys
    files = [Path(path) for path in everything_in(open_place) if Path(path).is_file()]
    holding = [path.name for path in files if keys.secret.encode() in content(path)]
    assert holding == ["connection.json"]
    assert not any(manager.secret.encode() in content(path) for path in files)
    private = [folder.connection, folder.spec, folder.functions, folder.lock, folder.journal]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    folders = [folder.root, folder.logs, folder.scripts, folder.outbox]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    # Everybody sees command lines, and root the environments.
    processes = processes_of(run)
    assert any(b"run_learner" in content(f"/proc/{process.pid}/cmdline") for process in processes)
    for process in processes:
        for name in ("cmdline", "environ"):
            text = content(f"/proc/{process.pid}/{name}")
            assert keys.secret.encode() not in text
            assert manager.secret.encode() not in text
    environments = [f"/proc/{process.pid}/environ" for process in processes]
    assert as_other_user(readable, environments) == []


def test_each_start_makes_new_keys_and_closes_the_folder_again(run, make_run):
    before = connection(run)
    run.detach()
    run.run_folder.root.chmod(0o777)
    again = make_run(run.learners)
    again.start()
    after = connection(again)
    assert before.manager_key != after.manager_key
    assert before.job_keys.public != after.job_keys.public
    assert before.job_keys.secret != after.job_keys.secret
    assert stat.S_IMODE(run.run_folder.root.stat().st_mode) == 0o700
    again.cancel()
    again.wait()


# The port.


def hear(address, manager_key, with_keys):
    """Say hello to a manager, and return whether it answers."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    if with_keys:
        public, secret = zmq.curve_keypair()
        dealer.curve_publickey, dealer.curve_secretkey = public, secret
        dealer.curve_serverkey = manager_key.encode()
    dealer.connect(address)
    dealer.send(messages.encode(messages.Request(1, messages.CancelRun(messages.JobIdentity("1")))))
    answers = bool(dealer.poll(_SILENCE_MS))
    context.destroy(linger=0)
    return answers


def shout(address):
    """Send noise to a port."""
    url = urlsplit(address)
    with socket.create_connection((url.hostname, url.port)) as plain:
        plain.sendall(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE" + bytes(range(256)) * 4)


def test_another_user_is_not_heard_even_who_knows_the_managers_key(run, ledger):
    known = connection(run)
    (address,) = known.addresses
    for with_keys in (False, True):
        assert not as_other_user(hear, address, known.manager_key, with_keys)
    as_other_user(shout, address)
    assert run.status() == "running"
    Barriers(run.run_folder.root.parent).first.touch()
    Barriers(run.run_folder.root.parent).second.touch()
    run.wait()  # and it still listens to its own jobs
    assert len(ledger.points(0)) == N_POINTS
