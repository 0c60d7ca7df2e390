"""How jobs run their learners: written once, read by every job."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from adaptive_scheduler.errors import RunFolderError, UnpicklableError
from adaptive_scheduler.run_folder.settings import JobSettings


def settings(**kwargs):
    needed = {"job_name": "sweep", "log_folder": Path("/logs"), "journal": Path("/journal.jsonl")}
    return JobSettings(**{**needed, "goal": lambda learner: learner.npoints >= 7, **kwargs})


class Counted:
    npoints = 7


@pytest.fixture
def path(tmp_path):
    return tmp_path / "settings.pickle"


def test_settings_arrive_as_they_were_written(path):
    written = settings(save_interval=3, groups=[0, 1, 0], dependencies={2: [0, 1]})
    path.write_bytes(written.to_bytes())
    read = JobSettings.from_file(path)
    assert (read.job_name, read.log_folder, read.journal) == (
        "sweep",
        Path("/logs"),
        Path("/journal.jsonl"),
    )
    assert (read.save_interval, read.groups, read.dependencies) == (3, [0, 1, 0], {2: [0, 1]})
    assert read.goal(Counted())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("goal", threading.Lock().acquire),
        ("runner_kwargs", {"lock": threading.Lock()}),
    ],
)
def test_what_cannot_travel_is_named(name, value):
    with pytest.raises(UnpicklableError, match=rf"`{name}` must be pickled.*can't be: .*lock"):
        settings(**{name: value}).to_bytes()


def test_a_folder_without_settings_is_no_run(path):
    with pytest.raises(RunFolderError, match=f"no run in '{path.parent}'"):
        JobSettings.from_file(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\x80\x04K\x07.",  # the number 7
        b"cno_such_module\nno_such_name\n.",
    ],
)
def test_other_files_are_no_settings(path, content):
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=f"'{path}'"):
        JobSettings.from_file(path)


def test_half_a_file_is_no_settings(path):
    whole = settings().to_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunFolderError, match=f"'{path}'"):
        JobSettings.from_file(path)
