"""What all schedulers have in common."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import cloudpickle
import pytest

import adaptive_scheduler.scheduler
from adaptive_scheduler.errors import (
    InvalidInputError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
    UntrustedFileError,
)
from adaptive_scheduler.scheduler import BaseScheduler, JobEnd, JobVariables, base, queued_job
from tests.scheduler.contract import make_batch


class Imagined(BaseScheduler):
    """A scheduler whose queue is a list of names; a job goes when it has been cancelled enough."""

    ext = ".job"
    submit_cmd = "qimagine"
    directive = "#IMAGINE"
    min_poll_interval = 0.0
    variables = JobVariables(job_id="$I_ID", number="$I_NUMBER", restarts="0")

    def __init__(self, names=(), *, stubbornness=1, troubles=0, **keywords):
        super().__init__(keywords.pop("cores", 1), **keywords)
        self.jobs = {str(i): name for i, name in enumerate(names)}
        self.asked = []
        self.stubbornness = stubbornness
        self.troubles = troubles

    def submit(self, batch):
        self.submitted = batch
        return {number: f"id-{number}" for number in batch.numbers}

    def queue(self, *, me_only=True):  # noqa: ARG002
        if self.troubles:
            self.troubles -= 1
            raise SchedulerUnavailableError("The scheduler is having a nap.")
        return {
            job_id: queued_job(
                job_name=name, state="R", phase="over" if name == "dead-0" else "running"
            )
            for job_id, name in self.jobs.items()
        }

    def cancel_ids(self, job_ids):
        self.asked.append(set(job_ids))
        for job_id in job_ids:
            if sum(job_id in asked for asked in self.asked) >= self.stubbornness:
                self.jobs.pop(job_id, None)

    def ends(self, job_ids):  # noqa: ARG002
        return {}

    def script_head(self, resources):
        options = [f"-n {resources.cores}", *resources.extra_scheduler]
        return [f"{self.directive} {option}" for option in options]


class Spoken(BaseScheduler):
    """A scheduler whose commands are lines of shell; ``$@`` are the numbers or ids of jobs."""

    kind = "spoken"
    location: ClassVar = {"where": "SPOKEN_WHERE"}
    submit_cmd = "sh"
    ext = ".sh"
    variables = JobVariables(job_id="", number="")
    max_array_size = 2
    doubtful = ("is away",)
    hints: ClassVar = {"too many": "Take fewer."}

    def __init__(self, cores=1, *, on_submit="", on_queue="", on_cancel=""):
        super().__init__(cores)
        self.on_submit, self.on_queue, self.on_cancel = on_submit, on_queue, on_cancel

    def script_head(self, resources):  # noqa: ARG002
        return []

    def submit_command(self, batch, jobs):  # noqa: ARG002
        return ["sh", "-c", self.on_submit, "sh", *map(str, jobs.numbers)]

    def parse_submit(self, stdout, jobs):  # noqa: ARG002
        return {int(word): f"id-{word}" for word in stdout.split()}

    def queue_command(self, *, me_only):  # noqa: ARG002
        return ["sh", "-c", self.on_queue]

    def parse_queue(self, stdout):
        return {i: queued_job(job_name=i, state="R", phase="running") for i in stdout.split()}

    def cancel_commands(self, job_ids):
        return [["sh", "-c", self.on_cancel, "sh", job_id] for job_id in job_ids]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(base, "PATIENCE", 0.0)


# Job scripts.


def test_the_job_script_shows_what_a_learner_asks_for():
    scheduler = Imagined(
        cores=(1, 2),
        extra_scheduler=["--qos=high", "--hold"],
        extra_env_vars=["A=1", "B=2"],
        extra_script="module load x",
        python_executable="/usr/bin/python3",
    )
    script = scheduler.job_script({"save_interval": 5}, index=1)
    assert script.startswith("#!/bin/bash\n#IMAGINE -n 2\n#IMAGINE --qos=high\n#IMAGINE --hold\n")
    assert "export A=1\nexport B=2\n\nmodule load x\n" in script
    assert "exec /usr/bin/python3 " in script
    assert "--save-interval=5" in script
    assert scheduler.extra_scheduler(index=1) == "#IMAGINE --qos=high\n#IMAGINE --hold"
    assert scheduler.extra_env_vars(index=0) == "export A=1\nexport B=2"
    assert scheduler.extra_script(index=0) == "module load x"


def test_a_script_without_options_can_be_looked_at():
    assert "adaptive_scheduler.run_learner" in Imagined().job_script()


def test_one_script_serves_all_unless_learners_differ():
    assert Imagined(cores=2).single_job_script
    assert not Imagined(cores=(1, 1)).single_job_script


def test_learners_that_ask_for_the_same_are_a_group():
    scheduler = Imagined(cores=(1, 2, 1))
    assert scheduler.group(0) == scheduler.group(2) != scheduler.group(1)
    assert Imagined(cores=1).group(0) == Imagined(cores=1).group(5)


def test_values_for_another_number_of_learners_are_refused():
    Imagined(cores=1).check_n_learners(7)
    Imagined(cores=(1, 2)).check_n_learners(2)
    with pytest.raises(InvalidInputError, match="2 learners, but there are 3"):
        Imagined(cores=(1, 2)).check_n_learners(3)


def test_a_parameter_that_there_is_not_is_refused():
    with pytest.raises(TypeError, match="Imagined has no parameter 'coers'"):
        Imagined(coers=2)


# Files.


def test_where_the_files_of_a_job_are():
    scheduler = Imagined(log_folder="my logs", batch_folder="scripts")
    assert scheduler.batch_fname("sweep-7") == Path("scripts/sweep-7.job")
    assert scheduler.log_fname("sweep-7") == Path("my logs/sweep-7-$I_ID.log")
    assert scheduler.output_fnames("sweep-7") == [Path("my logs/sweep-7-$I_ID.out")]
    assert scheduler.sanatize_job_id("12_3") == "12_3"


def test_output_keeps_its_name_when_the_name_has_dots():
    scheduler = Imagined()
    assert scheduler.output_fnames("v1.5-7") == [Path("v1.5-7-$I_ID.out")]


def test_the_launcher_is_the_program_that_jobs_run():
    assert Imagined().launcher.name == "run_learner.py"
    assert Imagined().launcher.parent == Path(adaptive_scheduler.__file__).parent


def test_starting_a_job_by_name_submits_the_script_that_was_written(tmp_path):
    scheduler = Imagined(cores=(1, 3), batch_folder=tmp_path / "new" / "folder")
    scheduler.write_job_script("my-sweep-1", {"a": "π"}, index=1)
    assert scheduler.start_job("my-sweep-1", index=1) == "id-1"
    batch = scheduler.submitted
    assert (batch.job_name, batch.numbers) == ("my-sweep", (1,))
    assert batch.name_of(1) == "my-sweep-1"
    assert batch.resources.cores == 3
    assert batch.script == scheduler.job_script({"a": "π"}, index=1)
    assert batch.script_path.read_text() == batch.script


def test_a_script_that_another_user_may_have_written_is_not_submitted(tmp_path):
    scheduler = Imagined(batch_folder=tmp_path)
    before = os.umask(0)
    try:
        scheduler.write_job_script("sweep-1", {})
    finally:
        os.umask(before)
    assert scheduler.start_job("sweep-1") == "id-1"
    scheduler.batch_fname("sweep-1").chmod(0o664)
    with pytest.raises(UntrustedFileError, match=r"sweep-1\.job was not read"):
        scheduler.start_job("sweep-1")


def test_jobs_trust_what_this_process_trusts(monkeypatch):
    monkeypatch.delenv("ADAPTIVE_SCHEDULER_TRUST", raising=False)
    assert "ADAPTIVE_SCHEDULER_TRUST" not in Imagined().job_script({})
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_TRUST", "/fuse/it's mine")
    line = """export ADAPTIVE_SCHEDULER_TRUST='/fuse/it'"'"'s mine'\n"""
    assert line in Imagined().job_script({})
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_TRUST", "mine")
    with pytest.raises(InvalidInputError, match="absolute"):
        Imagined().job_script({})


@pytest.mark.parametrize("name", ["sweep", "sweep-", "-1", "sweep-x", "sweep-1.5", ""])
def test_a_name_without_a_number_is_refused(name):
    with pytest.raises(InvalidInputError, match="sweep-7"):
        Imagined().start_job(name)


# Commands.


@pytest.mark.system
def test_jobs_are_submitted_some_at_a_time(tmp_path):
    scheduler = Spoken(on_submit=f'echo "$@"; echo "$@" >> {tmp_path}/calls')
    assert scheduler.submit(make_batch(scheduler, tmp_path, "", n=3)) == {
        0: "id-0",
        1: "id-1",
        2: "id-2",
    }
    assert (tmp_path / "calls").read_text() == "0 1\n2\n"


@pytest.mark.system
@pytest.mark.parametrize("said", ["true", "echo 0", "echo 0 1 2", "echo 7 8"])
def test_where_not_all_ids_are_told_it_is_not_known_what_was_submitted(said, tmp_path):
    scheduler = Spoken(on_submit=f"{said}; echo hm >&2")
    with pytest.raises(SchedulerUnavailableError, match="sh did not tell the id of a job: hm"):
        scheduler.submit(make_batch(scheduler, tmp_path, "", n=2))


@pytest.mark.system
def test_jobs_that_were_taken_before_others_were_refused_are_kept(tmp_path):
    scheduler = Spoken(on_submit='[ "$1" = 0 ] || exit 1; echo "$@"')
    assert list(scheduler.submit(make_batch(scheduler, tmp_path, "", n=4))) == [0, 1]


@pytest.mark.system
def test_where_jobs_were_taken_and_others_are_in_doubt_it_is_doubt(tmp_path):
    scheduler = Spoken(on_submit='[ "$1" = 0 ] || { echo "It is away." >&2; exit 1; }; echo "$@"')
    with pytest.raises(SchedulerUnavailableError, match="is away"):
        scheduler.submit(make_batch(scheduler, tmp_path, "", n=4))


@pytest.mark.system
def test_a_refusal_has_all_words_of_the_command_and_what_to_do(tmp_path):
    words = "one line\nThese are too many."
    scheduler = Spoken(on_submit=f"printf '{words}\nusage: sh [-a] [-b]\n' >&2; exit 1")
    with pytest.raises(SubmissionRejectedError) as caught:
        scheduler.submit(make_batch(scheduler, tmp_path, "", n=2))
    said = str(caught.value)
    assert "    one line\n    These are too many.\n" in said
    assert said.endswith(f"Script: {tmp_path}/job.sh. Take fewer.")
    assert "usage" not in said


@pytest.mark.system
def test_a_queue_that_can_not_be_asked_is_not_empty():
    with pytest.raises(SchedulerUnavailableError, match="no idea"):
        Spoken(on_queue="echo 1; echo no idea >&2; exit 3").queue()


@pytest.mark.system
def test_all_jobs_are_cancelled_even_if_some_can_not_be(tmp_path):
    scheduler = Spoken(on_cancel=f'[ "$1" != a ] && touch {tmp_path}/"$1"')
    with pytest.raises(SchedulerUnavailableError, match="sh -c"):
        scheduler.cancel_ids(["a", "b", "c"])
    assert {path.name for path in tmp_path.iterdir()} == {"b", "c"}


@pytest.mark.system
def test_commands_answer_in_english_and_in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "ELSEWHERE-9")
    monkeypatch.setenv("LC_ALL", "xx_XX")
    assert list(Spoken(on_queue="echo $TZ $LC_ALL").queue()) == ["UTC0", "C"]


@pytest.mark.system
@pytest.mark.parametrize(("then", "answer"), [("there", ["there"]), (None, ["unset"])])
def test_a_scheduler_from_data_asks_the_queue_of_the_one_that_was_written_down(
    then, answer, monkeypatch
):
    class There(Spoken):
        kind = "there"

        def queue_command(self, *, me_only):  # noqa: ARG002
            return ["sh", "-c", "echo ${SPOKEN_WHERE-unset}"]

    if then is not None:
        monkeypatch.setenv("SPOKEN_WHERE", then)
    data = There().as_data()
    monkeypatch.setenv("SPOKEN_WHERE", "here")
    assert list(There().queue()) == ["here"]
    again = There.from_data(data)
    assert list(again.queue()) == answer
    assert list(pickle.loads(cloudpickle.dumps(again)).queue()) == answer
    assert again.as_data() == data
    assert again.queue_key != There().queue_key


def test_who_forgets_a_part_of_a_scheduler_is_told_which(tmp_path):
    class Mute(Imagined):
        submit = BaseScheduler.submit
        submit_cmd = "sh"

    with pytest.raises(NotImplementedError, match=r"`submit_command`, or `submit` of its own"):
        Mute().submit(make_batch(Mute(), tmp_path, ""))


# The queue.


def test_ids_are_found_by_name_and_only_those_of_living_jobs():
    scheduler = Imagined(["a-0", "b-0", "a-0", "dead-0"])
    assert scheduler.job_names_to_job_ids("a-0", "dead-0", "none-0") == ["0", "2"]


def test_a_table_of_the_queue_has_its_columns_even_when_it_is_empty():
    assert list(Imagined().queue_df().columns) == list(Imagined(["a-0"]).queue_df().columns)
    assert Imagined(["a-0"]).queue_df().loc["0", "job_name"] == "a-0"


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (JobEnd(), "UNKNOWN"),
        (JobEnd(state="FAILED", exit_code=2), "FAILED, exit code 2"),
        (JobEnd(state="TIMEOUT", reason="too long"), "TIMEOUT (too long)"),
    ],
)
def test_an_end_reads_like_a_sentence(end, text):
    assert str(end) == text


# Cancelling.


def test_jobs_are_cancelled_by_name_in_one_call():
    scheduler = Imagined(["a-0", "a-1", "b-0"])
    scheduler.cancel(["a-0", "a-1"], with_progress_bar=False)
    assert scheduler.asked == [{"0", "1"}]
    assert list(scheduler.jobs.values()) == ["b-0"]


def test_jobs_that_stay_are_cancelled_again():
    scheduler = Imagined(["a-0"], stubbornness=3)
    scheduler.cancel(["a-0"], with_progress_bar=False)
    assert len(scheduler.asked) == 3


def test_jobs_that_never_go_are_named():
    scheduler = Imagined(["a-0", "a-1"], stubbornness=99)
    with pytest.raises(SchedulerUnavailableError, match=r"2 jobs.* 0"):
        scheduler.cancel(["a-0", "a-1"], with_progress_bar=False, max_tries=2)
    assert len(scheduler.asked) == 2


def test_without_such_jobs_nothing_is_asked():
    scheduler = Imagined(["b-0"])
    scheduler.cancel(["a-0"], with_progress_bar=False)
    assert scheduler.asked == []


def test_a_scheduler_that_does_not_answer_once_is_asked_again():
    scheduler = Imagined(["a-0"], troubles=1)
    scheduler.cancel(["a-0"], with_progress_bar=False)
    assert scheduler.jobs == {}


def test_a_scheduler_that_does_not_answer_at_all_is_reported_in_its_words():
    with pytest.raises(SchedulerUnavailableError, match="having a nap"):
        Imagined(["a-0"], troubles=99).cancel(["a-0"], with_progress_bar=False)


def test_a_number_of_tries_that_can_not_be_is_refused():
    with pytest.raises(InvalidInputError, match="max_tries"):
        Imagined().cancel(["a-0"], max_tries=0)


def test_the_progress_bar_shows_how_many_are_gone():
    scheduler = Imagined(["a-0", "a-1"], stubbornness=2)
    scheduler.cancel(["a-0", "a-1"], with_progress_bar=True)
    assert scheduler.jobs == {}


# Imports.


@pytest.mark.system
def test_importing_a_scheduler_needs_nothing_heavy():
    code = (
        "import sys; from adaptive_scheduler.scheduler import Local; Local()\n"
        "heavy = {'adaptive', 'numpy', 'pandas', 'rich', 'zmq', 'IPython', 'ipywidgets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_there():
    module = adaptive_scheduler.scheduler
    assert set(dir(module)) == set(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        module.Nonsense  # noqa: B018
