"""The fake PBS answers as the real one did."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from adaptive_scheduler.scheduler.pbs.queue import parse_jobs
from tests.cluster.pbs.text import record
from tests.scheduler.pbs_answers import answer_to, answers
from tests.waiting import PATIENCE, wait_until

#: Commands whose answers don't depend on what was done before.
ALONE = [
    *answers("array_bad_ranges")[:5],
    *(a for a in answers("array_bad_ranges") if "toobig" in a.command),
    *(a for a in answers("qdel_cases") if a.command in {"qdel 999999", "qdel notanid", 'qdel ""'}),
    answer_to("qdel_cases", "qdel 999999.otherserver"),
    answer_to("errors_misc", "qsub -q nosuchq"),
    answer_to("errors_misc", "qsub -l nosuchres=1"),
    answer_to("errors_misc", "qsub -l select=1:ncpus=1 -l ncpus=2"),
    answer_to("errors_misc", "qsub nosuchfile.sh"),
    *(a for a in answers("qstat_no_jobs") if "json" not in a.command),
]
DOWN = [
    a
    for a in answers("server_down_refused")
    if a.command.split()[0] in {"qstat", "qselect", "qdel", "pbsnodes"} and "json" not in a.command
]


@pytest.fixture
def said(pbs, tmp_path):
    """Return a function that runs a command of a transcript and says what it answers."""
    (tmp_path / "sleep.sh").write_text("sleep 60\n")

    def run(command):
        # The transcripts have commands of one line where this is a script.
        words = shlex.split(command.replace("-- /bin/true", "sleep.sh"))
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=PATIENCE,
            input="",
        )
        return done.stdout, done.stderr, done.returncode

    return run


@pytest.mark.parametrize("answer", ALONE, ids=lambda a: a.command)
def test_it_says_the_same_word_for_word(said, answer):
    assert said(answer.command) == answer[1:]


@pytest.mark.parametrize("answer", DOWN, ids=lambda a: a.command)
def test_when_it_is_down_it_says_the_same_word_for_word(pbs, said, answer):
    with pbs.down():
        assert said(answer.command) == answer[1:]


def test_without_a_history_there_is_none(pbs, said):
    pbs.set(history=False)
    answer = answer_to("history_disabled", "qstat -x -f 0.pbs-head")
    assert said(answer.command) == answer[1:]


@pytest.mark.parametrize("name", ["comment", "Job_Owner", "exec_vnode"])
def test_long_values_are_broken_where_the_real_one_breaks_them(name):
    wide = parse_jobs(answer_to("qstat_f_w_one", "qstat").stdout)["125.pbs-head"]
    text = record("125.pbs-head", [(name, wide[name])], is_wide=False)
    lines = text.partition("\n")[2].rstrip("\n")
    assert f"\n{lines}\n    " in answer_to("states_qstat_f_run", "qstat").stdout


def test_a_job_is_described_in_the_order_of_the_real_one(pbs, said):
    real = parse_jobs(answer_to("array_qstat_t_f_running", "qstat").stdout)
    said("qsub -J 0-9 -N arr -l select=1:ncpus=1 sleep.sh")
    jobs = wait_until(
        lambda: "job_state = R" in (text := said("qstat -t -f -w")[0]) and parse_jobs(text)
    )
    for number, theirs in (("[]", "8[]"), ("[0]", "8[0]"), ("[9]", "8[9]")):
        ours, model = list(jobs[f"1{number}.pbs-head"]), list(real[f"{theirs}.pbs-head"])
        assert [name for name in model if name in ours] == ours
    assert jobs["1[9].pbs-head"]["job_state"] == "Q"
    assert "array_index" not in jobs["1[9].pbs-head"]
    assert jobs["1[0].pbs-head"]["array_index"] == "0"
