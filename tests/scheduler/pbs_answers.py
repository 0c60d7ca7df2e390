"""What the commands of a real OpenPBS server have answered, in `pbs_transcripts`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("pbs_transcripts")

_BLOCK = re.compile(
    r"^\$ (?P<command>.*?)\n--- stdout\n(?P<stdout>.*?)--- stderr\n(?P<stderr>.*?)"
    r"--- exit (?P<code>\d+)\n",
    re.DOTALL | re.MULTILINE,
)


class Answer(NamedTuple):
    """One command and what it said."""

    command: str
    stdout: str
    stderr: str
    returncode: int


def answers(name: str) -> list[Answer]:
    """Return the answers in a transcript, in order."""
    text = (FOLDER / f"{name}.txt").read_text(errors="replace")
    found = [
        Answer(m["command"], m["stdout"], m["stderr"], int(m["code"]))
        for m in _BLOCK.finditer(text)
    ]
    assert found
    return found


def answer_to(name: str, command: str) -> Answer:
    """Return the answer to the first command that begins so."""
    return next(a for a in answers(name) if a.command.startswith(command))
