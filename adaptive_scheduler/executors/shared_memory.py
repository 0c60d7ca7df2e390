"""Memory that processes of one node share, which the kernel keeps as long as it has a name."""

from __future__ import annotations

import re
from pathlib import Path

#: Where the kernel shows them.
_FOLDER = Path("/dev", "shm")


def forget_names(pattern: str) -> None:
    """Take their names from those shared memories of this process whose names match.

    All that share them must have them by then. With names they would outlive processes
    that are killed, and meet later ones that choose the same.
    """
    maps = Path("/proc/self/maps").read_text()
    for name in set(re.findall(rf" {_FOLDER}/({pattern})$", maps, re.MULTILINE)):
        (_FOLDER / name).unlink(missing_ok=True)
