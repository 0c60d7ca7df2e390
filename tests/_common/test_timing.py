import asyncio
import functools

import pytest

from adaptive_scheduler._common.timing import add_timing_to_object
from adaptive_scheduler.errors import InvalidInputError


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
