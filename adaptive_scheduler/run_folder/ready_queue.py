"""The learners of one group that a job may have, in the order in which they are taken."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence


class ReadyQueue(Collection[int]):
    """The ready learners of a group: first those that never left, then those that came back.

    Those that never left cost a byte each, so that a run of a hundred thousand learners
    begins with a hundred thousand bytes.

    Parameters
    ----------
    members
        All learners of the group, ascending.
    places
        For each learner of the run its place among the members of its group.
    """

    def __init__(self, members: Sequence[int], places: Sequence[int]) -> None:
        self._members = members
        self._places = places
        self._never_left = bytearray(b"\1") * len(members)
        self._n_never_left = len(members)
        # Finding the first key of a dict takes the longer the more were taken away before it.
        self._came_back: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return self._n_never_left + len(self._came_back)

    def __contains__(self, learner: object) -> bool:
        if not isinstance(learner, int):
            return False
        return learner in self._came_back or self._has_never_left(learner)

    def __iter__(self) -> Iterator[int]:
        place = self._never_left.find(1)
        while place >= 0:
            yield self._members[place]
            place = self._never_left.find(1, place + 1)
        yield from self._came_back

    def add(self, learner: int) -> None:
        """Put a learner at the end."""
        self._came_back[learner] = None

    def remove(self, learner: int) -> None:
        """Take a learner out that is in the queue."""
        if learner in self._came_back:
            del self._came_back[learner]
        else:
            self._never_left[self._places[learner]] = 0
            self._n_never_left -= 1

    def _has_never_left(self, learner: int) -> bool:
        if not 0 <= learner < len(self._places):
            return False
        place = self._places[learner]
        is_member = place < len(self._members) and self._members[place] == learner
        return is_member and self._never_left[place] == 1
