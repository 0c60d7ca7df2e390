"""How qstat writes the attributes of a job, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: Columns of a line.
_WIDTH = 79
_TAB = 8


def record(job_id: str, attributes: Iterable[tuple[str, str]], *, is_wide: bool) -> str:
    """Return what ``qstat -f`` prints about one job."""
    lines = [f"Job Id: {job_id}"]
    for name, value in attributes:
        head = f"    {name} = "
        lines.append(head + (value if is_wide else wrapped(value, len(head))))
    return "\n".join(lines) + "\n\n"


def wrapped(value: str, column: int) -> str:
    """Return a value with breaks where it would leave its line: after a comma, or anywhere."""
    return "".join(_pieces(value, column))


def _pieces(value: str, column: int) -> Iterator[str]:
    for i, part in enumerate(re.split(r"(?<=,)", value)):
        if i > 0 and column + len(part) > _WIDTH:
            yield "\n\t"
            column = _TAB
        for character in part:
            if column >= _WIDTH:
                yield "\n\t"
                column = _TAB
            yield character
            column += 1
