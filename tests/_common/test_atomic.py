"""A file that is written atomically is the old one or the new one, whole."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler.errors import InvalidInputError
from tests.waiting import PATIENCE


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_the_file_appears_when_the_block_ends(tmp_path):
    dest = tmp_path / "data.txt"
    with atomic_write(dest) as f:
        f.write("new")
        f.flush()
        assert not dest.exists()
    assert dest.read_text() == "new"
    assert names(tmp_path) == ["data.txt"]


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path):
    dest = tmp_path / "data.txt"
    dest.write_text("old")
    with suppress(KeyboardInterrupt), atomic_write(dest) as f:
        f.write("half of the n")
        raise KeyboardInterrupt
    assert dest.read_text() == "old"
    assert names(tmp_path) == ["data.txt"]


def test_bytes_and_the_arguments_of_open(tmp_path):
    with atomic_write(tmp_path / "b", "wb") as f:
        f.write(b"\x00\xff")
    with atomic_write(tmp_path / "t", "w", encoding="utf-16") as f:
        f.write("π")
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    assert (tmp_path / "t").read_text(encoding="utf-16") == "π"


@pytest.mark.parametrize("mode", ["a", "r", "r+", "x", "ab"])
def test_modes_that_do_not_write_from_the_beginning_are_refused(tmp_path, mode):
    with pytest.raises(InvalidInputError, match="mode"), atomic_write(tmp_path / "f", mode):
        pass
    assert names(tmp_path) == []


def test_a_bad_argument_of_open_leaves_nothing(tmp_path):
    with pytest.raises(LookupError), atomic_write(tmp_path / "f", encoding="no such"):
        pass
    assert names(tmp_path) == []


def test_a_writer_that_wants_a_path_gets_one_with_the_same_suffix(tmp_path):
    dest = tmp_path / "table.parquet"
    with atomic_write(dest, return_path=True) as path:
        assert path.parent == tmp_path
        assert path.suffix == ".parquet"
        path.write_bytes(b"PAR1")
        assert not dest.exists()
    assert dest.read_bytes() == b"PAR1"
    assert names(tmp_path) == ["table.parquet"]


def test_missing_folders_are_made(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "c.txt") as f:
        f.write("x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with atomic_write("~/data.txt") as f:
        f.write("x")
    assert (tmp_path / "data.txt").read_text() == "x"


def test_a_name_of_the_greatest_length_works(tmp_path):
    dest = tmp_path / ("x" * 248 + ".pickle")
    with atomic_write(dest) as f:
        f.write("x")
    assert dest.exists()


def test_a_symbolic_link_stays_one(tmp_path):
    real = tmp_path / "scratch" / "real.txt"
    link = tmp_path / "link.txt"
    link.symlink_to(real)
    with atomic_write(link) as f:
        f.write("x")
    assert link.is_symlink()
    assert real.read_text() == "x"


@pytest.mark.system
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, umask):
    code = (
        "import os, sys; from adaptive_scheduler._common.atomic import atomic_write\n"
        f"os.umask({umask})\n"
        "with atomic_write(sys.argv[1]) as f: f.write('x')"
    )
    dest = tmp_path / "f"
    subprocess.run([sys.executable, "-c", code, str(dest)], check=True)
    assert stat.S_IMODE(dest.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o664, 0o666, 0o755, 0o444])
def test_a_file_that_is_replaced_hands_on_its_permissions(tmp_path, permissions):
    dest = tmp_path / "f"
    dest.write_text("old")
    dest.chmod(permissions)
    with atomic_write(dest) as f:
        assert stat.S_IMODE(os.fstat(f.fileno()).st_mode) & 0o077 & ~permissions == 0
        f.write("new")
    assert stat.S_IMODE(dest.stat().st_mode) == permissions


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize("before", [None, 0o666, 0o400])
def test_a_file_gets_the_permissions_that_are_asked_for_less_the_umask(tmp_path, umask, before):
    dest = tmp_path / "f"
    if before is not None:
        dest.write_text("old")
        dest.chmod(before)
    old_umask = os.umask(umask)
    try:
        with atomic_write(dest, permissions=0o640) as f:
            f.write("new")
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE(dest.stat().st_mode) == 0o640 & ~umask


def test_a_file_system_that_sets_no_permissions_is_written_all_the_same(tmp_path, monkeypatch):
    dest = tmp_path / "f"
    dest.write_text("old")
    dest.chmod(0o777)

    def refused(*args, **kwargs):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    with atomic_write(dest) as f:
        f.write("new")
    assert dest.read_text() == "new"


def test_a_folder_in_the_place_of_the_file_raises_and_leaves_nothing(tmp_path):
    (tmp_path / "f").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "f") as f:
        f.write("x")
    assert names(tmp_path) == ["f"]


def test_the_bytes_are_on_disk_before_the_name_is(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(fd):
        steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def spy_replace(*args, **kwargs):
        steps.append("rename")
        replace(*args, **kwargs)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    with atomic_write(tmp_path / "f") as f:
        f.write("x")
    assert steps == ["file", "rename", "folder"]


def test_many_writers_of_one_file_never_mix(tmp_path):
    dest = tmp_path / "f"
    texts = [str(i) * 50_000 for i in range(8)]

    def write(text):
        with atomic_write(dest) as f:
            f.write(text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE)
    assert dest.read_text() in texts
    assert names(tmp_path) == ["f"]


@pytest.mark.system
def test_writing_a_file_needs_no_heavy_import():
    code = (
        "import sys, adaptive_scheduler.learners.storage\n"
        "assert not {'adaptive', 'numpy', 'pandas', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
