"""Learners that must be done before others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adaptive_scheduler.errors import DependencyError


def check_dependencies(dependencies: Mapping[int, Sequence[int]] | None, n_learners: int) -> None:
    """Check that every learner can become ready at some time.

    Raises
    ------
    DependencyError
        If a number is out of range, or learners wait for each other.
    """
    if not isinstance(dependencies or {}, Mapping):
        raise DependencyError(
            f"`dependencies` is a dict of lists, such as {{2: [0, 1]}}, not {dependencies!r}."
        )
    for index, needed in (dependencies or {}).items():
        if not isinstance(needed, Sequence):
            raise DependencyError(
                f"`dependencies` has {needed!r} for learner {index}: give a list of numbers."
            )
        for other in (index, *needed):
            if not 0 <= other < n_learners:
                raise DependencyError(
                    f"`dependencies` speaks of learner {other}, but they are numbered "
                    f"from 0 to {n_learners - 1}."
                )
    if cycle := _find_cycle(dependencies or {}):
        chain = " -> ".join(map(str, cycle))
        raise DependencyError(f"These learners wait for each other for ever: {chain}.")


def _find_cycle(dependencies: Mapping[int, Sequence[int]]) -> list[int]:
    """Return learners that wait for each other, the first of them again at the end."""
    finished: set[int] = set()
    for start in dependencies:
        path: dict[int, None] = {}
        stack = [(start, iter(dependencies[start]))]
        path[start] = None
        while stack:
            index, others = stack[-1]
            other = next((o for o in others if o not in finished), None)
            if other is None:
                finished.add(index)
                del path[index]
                stack.pop()
            elif other in path:
                members = list(path)
                return [*members[members.index(other) :], other]
            else:
                path[other] = None
                stack.append((other, iter(dependencies.get(other, ()))))
    return []
