"""Folders are looked at anew; what that is good for shows on NFS, see `tests.nfs`."""

from __future__ import annotations

import os
from pathlib import Path

from adaptive_scheduler._common.revalidate import revalidate


def test_whatever_is_in_the_place_of_the_folder_is_no_error_and_nothing_stays_open(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = set(Path("/proc/self/fd").iterdir())
    for name in (".", "missing", "file", "pipe", "file/below"):
        revalidate(tmp_path / name)
    assert set(Path("/proc/self/fd").iterdir()) == before
