"""Ends a cluster whose owner has died: ``python -m tests.cluster.process_reaper PID FOLDER``."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from pathlib import Path

from tests.cluster.slurm_daemons import SlurmDaemons


def main() -> None:
    """Wait for the end of a process, and then end the cluster in a folder."""
    owner, folder = int(sys.argv[1]), Path(sys.argv[2])
    with suppress(ProcessLookupError):  # it may be dead already
        select.select([os.pidfd_open(owner)], [], [])
    SlurmDaemons(folder).down()


if __name__ == "__main__":
    main()
