"""Read a file to which other processes append lines."""

from __future__ import annotations

from pathlib import Path


def whole_lines(path: Path) -> list[str]:
    """Return the lines that have come to their end, none if there is no file.

    A line that is appended by one write can still be seen in parts: where it crosses
    into the next page of the file, the size grows in two steps.
    """
    text = path.read_bytes() if path.exists() else b""
    return text[: text.rfind(b"\n") + 1].decode().split("\n")[:-1]
