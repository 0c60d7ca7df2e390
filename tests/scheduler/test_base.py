"""What all schedulers have in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import adaptive_scheduler.scheduler
from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.scheduler import BaseScheduler, cancelling
from adaptive_scheduler.scheduler.jobs import JobEnd, queued_job
from adaptive_scheduler.scheduler.script import JobVariables


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


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(cancelling, "PATIENCE", 0.0)


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


@pytest.mark.parametrize("name", ["sweep", "sweep-", "-1", "sweep-x", "sweep-1.5", ""])
def test_a_name_without_a_number_is_refused(name):
    with pytest.raises(InvalidInputError, match="sweep-7"):
        Imagined().start_job(name)


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
