"""A guest with a kernel of its own, in which an NFS server and its clients are real.

The guest is user-mode Linux: a kernel that is a program, needs no rights, and brings the NFS
server and client of Linux along. It sees the files of this machine, read-only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster.packages import HOW_TO_GET_A_GUEST, guest_kernel

ROOT = Path(__file__).parents[2]
#: What the guest prints last, before the exit code of its program.
LAST_LINE = "guest: exit code "
#: Set in a guest.
IN_GUEST = "ADAPTIVE_SCHEDULER_TESTS_IN_GUEST"
_MEMORY = "3G"
#: A file system in memory, where the guest's memory lies.
_SHARED_MEMORY = "/dev/shm"


def python_in_guest(
    arguments: Sequence[str], *, seconds: float, say: Callable[[str], None]
) -> int | None:
    """Run a Python in a guest.

    Parameters
    ----------
    arguments
        Its arguments.
    seconds
        How long the guest may live.
    say
        Hears each line that is printed.

    Returns
    -------
    int or None
        The exit code; None if the program did not come to its end.
    """
    kernel = guest_kernel()
    if kernel is None:
        raise FileNotFoundError(f"There is no guest. {HOW_TO_GET_A_GUEST}")
    code = None
    with tempfile.TemporaryDirectory(prefix="guest-") as name:
        file = Path(name) / "arguments.json"
        file.write_text(json.dumps(list(arguments)))
        variables = {
            "GUEST_FOLDER": ROOT,
            "GUEST_PYTHON": sys.executable,
            "GUEST_PATH": os.environ["PATH"],
            "GUEST_MODULES": kernel.modules,
            "GUEST_ARGUMENTS": file,
        }
        command = [
            *(str(kernel.program), f"mem={_MEMORY}", "quiet"),
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
            *(f"init={Path(__file__).with_name('init.sh')}", "con=null", "con0=null,fd:1"),
            *(f'{key}="{value}"' for key, value in variables.items()),
        ]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": _SHARED_MEMORY},
            text=True,
            errors="replace",
            start_new_session=True,
        ) as guest:
            assert guest.stdout is not None
            alarm = threading.Timer(seconds, _kill, [guest.pid])
            alarm.start()
            try:
                for line in guest.stdout:
                    if line.startswith(LAST_LINE):
                        code = int(line.removeprefix(LAST_LINE))
                    else:
                        say(line.rstrip())
            finally:
                alarm.cancel()
                _kill(guest.pid)
    return code


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
