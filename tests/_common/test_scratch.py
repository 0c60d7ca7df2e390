"""What jobs keep for their workers goes with them, and does not go before."""

from __future__ import annotations

import os
from pathlib import Path

from adaptive_scheduler._common.scratch import remove_scratch, scratch_of, temporary_folder


def test_the_last_job_removes_the_folder_of_all(tmp_path):
    with temporary_folder(scratch_of(tmp_path, "1")) as one:
        with temporary_folder(scratch_of(tmp_path, "2")) as other:
            assert one.is_dir()
            assert other.is_dir()
        assert one.is_dir()
        assert not other.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_job_may_begin_while_another_one_removes_the_folder_of_all(tmp_path, monkeypatch):
    mkdir, is_removed = os.mkdir, []

    def make_and_lose(path, *arguments, **keywords):
        mkdir(path, *arguments, **keywords)
        if Path(path).name == "scratch" and not is_removed:
            remove_scratch(scratch_of(tmp_path, "of another job"))
            is_removed.append(not Path(path).exists())

    monkeypatch.setattr(os, "mkdir", make_and_lose)
    with temporary_folder(scratch_of(tmp_path, "1")) as mine:
        assert mine.is_dir()
    assert is_removed == [True]
