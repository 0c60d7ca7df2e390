"""The journal of `Local` holds whole records, whatever happens."""

from __future__ import annotations

import resource

import pytest

from adaptive_scheduler.scheduler.local.state import ended, submitted
from adaptive_scheduler.scheduler.local.store import Journal, Ledger
from tests.scheduler.local.test_state import batch


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_what_was_written_is_read_again(path):
    journal = Journal(path)
    journal.append({"a": "π\n"}, durable=True)
    journal.append({"b": [1]})
    assert list(Journal(path).replay()) == [{"a": "π\n"}, {"b": [1]}]


@pytest.mark.parametrize("torn", [b'{"c":', b'{"c": 1}', b"\0\0\0\0"])
def test_a_record_that_was_cut_off_is_dropped(path, torn):
    Journal(path).append({"a": 1})
    with path.open("ab") as file:
        file.write(torn)
    journal = Journal(path)
    assert list(journal.replay()) == [{"a": 1}]
    journal.append({"b": 2})
    assert list(Journal(path).replay()) == [{"a": 1}, {"b": 2}]
    assert not path.with_suffix(".damaged").exists()


def test_a_damaged_journal_is_kept_and_read_as_far_as_possible(path):
    path.write_bytes(b'{"a": 1}\n\0\0\0\n{"b": 2}\n')
    assert list(Journal(path).replay()) == [{"a": 1}]
    assert b'{"b": 2}' in path.with_suffix(".damaged").read_bytes()


def test_a_record_that_does_not_fit_leaves_the_journal_as_it_was(path, small_files):
    journal = Journal(path)
    journal.append({"a": 1})
    with small_files(50), pytest.raises(OSError, match="File too large"):
        journal.append({"b": "x" * 100})
    journal.append({"c": 3})
    assert list(Journal(path).replay()) == [{"a": 1}, {"c": 3}]


def test_rewriting_takes_effect_as_a_whole_or_not_at_all(path, small_files):
    journal = Journal(path)
    journal.append({"a": 1})
    with small_files(50), pytest.raises(OSError, match="File too large"):
        journal.rewrite([{"b": "x" * 100}])
    journal.append({"c": 3})
    assert list(Journal(path).replay()) == [{"a": 1}, {"c": 3}]
    journal.rewrite([{"d": 4}])
    journal.append({"e": 5})
    assert list(Journal(path).replay()) == [{"d": 4}, {"e": 5}]


@pytest.fixture
def small_files():
    """Return a context in which files can't grow beyond some bytes, as on a full disk."""

    class SmallFiles:
        def __init__(self, size):
            self.size = size

        def __enter__(self):
            self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

        def __exit__(self, *_):
            resource.setrlimit(resource.RLIMIT_FSIZE, self.before)

    return SmallFiles


def test_the_journal_does_not_grow_for_ever(path, monkeypatch):
    monkeypatch.setattr("adaptive_scheduler.scheduler.local.store._MAX_OLD_RECORDS", 100)
    ledger = Ledger(path)
    for number in range(1, 500):
        ledger.record(submitted(number, [0], batch(submission=str(number))))
        ledger.record(ended([f"{number}_0"], "COMPLETED", 0))
    assert len(path.read_text().splitlines()) < 250
    again = Ledger(path)
    assert again.state.ends == ledger.state.ends
    assert again.state.next_batch == ledger.state.next_batch
