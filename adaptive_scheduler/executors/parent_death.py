"""Processes that end with their parent, however that happens.

As a program, ``python -m adaptive_scheduler.executors.parent_death MODULE ARGUMENTS...`` runs a
module of others whose processes would outlive it if it were killed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import runpy
import signal
import sys

#: Option of prctl(2): send this signal to me when my parent dies.
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies, which has this id or is dead."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)


def _tie_forks() -> None:
    """Have all that this process forks end with it, and what these fork with them."""
    parent = os.getpid()

    def tie() -> None:
        nonlocal parent
        end_with(parent)
        parent = os.getpid()

    os.register_at_fork(after_in_child=tie)


def main() -> None:
    """Run a module as a program, with all that it forks tied to it."""
    _tie_forks()
    multiprocessing.set_start_method("fork")  # a fork server would not be tied
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
