"""The tier of each test, and what tests of the tier `unit` may not do.

======== ==================================================================
unit     all in the process of the test, with sockets on the loopback alone
system   starts processes, or talks to a fake cluster
cluster  runs on the Slurm cluster of the tests
browser  opens pages in a browser
======== ==================================================================

A test that says nothing is one of `unit`, unless it lies in a folder or asks for a fixture of
another tier. One that starts a process says so, with ``@pytest.mark.system``, or for all of its
module with ``pytestmark = pytest.mark.system``: it fails otherwise.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

import pytest

TIERS = ("unit", "system", "cluster", "browser")
#: Folders whose tests belong to a tier because of where they lie.
FOLDERS = {
    "cluster": "system",
    "end_to_end": "system",
    "nfs": "system",
    "notebooks": "system",
    "widgets/browser": "browser",
}
#: Fixtures that take a test into a tier.
FIXTURES = {
    "local_spool": "system",
    "pbs": "system",
    "slurm_cluster": "cluster",
    "chromium": "browser",
    "serve": "browser",
}
#: The longest sleep of a unit test, in seconds.
LONGEST_SLEEP = 0.5

_STARTS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
}
_HERE = Path(__file__).parent


class NotInAUnitTestError(AssertionError):
    """A unit test did what only those of other tiers may do."""


def tier_of(item: pytest.Item) -> str:
    """Return the tier of a test: the one it names, or that of its fixtures or its folder."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    implied = {FIXTURES[name] for name in fixtures if name in FIXTURES}
    implied |= {
        tier for folder, tier in FOLDERS.items() if item.path.is_relative_to(_HERE / folder)
    }
    named = {mark.name for mark in item.iter_markers() if mark.name in TIERS}
    tier = max(named | implied, key=TIERS.index, default="unit")
    if not named <= {tier}:
        raise pytest.UsageError(f"{item.nodeid} is of the tier {tier}, and says {sorted(named)}.")
    return tier


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, before `-m` chooses among them, and begin with what is slow.

    A file whose tests wait for a browser takes minutes. Where it comes last, one worker is
    busy with it while all others have nothing left to do.
    """
    ranks: dict[Path, int] = {}
    for item in items:
        tier = tier_of(item)
        if item.get_closest_marker(tier) is None:
            item.add_marker(tier)
        ranks[item.path] = max(ranks.get(item.path, 0), TIERS.index(tier))
    items.sort(key=lambda item: ranks[item.path], reverse=True)


class _Guard:
    """Refuses what a unit test may not do, and remembers it: who catches errors hides nothing."""

    def __init__(self) -> None:
        self._is_active = False
        self._refused: list[str] = []
        #: Threads that tests of other tiers have left, which may do as they like.
        self._left_by_others: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        # An audit hook can't be removed, only do nothing.
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Refuse in the meantime; raise at the end if there was anything to refuse."""
        self._refused = []
        self._is_active = True
        try:
            with mock.patch.object(time, "sleep", self._sleep):
                yield
        finally:
            self._is_active = False
        if self._refused:
            raise NotInAUnitTestError(self._refused[0])

    def spare_threads(self) -> None:
        """Leave the threads alone that there are by now."""
        main = threading.main_thread()
        self._left_by_others.update(each for each in threading.enumerate() if each is not main)

    def _hear(self, event: str, args: tuple[object, ...]) -> None:
        if not self._is_active:
            return
        if event in _STARTS:
            self._refuse(f"A unit test starts no process ({event}). Mark it with `system`.")
        elif event == "socket.connect" and not _is_near(args[1]):
            self._refuse(f"A unit test talks to nobody but itself, and not to {args[1]}.")

    def _sleep(self, seconds: float) -> None:
        if self._is_active and seconds > LONGEST_SLEEP:
            self._refuse(f"A unit test does not sleep {seconds} s: it waits for an event.")
        _real_sleep(seconds)

    def _refuse(self, why: str) -> None:
        if threading.current_thread() not in self._left_by_others:
            self._refused.append(why)
            raise NotInAUnitTestError(why)


def _is_near(address: object) -> bool:
    """Return whether an address is on the loopback, or a file."""
    if not isinstance(address, tuple) or address[0] == "localhost":
        return True
    try:
        return ip_address(str(address[0])).is_loopback
    except ValueError:
        return False


_real_sleep = time.sleep
_guard = _Guard()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Hold the fixtures of a unit test to what it may do."""
    with _guarded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Hold a unit test to what it may do."""
    with _guarded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Remember what is left of a test of another tier."""
    try:
        return (yield)
    finally:
        if item.get_closest_marker("unit") is None:
            _guard.spare_threads()


def _guarded(item: pytest.Item) -> contextlib.AbstractContextManager[None]:
    is_unit = item.get_closest_marker("unit") is not None
    return _guard.active() if is_unit else contextlib.nullcontext()
