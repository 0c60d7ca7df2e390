"""Jobs as arrays: which numbers one call of qsub can submit.

The index of a job in its array is its number. An array of PBS is a first and a
last index and a step, so other numbers need several calls::

    numbers 0, 1, 2, 3         -J 0-3
    numbers 0, 2, 3, 4, 6      -J 0-6:2, and 3 alone
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

#: Ascending numbers with equal distances.
Block: TypeAlias = range

#: How many distances are tried; more would make thousands of numbers slow.
_DISTANCES = 16


def blocks(numbers: Iterable[int], max_array_size: int) -> Iterator[Block]:
    """Yield the blocks in which jobs are submitted; there are few of them.

    Parameters
    ----------
    numbers
        Of the jobs, ascending.
    max_array_size
        How many jobs an array may have.
    """
    left = dict.fromkeys(numbers)
    while left:
        block = _longest(left)[: max(max_array_size, 1)]
        yield block
        for number in block:
            del left[number]


def _longest(left: dict[int, None]) -> Block:
    """Return the longest block that begins with the first number, the densest of equals."""
    first, *seconds = islice(left, _DISTANCES + 1)
    found = [_extended(first, second - first, left) for second in seconds]
    return max(found, key=len, default=range(first, first + 1))


def _extended(first: int, step: int, members: dict[int, None]) -> Block:
    end = first
    while end in members:
        end += step
    return range(first, end, step)


def halves(block: Block) -> Sequence[Block]:
    """Return the two halves of a block of several numbers."""
    middle = len(block) // 2
    return block[:middle], block[middle:]


def array_option(block: Block) -> str:
    """Return how PBS writes the indices of a block: ``0-9`` or ``0-9:3``."""
    step = f":{block.step}" if block.step > 1 else ""
    return f"{block[0]}-{block[-1]}{step}"
