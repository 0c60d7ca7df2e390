"""The end of a file that grows is read line by line, and nothing twice."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptive_scheduler._common import tail
from adaptive_scheduler._common.tail import START, last_lines, read_new_lines

in_one_folder = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep-1-12.log"


def add(path, text):
    with path.open("ab") as file:
        file.write(text.encode(errors="surrogateescape"))


class Reader:
    """Keeps how far it has read."""

    def __init__(self, **limits):
        self.position = START
        self.limits = limits
        self.is_other = False

    def new(self, path):
        new = read_new_lines(path, self.position, **self.limits)
        self.position, self.is_other = new.position, new.is_other
        return new.lines


# The last lines.


@pytest.mark.parametrize(
    ("text", "n_lines", "last"),
    [
        ("", 5, ""),
        ("one\ntwo\nthree\n", 2, "two\nthree"),
        ("one\ntwo\nthree", 2, "two\nthree"),
        ("one\ntwo\nthree\n", 9, "one\ntwo\nthree"),
        ("one\n\n\n", 2, "\n"),
        ("one\ntwo\n", 0, ""),
        ("10 %\r20 %\r30 %\rend\n", 2, "30 %\nend"),
        ("fine\nodd \udcff\n", 1, "odd \ufffd"),
    ],
)
def test_the_last_lines_are_shown(path, text, n_lines, last):
    add(path, text)
    assert last_lines(path, n_lines) == last


@in_one_folder
@given(
    lines=st.lists(st.text("ab é", max_size=30), max_size=30),
    n_lines=st.integers(1, 40),
    block=st.integers(1, 50),
)
def test_they_are_the_same_however_they_are_read(path, lines, n_lines, block):
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "_BLOCK", block)
        assert last_lines(path, n_lines).split("\n") == (
            "\n".join(lines).splitlines()[-n_lines:] or [""]
        )


def test_output_that_is_one_endless_line_is_not_read_whole(path):
    with path.open("wb") as file:
        file.truncate(1 << 33)  # takes up no room
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    last = last_lines(path, 500)
    assert last.endswith("\nthe end")
    assert len(last) < 2 << 20


def test_a_file_that_is_not_there_has_no_lines(path):
    assert last_lines(path, 5) == ""


# What is new.


def test_each_line_is_read_once(path):
    reader = Reader()
    assert reader.new(path) == []
    add(path, "one\ntwo\n")
    assert reader.new(path) == ["one", "two"]
    assert reader.new(path) == []
    add(path, "three\n")
    assert reader.new(path) == ["three"]


def test_a_line_is_read_when_it_is_whole(path):
    reader = Reader()
    add(path, "one\ntw")
    assert reader.new(path) == ["one"]
    add(path, "o\n")
    assert reader.new(path) == ["two"]


def test_a_file_that_begins_anew_is_read_anew(path):
    reader = Reader()
    add(path, "one\ntwo\n")
    reader.new(path)
    path.write_text("1\n")
    assert reader.new(path) == ["1"]


def test_another_file_under_the_same_name_is_read_from_its_start(path, tmp_path):
    reader = Reader()
    add(path, "one\n")
    reader.new(path)
    (tmp_path / "new").write_text("1\n2\n3\n")
    (tmp_path / "new").replace(path)
    assert reader.new(path) == ["1", "2", "3"]


def test_lines_that_end_with_a_carriage_return_are_read_once(tmp_path):
    path, reader = tmp_path / "job.out", Reader()
    path.write_bytes(b"10%\r20%\r3")
    assert reader.new(path) == ["10%", "20%"]
    with path.open("ab") as file:
        file.write(b"0%\r")
    assert reader.new(path) == ["30%"]
    assert reader.new(path) == []


def test_a_line_without_an_end_is_not_read_for_ever(tmp_path):
    path, reader = tmp_path / "job.out", Reader()
    path.write_bytes(b"." * (1 << 21))
    assert [len(line) for line in reader.new(path)] == [1 << 21]
    assert reader.new(path) == []


def test_that_a_file_is_another_one_is_said(path):
    reader = Reader()
    reader.new(path)
    assert not reader.is_other
    add(path, "one\ntwo\nthr")
    reader.new(path)
    assert reader.is_other
    add(path, "ee\n")
    assert reader.new(path) == ["three"]
    assert not reader.is_other


def test_a_file_whose_first_line_is_half_written_is_the_same_when_that_is_whole(path):
    reader = Reader()
    add(path, "o")
    assert reader.new(path) == []
    add(path, "ne\ntwo\n")
    assert reader.new(path) == ["one", "two"]
    assert not reader.is_other


def test_a_file_that_begins_otherwise_is_another_one_with_the_same_number_and_more_in_it(path):
    reader = Reader()
    add(path, "one\n")
    reader.new(path)
    with path.open("r+b") as file:
        file.write(b"1\n2\n3\n4\n")
    assert reader.new(path) == ["1", "2", "3", "4"]
    assert reader.is_other


def test_of_a_long_file_only_the_end_is_read(path):
    add(path, "".join(f"line {i:07}\n" for i in range(100_000)))
    reader = Reader(first=200_000, later=1_000)
    lines = reader.new(path)
    assert lines[-1] == "line 0099999"
    assert set(map(len, lines)) == {len("line 0000000")}
    assert 0 < sum(len(line) + 1 for line in lines) <= 200_000
    add(path, "".join(f"more {i:07}\n" for i in range(1_000)))
    lines = reader.new(path)
    assert (lines[-1], len(lines)) == ("more 0000999", 76)
    assert not reader.is_other
    assert reader.new(path) == []
