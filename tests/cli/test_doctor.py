"""What the doctor says of what he sees."""

from __future__ import annotations

import time

import pytest

from adaptive_scheduler.cli import doctor
from adaptive_scheduler.cli.doctor import (
    check_folder,
    check_locks,
    check_queue,
    check_report,
)
from adaptive_scheduler.cli.examination import environment, examine, leave_marker
from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.run_folder.layout import write_private
from adaptive_scheduler.scheduler import Local


@pytest.fixture
def report(tmp_path):
    """Return what a job reports from a healthy site."""
    leave_marker(tmp_path, "sign")
    return {**examine(str(tmp_path)), "addresses": {"tcp://10.0.0.1:5": ""}}


def verdicts(findings):
    return {finding.subject: finding.verdict for finding in findings}


def judged(report, tmp_path):
    return list(check_report(report, marker="sign", folder=tmp_path))


def test_a_healthy_report_is_good(report, tmp_path):
    assert verdicts(judged(report, tmp_path)) == {
        "shared folder": "good",
        "connection": "good",
        "python": "good",
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"marker": None}, ("shared folder", "bad", "all nodes share")),
        ({"marker": "of an older time"}, ("shared folder", "bad", "all nodes share")),
        ({"addresses": {"tcp://10.0.0.1:5": "refused"}}, ("connection", "note", "url=")),
        ({"addresses": {}}, ("connection", "note", "url=")),
        ({"python": "3.9.1"}, ("python", "bad", "python_executable")),
        ({"time": time.time() + 3600}, ("clock", "note", "Goals")),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(report, tmp_path, changes, expected):
    subject, verdict, advice = expected
    (finding,) = (f for f in judged({**report, **changes}, tmp_path) if f.subject == subject)
    assert finding.verdict == verdict
    assert advice in finding.advice


def test_packages_of_other_versions_are_named(report, tmp_path):
    report["packages"] = {**environment()["packages"], "cloudpickle": "1.0"}
    (finding,) = (f for f in judged(report, tmp_path) if f.subject == "python")
    assert finding.verdict == "bad"
    assert "cloudpickle 1.0 there" in finding.words


def test_addresses_are_tried(tmp_path):
    folder = tmp_path / "doctor-run"
    folder.mkdir()
    write_private(
        folder / "connection.json",
        b'{"addresses": ["tcp://127.0.0.1:1"], "manager_key": "", '
        b'"job_keys": {"public": "", "secret": ""}}',
    )
    assert "refused" in examine(str(tmp_path))["addresses"]["tcp://127.0.0.1:1"]


def test_a_scheduler_that_does_not_answer_is_bad(monkeypatch):
    def silent(self, *, me_only=True):
        raise SchedulerUnavailableError("no answer")

    monkeypatch.setattr(Local, "queue", silent)
    (finding,) = check_queue(Local())
    assert (finding.verdict, finding.words) == ("bad", "no answer")
    assert "SCHEDULER_SYSTEM" in finding.advice


def test_a_slow_scheduler_is_worth_a_word(monkeypatch):
    monkeypatch.setattr(doctor, "_SLOW", -1)
    monkeypatch.setattr(Local, "queue", lambda _, **__: {})
    (finding,) = check_queue(Local())
    assert finding.verdict == "note"
    assert "job_manager_interval" in finding.advice


def test_a_folder_is_looked_at(tmp_path, monkeypatch):
    assert verdicts(check_folder(tmp_path, is_local=True)) == {"folder": "good"}
    assert verdicts(check_folder(tmp_path / "nothing", is_local=True)) == {"folder": "bad"}
    monkeypatch.setattr(doctor, "_OF_ONE_MACHINE", (str(tmp_path.parent),))
    assert verdicts(check_folder(tmp_path, is_local=True)) == {"folder": "good"}
    assert verdicts(check_folder(tmp_path, is_local=False)) == {"folder": "note"}
    monkeypatch.setattr(doctor, "_ROOM", 1 << 80)
    assert verdicts(check_folder(tmp_path, is_local=True)) == {"folder": "note"}


def test_locks_are_tried(tmp_path, monkeypatch):
    assert verdicts(check_locks(tmp_path)) == {"locks": "good"}
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(doctor.fcntl, "flock", lambda *_: None)
    assert verdicts(check_locks(tmp_path)) == {"locks": "bad"}


def test_locks_that_the_file_system_refuses_are_bad(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(doctor.fcntl, "flock", refuse)
    (finding,) = check_locks(tmp_path)
    assert finding.verdict == "bad"
    assert "No locks available" in finding.words
