"""Jobs whose output says that they are lost are cancelled; whatever their output is like."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.server_support import KillManager
from adaptive_scheduler.server_support.event_loop import event_loop
from tests.server_support.fake_manager import Job, Manager, fake_reconciler
from tests.waiting import wait_until


class Site(Manager):
    """A manager with jobs that print, and a scheduler that ends those that it is asked to."""

    def __init__(self, folder, n_jobs=2):
        super().__init__([0] * n_jobs)
        self.project = Project.at(folder.parent)
        self.run_folder = RunFolder.at(folder)
        self.run_folder.create()
        self.reconciler = fake_reconciler(self, self.run_folder)
        self.submit(*range(n_jobs))
        for number in range(n_jobs):
            Job(self, number).hello()
        self.cancelled = []
        self.is_down = None
        self.n_asked = 0

    def output(self, number):
        return self.run_folder.output_of(f"sweep-{number}", str(number))

    def prints(self, number, data):
        with self.output(number).open("ab") as file:
            file.write(data)

    def cancel_ids(self, job_ids):
        self.n_asked += 1
        if self.is_down:
            raise self.is_down
        self.cancelled += job_ids


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "sweep-run")


@pytest.fixture
def watch(site):
    """Return a function that starts a kill manager, and one that waits for its next looks."""
    managers = []

    def watch(error="srun: error:", **keywords):
        manager = KillManager(site, site, error=error, interval=0.01, **keywords)
        managers.append(manager.start())
        return manager

    yield watch
    for manager in managers:
        manager.cancel()


def looks(manager):
    """Wait until a kill manager has looked once more, and done what was to be done then.

    One look may be under way now, and the third begins when all of the second is done.
    """
    goal = event_loop.call(lambda: manager.n_looks) + 3
    wait_until(lambda: manager.n_looks >= goal)


def test_a_job_that_prints_the_string_is_cancelled_and_no_other(site, watch):
    site.prints(0, b"all is well\n")
    site.prints(1, b"node1: srun: error: Unable to create step\n")
    manager = watch()
    wait_until(lambda: manager.cancelled)
    assert manager.cancelled == ["1"]
    assert set(site.cancelled) == {"1"}


def test_output_is_looked_for_as_it_grows(site, watch):
    manager = watch()
    looks(manager)  # there is no output yet
    site.prints(0, b"srun: err")
    looks(manager)
    assert site.cancelled == []
    site.prints(0, b"or: no\n")
    wait_until(lambda: site.cancelled)


def test_a_function_gets_all_lines_and_each_once(site, watch):
    seen = []

    def has_three(lines):
        seen.append(lines)
        return len(lines) >= 3

    manager = watch(has_three)
    site.prints(0, b"one\ntwo\n")
    looks(manager)
    assert site.cancelled == []
    site.prints(0, b"three\n")
    wait_until(lambda: site.cancelled)
    assert ["one", "two", "three"] in seen


def test_output_in_the_place_of_another_file_is_read_from_its_start(site, watch):
    site.prints(0, b"a line that is longer than what comes\n")
    manager = watch()
    looks(manager)
    new = site.output(0).with_suffix(".new")
    new.write_bytes(b"srun: error: x\n")
    new.replace(site.output(0))
    wait_until(lambda: site.cancelled)


def test_output_that_is_no_text_is_searched_all_the_same(site, watch):
    site.prints(0, bytes(range(256)) * 100 + b"srun: error: \xff\xfe\n")
    watch()
    wait_until(lambda: site.cancelled)
    assert set(site.cancelled) == {"0"}


def test_output_that_cannot_be_read_keeps_no_other_from_being_read(site, watch):
    site.output(0).mkdir()
    manager = watch()
    looks(manager)
    site.prints(1, b"srun: error: x\n")
    wait_until(lambda: site.cancelled)
    assert manager.state_of_task() == "running"


@pytest.mark.parametrize("error", [SchedulerUnavailableError("no answer"), KeyError("odd")])
def test_a_scheduler_that_does_not_answer_is_asked_again_and_then_left(site, watch, error):
    site.is_down = error
    site.prints(0, b"srun: error: x\n")
    manager = watch(max_cancel_tries=3)
    wait_until(lambda: site.n_asked == 3)
    looks(manager)
    assert manager.state_of_task() == "running"
    assert site.n_asked == 3
    assert manager.cancelled == []


def test_the_output_of_cancelled_jobs_is_moved(site, watch, tmp_path):
    site.prints(0, b"srun: error: x\n")
    watch(move_to=tmp_path / "bad")
    wait_until((tmp_path / "bad" / "sweep-0-0.out").exists)
    assert not site.output(0).exists()


def test_a_relative_folder_for_the_output_is_one_of_the_project(site, watch, tmp_path, monkeypatch):
    watch(move_to="bad")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    site.prints(0, b"srun: error: x\n")
    wait_until((site.project.folder / "bad" / "sweep-0-0.out").exists)


def test_output_that_cannot_be_moved_is_told_and_stays(site, watch, tmp_path, caplog):
    (tmp_path / "file").touch()
    site.prints(0, b"srun: error: x\n")
    manager = watch(move_to=tmp_path / "file" / "bad")
    wait_until(lambda: manager.cancelled)
    looks(manager)
    assert manager.state_of_task() == "running"
    assert caplog.text.count("can't be moved: [Errno 20] Not a directory") == 1
    assert site.output(0).exists()


def test_a_function_that_raises_keeps_no_other_job_from_being_looked_at(site, watch, caplog):
    def is_lost(lines):
        if "odd" in lines:
            raise ValueError("what is that?")
        return "lost" in lines

    site.prints(0, b"odd\n")
    site.prints(1, b"well\n")
    manager = watch(is_lost)
    looks(manager)
    site.prints(1, b"lost\n")
    wait_until(lambda: manager.cancelled == ["1"])
    assert caplog.text.count("has raised ValueError('what is that?')") == 1


def test_jobs_that_are_gone_are_forgotten(site, watch):
    manager = watch(lambda lines: bool(lines) and "lost" in lines[-1])
    site.prints(0, b"one\n")
    looks(manager)
    event_loop.call(site.job_gone, "0")
    looks(manager)
    site.prints(0, b"lost\n")
    looks(manager)
    assert site.cancelled == []


@pytest.mark.parametrize("keywords", [{"interval": 0}, {"interval": 1, "max_cancel_tries": 0}])
def test_what_cannot_be_is_refused(site, keywords):
    with pytest.raises(InvalidInputError):
        KillManager(site, site, **keywords)
