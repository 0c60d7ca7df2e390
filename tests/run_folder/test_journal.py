"""The journal: what it says was written whole, is on disk, and can be read at any time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.protocol.messages import MAX_NUMBER, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder import journal as journal_module
from adaptive_scheduler.run_folder.journal import read_beginning, read_journal
from tests.journals import BEGAN, STARTED, open_journal, read, write

in_one_folder = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

counts = st.integers(0, 2**63 - 1)
times = st.floats(0, 1e12)
names = st.text(max_size=20)
jobs = st.builds(JobIdentity, names, st.integers(0, MAX_NUMBER))

BY_TYPE = {
    "float": times,
    "float | None": st.none() | times,
    "int": counts,
    "int | None": st.none() | counts,
    "str": names,
    "bool": st.booleans(),
    "list[int]": st.lists(counts, max_size=5),
    "dict[int, str]": st.dictionaries(counts, names, max_size=5),
    "list[float]": st.lists(times, max_size=5),
    "list[str]": st.lists(names, max_size=5),
    "dict[str, int]": st.dictionaries(names, counts, max_size=5),
    "JobIdentity": jobs,
    "JobIdentity | None": st.none() | jobs,
}


def _records_of(kind):
    types = {}
    for base in reversed(kind.__mro__):
        types |= getattr(base, "__annotations__", {})
    fields = {name: BY_TYPE[types[name]] for name in kind.__struct_fields__}
    return st.builds(kind, **fields)


records = st.one_of(*map(_records_of, get_args(events.AnyRecord)))


def released(number, reason="enough"):
    return events.Released(time=float(number), learner=number, reason=reason)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path):
    journal = open_journal(path)
    yield journal
    journal.close()


# Writing and reading.


@in_one_folder
@given(st.lists(records, max_size=10))
def test_what_was_written_is_read(path, written):
    path.unlink(missing_ok=True)
    write(path, *written)
    assert read(path) == written


def test_each_line_is_one_json_object(path):
    write(path, released(0, 'a "quoted"\nreason'), released(1))
    _, *lines = path.read_text().splitlines()
    assert lines[0] == (
        '{"event":"released","learner":0,"reason":"a \\"quoted\\"\\nreason","time":0.0}'
    )
    assert len(lines) == 2


def test_no_file_is_no_record(path):
    assert read(path) == []


def test_a_journal_that_exists_is_continued(path):
    write(path, released(0))
    write(path, released(1))
    assert read(path) == [released(0), released(1)]


def test_only_its_owner_can_read_it(journal, path):
    assert path.stat().st_mode & 0o777 == 0o600
    journal.compact([BEGAN])
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_before_the_flush(journal, path):
    journal.append(released(0))
    assert not journal.is_flushed
    assert read(path) == []
    journal.flush()
    assert journal.is_flushed
    assert read(path) == [released(0)]


def test_flushing_nothing_does_nothing(journal, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: pytest.fail(f"waited for the disk: {fd}"))
    journal.flush()
    assert journal.is_flushed


def test_records_wait_until_the_disk_has_them(journal, path, monkeypatch):
    states = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (states.append(journal.is_flushed), fsync(fd)))
    journal.append(released(0))
    journal.flush()
    assert states == [False]
    assert journal.is_flushed
    assert read(path) == [released(0)]


# Torn lines.


@in_one_folder
@given(st.lists(records, min_size=1, max_size=4), st.data())
def test_a_line_that_is_torn_anywhere_is_as_if_never_written(path, written, data):
    path.unlink(missing_ok=True)
    write(path, *written)
    whole = path.read_bytes()
    start_of_last = whole.rfind(b"\n", 0, -1) + 1
    cut = data.draw(st.integers(start_of_last, len(whole) - 1))
    path.write_bytes(whole[:cut])
    assert read(path) == written[:-1]
    write(path, released(5))
    assert read(path) == [*written[:-1], released(5)]


@pytest.mark.parametrize("leftover", [b"\0" * 300, b"\xff", b"{}", b' {"event"'])
def test_what_a_crash_leaves_at_the_end_is_cut_off(path, leftover):
    write(path, released(0))
    with path.open("ab") as file:
        file.write(leftover)
    assert read(path) == [released(0)]
    write(path, released(1))
    assert read(path) == [released(0), released(1)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"event":"unheard-of","time":1}',
        b'{"event":"done","time":1}',
        b'{"event":"released","time":1,"learner":0,"reason":"\xff\xfe"}',
    ],
)
def test_a_broken_line_in_the_middle_is_an_error_that_names_it(path, line):
    write(path, released(0))
    with path.open("ab") as file:
        file.write(line + b"\n")
    write(path, released(1))
    reading = read_journal(path)
    assert [next(reading), next(reading)] == [BEGAN, released(0)]
    with pytest.raises(RunFolderError, match=rf"Line 3 of the journal '{path}'.*Move the"):
        next(reading)


# Other formats.


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (STARTED, "does not tell its format.* `overwrite_db=True`.*data files are not touched"),
        (
            structs.replace(BEGAN, format=events.FORMAT + 1, version="4.0.0"),
            r"has format 3, of adaptive_scheduler 4.0.0; .*`pip install adaptive-scheduler==4.0.0`",
        ),
    ],
)
def test_a_journal_of_another_format_is_an_error_that_says_what_to_do(path, first, complaint):
    path.write_bytes(events.write_record(first))
    with path.open("ab") as file:
        file.write(b'{"event":"unheard-of","time":1}\n')
    for read_it in (read_beginning, lambda path: list(read_journal(path))):
        with pytest.raises(RunFolderError, match=complaint):
            read_it(path)


def test_the_first_record_tells_which_run_it_is(path):
    assert read_beginning(path) is None
    write(path, released(0))
    assert read_beginning(path) == BEGAN


def test_a_line_of_another_version_that_cant_be_read_says_which(path):
    began = structs.replace(BEGAN, version="3.9.0")
    path.write_bytes(events.write_record(began) + b'{"event":"unheard-of","time":1}\n')
    with pytest.raises(RunFolderError, match=r"Line 2.*written by adaptive_scheduler 3\.9\.0"):
        list(read_journal(path))


# A disk that is full or broken.


def test_a_failed_write_leaves_whole_lines_and_the_records_waiting(journal, path, monkeypatch):
    journal.append(released(0))
    journal.flush()
    real_write = os.write

    def write_half(fd, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(fd, data[: len(data) // 2])

    journal.append(released(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        with pytest.raises(OSError, match="No space left"):
            journal.flush()
    assert path.read_bytes().endswith(b"\n")
    assert read(path) == [released(0)]
    assert not journal.is_flushed

    journal.append(released(2))
    journal.flush()
    assert read(path) == [released(0), released(1), released(2)]


@contextmanager
def on_a_disk_that_fails(*functions):
    """Have functions fail meanwhile, and expect to be told so."""

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        for function in functions:
            patch.setattr(function, fail)
        with pytest.raises(OSError, match="Input/output"):
            yield


def test_what_the_disk_did_not_confirm_is_not_there(journal, path):
    journal.append(released(0))
    with on_a_disk_that_fails("os.fsync"):
        journal.flush()
    assert not journal.is_flushed
    assert read(path) == []
    journal.flush()
    assert read(path) == [released(0)]


FULL_DISK = """
import resource, sys
from pathlib import Path
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_journal
from tests.journals import BEGAN, open_journal

