"""A run that stops tells why on one screen."""

from __future__ import annotations

from adaptive_scheduler.protocol.messages import JobIdentity
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.models import FAILED, LearnerEntry
from adaptive_scheduler.server_support.crash_report import failed_starts_report, given_up_report

FNAMES = [f"data/{i}.pickle" for i in range(40)]


def failed(index, error="ValueError: no value", traceback="Traceback\n  in f\nValueError", fails=2):
    return LearnerEntry(
        index,
        FAILED,
        fails=fails,
        error=error,
        traceback=traceback,
        job=JobIdentity(f"7_{index}"),
        job_name=f"sweep-{index}",
        log_fname=f"/logs/{index}.log",
        host="node7",
        ended=1e9,
    )


def report(tmp_path, *entries):
    return given_up_report("sweep", RunFolder.at(tmp_path / "sweep-run"), entries, FNAMES)


def test_it_tells_what_failed_where_and_what_the_function_raised(tmp_path):
    text = report(tmp_path, failed(3))
    assert text.startswith("Run 'sweep' has failed: 1 of 40 learners was given up.")
    for words in (
        "Learner 3 ('data/3.pickle') failed 2 times",
        "in job sweep-3 (id 7_3) on node7",
        "ValueError: no value",
        "  in f",
        "Log: /logs/3.log",
        f"Output: {tmp_path / 'sweep-run/logs/sweep-3-7_3.out'}",
    ):
        assert words in text


def test_several_causes_are_listed_the_most_common_first(tmp_path):
    common = [failed(i) for i in range(12)]
    text = report(tmp_path, failed(20, "The job ended: OUT_OF_MEMORY.", fails=5), *common)
    lines = text.splitlines()
    assert lines[1] == "  learners 0, 1, 2, 3, 4, 5, 6, 7 and 4 more: ValueError: no value"
    assert lines[2] == "  learners 20: The job ended: OUT_OF_MEMORY."
    assert "Learner 20" in text  # it has failed most


def test_it_fits_on_a_screen(tmp_path):
    long = "\n".join(f"line {i}" for i in range(1000))
    entries = [failed(i, error=f"Error {i}: " + "x" * 500, traceback=long) for i in range(30)]
    lines = report(tmp_path, *entries).splitlines()
    assert len(lines) < 40
    assert "  line 999" in lines
    assert "  ... (975 lines before)" in lines
    assert "  ... and 27 other causes" in lines


def test_jobs_that_never_begin_tell_what_they_printed(tmp_path):
    folder = RunFolder.at(tmp_path / "sweep-run")
    last = LearnerEntry(0, error="The job ended before it asked: FAILED.", traceback="no licence")
    text = failed_starts_report("sweep", folder, 5, last)
    for words in (
        "failed: 5 jobs in a row",
        "FAILED",
        "  no licence",
        str(folder.logs),
    ):
        assert words in text
    assert str(folder.scripts) in text
