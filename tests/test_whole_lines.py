"""Lines that another process appends are read when they are whole."""

from __future__ import annotations

import pytest

from tests.whole_lines import whole_lines


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", []),
        ("one", []),
        ("one\n", ["one"]),
        ("one\ntw", ["one"]),
        ("one\n\nthree\n", ["one", "", "three"]),
        ("one\u2028still one\nü", ["one\u2028still one"]),
    ],
)
def test_a_line_that_is_being_written_is_not_read(tmp_path, written, read):
    (tmp_path / "lines").write_text(written, encoding="utf-8")
    assert whole_lines(tmp_path / "lines") == read


def test_half_a_letter_is_part_of_a_line_that_is_being_written(tmp_path):
    (tmp_path / "lines").write_bytes(b"one\n" + "ü".encode()[:1])
    assert whole_lines(tmp_path / "lines") == ["one"]


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
    assert whole_lines(tmp_path / "lines") == []
