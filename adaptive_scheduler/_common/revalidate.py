"""What lies in a folder by now, where other hosts change it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["revalidate"]


def revalidate(folder: Path) -> None:
    """Have a network file system ask its server what lies in a folder.

    A client of NFS remembers for up to a minute which names there are in a folder, which
    there are not, and what they stand for. Opening the folder makes it ask
    again ("close-to-open consistency"), and what is looked up next is true. On a local
    file system this takes some microseconds.

    A folder that can't be opened is no error here: who looks into it next is told.
    """
    with suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK))
