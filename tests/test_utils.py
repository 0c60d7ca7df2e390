"""What users need around a run is all in one place, and costs little to import."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import logging
import subprocess
import sys

import pytest
from rich.console import Console

from adaptive_scheduler import utils
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.utils import (
    add_timing_to_object,
    log_exception,
    sleep_unless_task_is_done,
    track_file_creation_progress,
)
from tests.waiting import PATIENCE

FOREVER = 3600.0


def test_only_public_names_are_listed():
    assert dir(utils) == sorted(utils.__all__)
    assert all(hasattr(utils, name) for name in utils.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = utils.nonsense


def test_the_formats_of_dataframes_can_be_asked_for():
    assert set(utils._DATAFRAME_FORMATS.__args__) == {
        *("csv", "excel", "feather", "hdf", "json", "parquet", "pickle")
    }


#: Modules that take long to load.
SLOW = {"IPython", "adaptive", "ipyparallel", "ipywidgets", "numpy", "pandas", "rich"}


def loaded_by(code):
    """Return which of the slow modules a process has loaded after `code`."""
    code += f"; import sys; print(*({SLOW} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.system
def test_importing_it_loads_nothing_slow():
    assert loaded_by("import adaptive_scheduler.utils") == []


def fail():
    raise ValueError("boom")


def caught():
    try:
        fail()
    except ValueError as error:
        return error


@pytest.fixture
def log():
    """Make a logger of the standard library that writes to a string."""
    log = logging.getLogger("tests.test_logs")
    handler = logging.StreamHandler(io.StringIO())
    log.addHandler(handler)
    log.propagate = False
    yield log
    log.removeHandler(handler)


def text(log):
    return log.handlers[0].stream.getvalue()


def test_an_exception_is_logged_with_its_traceback_long_after_it_was_caught(log):
    log_exception(log, "could not save", caught())
    lines = text(log).splitlines()
    assert lines[0] == "could not save"
    assert lines[-1] == "ValueError: boom"
    assert 'raise ValueError("boom")' in text(log)
    assert "/logs.py" not in text(log)


def test_an_exception_is_logged_while_it_is_being_handled(log):
    try:
        fail()
    except ValueError as error:
        log_exception(log, "could not save", error)
    assert text(log).count("ValueError: boom") == 1


def test_an_exception_that_was_never_raised_is_logged(log):
    log_exception(log, "could not save", ValueError("made by hand"))
    assert text(log) == "could not save\nValueError: made by hand\n"


def test_logging_does_not_change_the_exception(log):
    error = caught()
    before = error.__traceback__
    log_exception(log, "could not save", error)
    assert error.__traceback__ is before


def test_the_level_is_error(log):
    records = []
    log.addFilter(lambda record: records.append(record) or True)
    log_exception(log, "could not save", caught())
    assert [record.levelno for record in records] == [logging.ERROR]


def test_a_logger_that_takes_only_a_message_will_do():
    class Log:
        def exception(self, msg):
            self.said = msg

    log = Log()
    log_exception(log, "could not save", caught())
    assert log.said == "could not save"


def test_without_a_method_for_exceptions_the_traceback_is_part_of_the_message():
    class Log:
        def error(self, msg):
            self.said = msg

    log = Log()
    log_exception(log, "could not save", caught())
    assert log.said.startswith("could not save\nTraceback")
    assert log.said.endswith("ValueError: boom")


def test_a_structlog_logger_gets_the_exception():
    structlog = pytest.importorskip("structlog")
    out = io.StringIO()
    processors = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    log = structlog.wrap_logger(structlog.PrintLogger(out), processors=processors)
    log_exception(log, "could not save", caught())
    event = json.loads(out.getvalue())
    assert event["event"] == "could not save"
    assert event["exception"].endswith("ValueError: boom")


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, timeout=PATIENCE))


def test_a_task_that_ends_ends_the_sleep():
    async def main():
        end = asyncio.Event()
        task = asyncio.create_task(end.wait())
        sleep = asyncio.create_task(sleep_unless_task_is_done(task, FOREVER))
        await asyncio.sleep(0)
        end.set()
        return await sleep

    assert run(main()) is True


def test_a_task_that_is_done_is_not_waited_for():
    async def main():
        task = asyncio.create_task(asyncio.sleep(0))
        await task
        return await sleep_unless_task_is_done(task, FOREVER, asyncio.Event())

    assert run(main()) is True


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_a_task_that_fails_or_is_cancelled_is_done(error):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.cancel() if error is asyncio.CancelledError else future.set_exception(error)
        done = await sleep_unless_task_is_done(future, FOREVER)
        with pytest.raises(error):
            await future
        return done

    assert run(main()) is True


def test_the_sleep_ends_before_a_task_that_goes_on():
    async def main():
        task = asyncio.create_task(asyncio.sleep(FOREVER))
        done = await sleep_unless_task_is_done(task, 0, asyncio.Event())
        goes_on = not task.done()
        task.cancel()
        return done, goes_on

    assert run(main()) == (False, True)


@pytest.mark.parametrize("earlier", [True, False])
def test_an_event_ends_the_sleep_and_can_do_so_again(earlier):
    async def main():
        task = asyncio.create_task(asyncio.sleep(FOREVER))
        event = asyncio.Event()
        for _ in range(2):
            if earlier:
                event.set()
            sleep = asyncio.create_task(sleep_unless_task_is_done(task, FOREVER, event))
            await asyncio.sleep(0)
            event.set()
            assert await sleep is False
            assert not event.is_set()
        task.cancel()

    run(main())


def test_cancelling_the_sleep_leaves_the_task_alone_and_nothing_behind():
    async def main():
        task = asyncio.create_task(asyncio.sleep(FOREVER))
        before = asyncio.all_tasks()
        sleep = asyncio.create_task(sleep_unless_task_is_done(task, FOREVER, asyncio.Event()))
        await asyncio.sleep(0)
        sleep.cancel()
        await asyncio.wait([sleep])
        await asyncio.sleep(0)
        return sleep.cancelled(), asyncio.all_tasks() == before

    assert run(main()) == (True, True)


class Machine:
    """A class with everything that a class can have."""

    total = 0
    parts = property(lambda self: self.count("parts"))

    def __init__(self):
        self.counted = []
        self.callback = lambda: "called"

    @functools.cached_property
    def cached(self):
        return self.count("cached")

    def count(self, what):
        self.counted.append(what)
        return what

    def run(self, n=1):
        """Run."""
        return [self._step(i) for i in range(n)]

    def _step(self, i):
        return i

    def fail(self):
        raise ValueError("broken")

    @staticmethod
    def static():
        return "static"

    @classmethod
    def name(cls):
        return cls.__name__

    async def wait(self):
        await asyncio.sleep(0)
        return "waited"

    def __len__(self):
        return 3

    def __call__(self):
        return "called itself"


@pytest.fixture
def clock(monkeypatch):
    """Have each measurement take 0.5 s."""
    ticks = iter(range(10_000))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) / 2)


def counts(times):
    return {name: len(durations) for name, durations in times.items()}


def test_calls_are_measured(clock):
    machine = Machine()
    times = add_timing_to_object(machine, print_times=False)
    assert machine.run(2) == [0, 1]
    assert times == {"Machine._step": [0.5, 0.5], "Machine.run": [2.5]}


def test_all_kinds_of_methods_are_measured_and_work_as_before():
    machine = Machine()
    times = add_timing_to_object(machine)
    assert (machine.static(), machine.name(), machine.callback()) == ("static", "Machine", "called")
    assert machine.run.__doc__ == "Run."
    assert counts(times) == dict.fromkeys(["Machine.static", "Machine.name", "Machine.callback"], 1)


def test_a_call_that_fails_is_measured_too():
    machine = Machine()
    times = add_timing_to_object(machine)
    with pytest.raises(ValueError, match="broken"):
        machine.fail()
    assert counts(times) == {"Machine.fail": 1}


def test_a_coroutine_is_measured_to_its_end():
    machine = Machine()
    times = add_timing_to_object(machine)
    coroutine = machine.wait()
    assert times == {}
    assert asyncio.run(coroutine) == "waited"
    assert counts(times) == {"Machine.wait": 1}


def test_properties_are_not_asked_for_their_values():
    machine = Machine()
    add_timing_to_object(machine)
    assert machine.counted == []
    assert (machine.parts, machine.cached, machine.cached) == ("parts", "cached", "cached")
    assert machine.counted == ["parts", "cached"]


def test_other_objects_of_the_class_are_not_measured():
    times = add_timing_to_object(Machine(), include_magic=True)
    other = Machine()
    other.run()
    assert len(other) == 3
    assert times == {}


def test_private_methods_can_be_left_out():
    machine = Machine()
    times = add_timing_to_object(machine, include_private=False)
    machine.run(3)
    assert counts(times) == {"Machine.run": 1}


def test_magic_methods_are_measured_where_python_looks_for_them():
    machine = Machine()
    times = add_timing_to_object(machine, include_magic=True)
    assert (len(machine), machine()) == (3, "called itself")
    assert counts(times) == {"Machine.__len__": 1, "Machine.__call__": 1}
    assert isinstance(machine, Machine)
    assert type(machine).__name__ == "Machine"


def test_times_are_added_to_a_dictionary_that_is_given():
    machine, times = Machine(), {"Machine.run": [7.0]}
    assert add_timing_to_object(machine, times) is times
    machine.run()
    assert len(times["Machine.run"]) == 2


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({}, "Machine.static took 0.500000 s\n"),
        ({"print_cutoff": 0.5}, "Machine.static took 0.500000 s\n"),
        ({"print_cutoff": 0.6}, ""),
        ({"print_times": False}, ""),
    ],
)
def test_calls_that_take_long_are_printed(clock, capsys, monkeypatch, options, printed):
    monkeypatch.setattr("rich._console", None)  # A console that knows what capsys has replaced.
    machine = Machine()
    add_timing_to_object(machine, **options)
    machine.static()
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("options", [{}, {"include_magic": True}])
def test_an_object_that_cannot_be_changed_is_named(options):
    class Fixed:
        __slots__ = ()

        def method(self):
            return 1

    with pytest.raises(InvalidInputError, match="Fixed can't be measured"):
        add_timing_to_object(Fixed(), **options)


@pytest.fixture
def screen(monkeypatch):
    """Have the bars of a terminal shown in a string."""
    out = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda: Console(file=out, width=100))
    return out


def lines(screen):
    """Return name and count of each bar at the end."""
    words = [line.split() for line in screen.getvalue().splitlines() if line.strip()]
    return {w[0]: next(word for word in w if "/" in word) for w in words}


def test_it_ends_when_all_files_are_there(tmp_path, screen):
    async def main():
        task = track_file_creation_progress(
            {"a": {tmp_path / "a1", tmp_path / "a2"}, "b": {tmp_path / "b"}}, interval=0.001
        )
        for name in ["a1", "b"]:
            (tmp_path / name).touch()
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done
        (tmp_path / "a2").touch()
        await task

    run(main())
    assert lines(screen) == {"Total": "3/3", "a": "2/2", "b": "1/1"}


def test_files_of_a_tuple_count_as_one(tmp_path, screen):
    paths = tuple(tmp_path / name for name in "xyz")
    for path in paths:
        path.touch()
    run(await_task({"all": {paths}}))
    assert lines(screen) == {"all": "1/1"}


def test_a_tuple_is_missing_as_long_as_one_of_its_files_is(tmp_path, screen):
    paths = tuple(tmp_path / name for name in "xyz")
    for path in paths[:-1]:
        path.touch()

    async def main():
        task = track_file_creation_progress({"all": {paths}}, interval=0.001)
        await asyncio.wait([task], timeout=0.05)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert lines(screen) == {"all": "0/1"}


def test_a_file_that_was_seen_counts_even_if_it_goes_away(tmp_path, screen, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    exists = type(first).exists

    def vanishing(path):
        found = exists(path)
        if found and path == first:
            path.unlink()
            second.touch()
        return found

    monkeypatch.setattr(type(first), "exists", vanishing)
    run(await_task({"all": [first, second]}))
    assert not exists(first)


def test_what_is_given_is_not_changed(tmp_path, screen):
    (tmp_path / "a").touch()
    groups = {"a": {tmp_path / "a"}}
    run(await_task(groups))
    assert groups == {"a": {tmp_path / "a"}}


@pytest.mark.parametrize("groups", [{}, {"a": set()}])
def test_nothing_to_wait_for_ends_at_once(groups, screen):
    run(await_task(groups))


def test_names_and_text_in_brackets_are_shown_as_they_are(tmp_path, screen):
    (tmp_path / "a").touch()
    run(await_task({"[red]": [str(tmp_path / "a")]}))
    assert lines(screen) == {"[red]": "1/1"}


def test_two_can_be_shown_at_a_time(tmp_path):
    (tmp_path / "a").touch()
    groups = {"a": {tmp_path / "a"}}

    async def main():
        await asyncio.gather(*(track_file_creation_progress(groups) for _ in range(2)))

    run(main())


def test_it_needs_an_event_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        track_file_creation_progress({})


async def await_task(groups):
    await track_file_creation_progress(groups, interval=0.001)
