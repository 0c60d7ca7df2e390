"""What is unpickled was written by the user, whatever lies at its path a moment later."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from adaptive_scheduler._common import trusted
from adaptive_scheduler._common.trusted import (
    TRUST_VARIABLE,
    may_be_anothers,
    open_data,
    open_trusted,
    read_trusted,
    who_can_replace,
)
from adaptive_scheduler.errors import InvalidInputError, RunFolderError, UntrustedFileError
from tests.end_to_end.other_users import OTHER_USER, as_other_user

OTHER_UID = pwd.getpwnam(OTHER_USER).pw_uid


@pytest.fixture(autouse=True)
def no_trust(monkeypatch):
    monkeypatch.delenv(TRUST_VARIABLE, raising=False)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "functions.pickle"
    path.write_bytes(b"mine")
    path.chmod(0o644)
    return path


@pytest.fixture
def others_file(file):
    if os.geteuid() != 0:
        pytest.skip("Only root can give files away.")
    os.chown(file, OTHER_UID, -1)
    return file


# What is trusted.


def test_a_file_of_ones_own_is_read(file):
    assert read_trusted(file) == b"mine"


def test_the_file_is_closed_and_not_inherited(file):
    with open_trusted(file) as opened:
        assert not os.get_inheritable(opened.fileno())
    assert opened.closed


def test_folders_on_the_way_may_be_writable_by_others(file):
    file.parent.chmod(0o777)
    assert read_trusted(file) == b"mine"


def test_a_file_of_another_user_is_not_read(others_file):
    with pytest.raises(UntrustedFileError, match=f"belongs to {OTHER_USER}.*trust=True") as raised:
        read_trusted(others_file)
    assert isinstance(raised.value, RunFolderError)
    assert f"{TRUST_VARIABLE}='{others_file.parent}'" in str(raised.value)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o620, 0o602, 0o777])
def test_a_file_that_others_can_write_is_not_read(file, mode):
    file.chmod(mode)
    with pytest.raises(UntrustedFileError, match=rf"mode 0{mode:o}.*chmod go-w '{file}'"):
        read_trusted(file)


@pytest.mark.system
def test_a_file_of_root_is_read_by_anybody():
    if os.geteuid() != 0:
        pytest.skip("Only root has files of root.")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        file = Path(name, "site.pickle")
        file.write_bytes(b"root's")
        file.chmod(0o644)
        assert as_other_user(lambda: read_trusted(file).decode()) == "root's"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_secrets_must_be_readable_by_nobody_else(file, mode):
    file.chmod(0o600)
    assert read_trusted(file, private=True) == b"mine"
    file.chmod(mode)
    with pytest.raises(UntrustedFileError, match=r"readable.*chmod go-rwx"):
        read_trusted(file, private=True)


# What is opened is what is checked.


def test_a_file_that_is_put_in_its_place_after_the_check_is_not_read(file, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    with open_trusted(file) as opened:
        other.replace(file)
        assert opened.read() == b"mine"


def test_a_link_is_not_followed_unless_that_is_wanted(file):
    link = file.with_name("link")
    link.symlink_to(file)
    with pytest.raises(UntrustedFileError, match="symbolic link"):
        read_trusted(link)
    assert read_trusted(link, follow_link=True) == b"mine"


def test_a_link_that_is_followed_leads_to_a_file_that_is_checked(others_file):
    link = others_file.with_name("link")
    link.symlink_to(others_file)
    with pytest.raises(UntrustedFileError, match="belongs to"):
        read_trusted(link, follow_link=True)


def test_a_pipe_makes_nobody_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UntrustedFileError, match="no regular file"):
        read_trusted(tmp_path / "pipe")


def test_errors_of_the_file_system_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_trusted(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_trusted(tmp_path)


# Trust on purpose.


def test_another_user_can_be_trusted(others_file):
    others_file.chmod(0o666)
    assert read_trusted(others_file, trust=True) == b"mine"


@pytest.mark.parametrize("private", [False, True])
def test_all_below_a_named_folder_is_trusted(others_file, monkeypatch, private):
    others_file.chmod(0o777)  # as on file systems that have neither owners nor modes
    monkeypatch.setenv(TRUST_VARIABLE, f"/elsewhere:{others_file.parents[1]}")
    assert read_trusted(others_file, private=private) == b"mine"


@pytest.mark.parametrize("folder", ["elsewhere", "functions", ""])
def test_nothing_else_is(others_file, monkeypatch, folder):
    named = others_file.parent / folder if folder else ""
    monkeypatch.setenv(TRUST_VARIABLE, str(named))
    with pytest.raises(UntrustedFileError):
        read_trusted(others_file)


def test_a_path_that_leads_out_of_the_trusted_folder_is_not_trusted(
    others_file, monkeypatch, tmp_path
):
    trusted_folder = tmp_path / "trusted"
    trusted_folder.mkdir()
    (trusted_folder / "out").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.setenv(TRUST_VARIABLE, str(trusted_folder))
    for way in (
        trusted_folder / ".." / others_file.name,
        trusted_folder / "out" / others_file.name,
    ):
        with pytest.raises(UntrustedFileError, match="belongs to"):
            read_trusted(way)


def test_the_trusted_folder_may_be_reached_by_a_link(others_file, monkeypatch, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(others_file.parent, target_is_directory=True)
    monkeypatch.setenv(TRUST_VARIABLE, str(link))
    assert read_trusted(others_file) == b"mine"


def test_a_trusted_folder_is_named_by_an_absolute_path(others_file, monkeypatch):
    monkeypatch.setenv(TRUST_VARIABLE, "here")
    with pytest.raises(InvalidInputError, match=f"{TRUST_VARIABLE} must name folders"):
        read_trusted(others_file)


def test_a_file_that_has_taken_the_place_of_the_opened_one_lends_it_no_trust(
    others_file, monkeypatch, tmp_path
):
    """The path leads into a trusted folder, but what was opened came from elsewhere."""
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "it").write_bytes(b"good")
    monkeypatch.setenv(TRUST_VARIABLE, str(tmp_path / "trusted"))
    status = others_file.stat()
    assert not trusted._is_below_trusted_folder(tmp_path / "trusted" / "it", status)


# Data, which people share.


def test_data_of_others_is_opened_and_its_writers_are_named(others_file):
    with open_data(others_file) as opened:
        assert opened.writers == OTHER_USER
        assert opened.file.read() == b"mine"


@pytest.mark.parametrize(("mode", "writers"), [(0o600, ""), (0o644, ""), (0o666, "anybody")])
def test_who_can_write_ones_own_data(file, mode, writers):
    file.chmod(mode)
    with open_data(file) as opened:
        assert opened.writers == writers


def test_a_group_that_others_are_in_is_named(file):
    if os.geteuid() != 0:
        pytest.skip("Only root can give files away.")
    file.chmod(0o664)
    os.chown(file, -1, pwd.getpwnam(OTHER_USER).pw_gid)
    with open_data(file) as opened:
        assert opened.writers.startswith("group ")
    os.chown(file, -1, 0)  # root's group has root's name, and no other members
    with open_data(file) as opened:
        assert opened.writers == ""


def test_a_data_file_may_be_a_link_and_its_status_is_known(others_file, monkeypatch):
    link = Path(others_file.with_name("link"))
    link.symlink_to(others_file)
    monkeypatch.setenv(TRUST_VARIABLE, str(others_file.parent))
    with open_data(link) as opened:
        assert opened.writers == ""
        assert opened.status.st_ino == others_file.stat().st_ino


# Folders.


def test_who_can_put_another_folder_in_its_place(tmp_path):
    place = tmp_path / "place"
    folder = place / "in" / "folder"
    folder.mkdir(parents=True)
    assert who_can_replace(folder) == ""
    for mode, who in ((0o777, "anybody"), (0o1777, ""), (0o755, "")):
        place.chmod(mode)
        assert who_can_replace(folder) == who
    place.chmod(0o777)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert who_can_replace(tmp_path / "link") == "anybody"
    (place / "link").symlink_to(tmp_path, target_is_directory=True)
    assert who_can_replace(place / "link" / "place") == "anybody"
    folder.chmod(0o777)
    place.chmod(0o755)
    assert who_can_replace(folder) == ""  # what is in it is another matter


def test_the_owner_of_a_folder_above_can_replace_what_is_in_it(tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("Only root can give files away.")
    (tmp_path / "theirs" / "mine").mkdir(parents=True)
    os.chown(tmp_path / "theirs", OTHER_UID, -1)
    (tmp_path / "theirs").chmod(0o1755)
    assert who_can_replace(tmp_path / "theirs" / "mine") == OTHER_USER
    monkeypatch.setenv(TRUST_VARIABLE, str(tmp_path))
    assert who_can_replace(tmp_path / "theirs" / "mine") == ""


@pytest.mark.parametrize(
    ("mode", "is_anothers"), [(0o700, False), (0o755, False), (0o775, True), (0o757, True)]
)
def test_whose_a_folder_is(tmp_path, mode, is_anothers):
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert may_be_anothers(folder) == is_anothers
    (tmp_path / "link").symlink_to(folder)
    assert may_be_anothers(tmp_path / "link")
