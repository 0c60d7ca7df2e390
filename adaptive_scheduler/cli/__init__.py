"""The command ``adaptive-scheduler``: look at runs, and handle them, from a shell.

It exits with 0 if it did what it was told, with 1 if it could not, which one
line of words explains, with 2 if it was told wrongly, and with 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from adaptive_scheduler.cli.parser import make_parser
from adaptive_scheduler.errors import AdaptiveSchedulerError

__all__ = ["main", "make_parser"]

#: Exit codes of a shell's command.
_FAILED, _INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    options = make_parser().parse_args(arguments)
    try:
        code = options.do(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (AdaptiveSchedulerError, OSError) as error:
        print(f"adaptive-scheduler: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(code or 0)
