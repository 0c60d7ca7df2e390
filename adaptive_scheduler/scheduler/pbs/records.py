"""What ``qstat -f`` prints about jobs, queues and servers, read into attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

#: Attributes of one of them by name, as qstat spells them.
Attributes: TypeAlias = Mapping[str, str]

_ATTRIBUTE: Final = re.compile(r"(?:\A|\n) {4}(?P<name>[A-Za-z_][\w.-]*) = ")


def parse_records(stdout: str, kind: Literal["Job Id", "Queue", "Server"]) -> dict[str, Attributes]:
    """Read what ``qstat -f`` prints, with or without ``-w``: attributes by id or name.

    Without ``-w``, long values go on in lines that begin with a tab.
    """
    # The first record begins with the first such line, others after an empty
    # line, too: values may hold line breaks, and these words.
    first = re.search(rf"^{kind}: ", stdout, re.MULTILINE)  # a site may print a greeting before it
    text = stdout[first.start() :] if first else ""
    _, *parts = re.split(rf"(?:\A|(?<=\n\n)){kind}: (\S+)\n", text.replace("\n\t", ""))
    return {name: _attributes(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _attributes(text: str) -> dict[str, str]:
    """Return the attributes of one record.

    The first of two with the same name counts. The other is a line of a value:
    of a shell function, say, in the environment that a site gives to all jobs.
    """
    _, *parts = _ATTRIBUTE.split(text)
    attributes: dict[str, str] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        attributes.setdefault(name, value.rstrip("\n"))
    return attributes