path = Path(sys.argv[1])
journal = open_journal(path)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
n_written = 0
for number in range(50):
    journal.append(events.Released(time=0.0, learner=number, reason="enough"))
    try:
        journal.flush()
        n_written = number + 1
    except OSError:
        assert not journal.is_flushed
    assert path.read_bytes().endswith(b"\\n")
    assert [record.learner for record in list(read_journal(path))[1:]] == list(range(n_written))
assert 0 < n_written < 50
try:
    journal.compact(
        [BEGAN, *(events.Released(time=0.0, learner=i, reason="enough") for i in range(50))]
    )
except OSError:
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
else:
    raise AssertionError("There was room after all.")

resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.flush()
assert journal.is_flushed
"""


@pytest.mark.system
def test_a_full_disk_loses_no_record(path):
    subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=True)
    assert [record.learner for record in read(path)] == list(range(50))


def test_a_journal_that_is_closed_writes_into_no_other_file(tmp_path):
    journal = open_journal(tmp_path / "journal.jsonl")
    journal.append(released(0))
    journal.close()
    with (tmp_path / "other").open("wb"):
        for _ in range(2):
            with pytest.raises(OSError, match="Bad file descriptor"):
                journal.flush()
    assert (tmp_path / "other").read_bytes() == b""
    assert read(tmp_path / "journal.jsonl") == []


# Several at once.


def test_whoever_reads_while_others_write_sees_a_beginning(journal, path):
    n_records = 300
    written = [released(i, "x" * (i % 100)) for i in range(n_records)]

    def keep_writing():
        for record in written:
            journal.append(record)
            journal.flush()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    sizes = []
    while writer.is_alive():
        seen = read(path)
        assert seen == written[: len(seen)]
        sizes.append(len(seen))
    writer.join()
    assert sizes == sorted(sizes)
    assert read(path) == written


def test_records_may_be_added_while_another_thread_flushes(journal, path):
    n_records = 2000
    is_over = threading.Event()

    def keep_flushing():
        while not is_over.is_set():
            journal.flush()

    flushers = [threading.Thread(target=keep_flushing) for _ in range(2)]
    for flusher in flushers:
        flusher.start()
    for number in range(n_records):
        journal.append(released(number))
    is_over.set()
    for flusher in flushers:
        flusher.join()
    journal.flush()
    assert [record.learner for record in read(path)] == list(range(n_records))


# Compaction.


def test_compaction_replaces_everything(journal, path):
    journal.append(released(0))
    journal.flush()
    journal.append(released(1))
    journal.compact(iter([BEGAN, released(7)]))
    assert read(path) == [released(7)]
    assert journal.is_flushed
    journal.append(released(8))
    journal.flush()
    assert read(path) == [released(7), released(8)]


def test_a_failed_write_after_a_compaction_keeps_the_compacted(journal, path):
    journal.append(released(0, "long" * 100))
    journal.flush()
    journal.compact([BEGAN, released(7)])
    journal.append(released(8))
    with on_a_disk_that_fails("os.fsync"):
        journal.flush()
    assert read(path) == [released(7)]


def test_whoever_reads_during_compactions_sees_the_old_or_the_new(journal, path):
    old, new = [released(i) for i in range(200)], [released(1000 + i) for i in range(50)]
    journal.compact([BEGAN, *old])

    def keep_compacting():
        for i in range(50):
            journal.compact([BEGAN, *(new if i % 2 else old)])

    compacter = threading.Thread(target=keep_compacting)
    compacter.start()
    while compacter.is_alive():
        assert read(path) in (old, new)
    compacter.join()


@pytest.mark.parametrize("times", [1, 3, 4])
def test_a_journal_that_is_replaced_on_another_host_while_it_is_read_is_read_again(
    path, monkeypatch, times
):
    write(path, released(0), released(1))
    stale = [OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)] * times
    read_record = journal_module.read_record

    def read_from_nfs(line):
        if stale and b'"learner":1' in line:
            raise stale.pop()
        return read_record(line)

    monkeypatch.setattr(journal_module, "read_record", read_from_nfs)
    found = read_journal(path)
    if times <= 3:
        assert list(found) == [BEGAN, released(0), released(1)]
    else:
        with pytest.raises(OSError, match="Stale file handle"):
            list(found)


def test_a_compaction_that_fails_changes_nothing(journal, path):
    journal.append(released(0))
    journal.flush()
    with on_a_disk_that_fails("os.fsync"):
        journal.compact([BEGAN, released(7)])
    journal.append(released(1))
    journal.flush()
    assert read(path) == [released(0), released(1)]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_compaction_that_fails_at_its_last_step_is_gone_on_with(journal, path):
    """The new file is in place, and what comes next belongs into that."""
    journal.append(released(0))
    journal.flush()
    with on_a_disk_that_fails("adaptive_scheduler.run_folder.journal.sync_folder"):
        journal.compact([BEGAN, released(7)])
    journal.append(released(8))
    journal.flush()
    assert read(path) == [released(7), released(8)]


def test_who_may_not_write_any_more_leaves_the_journal_as_it_is(tmp_path):
    path = tmp_path / "journal.jsonl"
    allowed = [True, True, False]
    journal = open_journal(path, may_write=lambda: allowed.pop(0))
    journal.append(events.Paused(time=1.0))
    journal.flush()
    journal.append(events.Resumed(time=2.0))
    with pytest.raises(OSError, match="another manager has taken the run over"):
        journal.flush()
    assert read(path) == [events.Paused(time=1.0)]
    assert not journal.is_flushed
    journal.close()


def test_half_a_line_that_could_not_be_cut_off_is_cut_off_later(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = open_journal(path)
    journal.append(events.Paused(time=1.0))
    with on_a_disk_that_fails("os.fsync", "os.ftruncate"):
        journal.flush()
    journal.append(events.Resumed(time=2.0))
    journal.flush()
    assert read(path) == [events.Paused(time=1.0), events.Resumed(time=2.0)]
    journal.close()
