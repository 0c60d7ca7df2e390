"""Which learners are done when a manager starts, without a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.learners.goals import GoalTypes, smart_goal
from adaptive_scheduler.learners.paths import ResolvedFname
from adaptive_scheduler.learners.storage import load_data, save_parallel, warn_of_writers

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.pack import Pack

#: Learners whose data is in memory at once while goals are checked.
_AT_ONCE = 64


def done_in_memory(
    learners: Sequence[BaseLearner],
    fnames: Sequence[ResolvedFname],
    goal: GoalTypes,
    *,
    with_progress_bar: bool,
) -> list[int]:
    """Return the learners that are done in memory; their data is on disk then, too."""
    with_data = [i for i, learner in enumerate(learners) if learner.npoints > 0]
    if not with_data:
        return []
    is_done = smart_goal(goal, learners)
    done = [i for i in with_data if is_done(learners[i])]
    for folder in {path.parent for i in done for path in fnames[i].paths}:
        revalidate(folder)
    unsaved = [i for i in done if not any(path.exists() for path in fnames[i].paths)]
    save_parallel(
        [learners[i] for i in unsaved],
        [fnames[i] for i in unsaved],
        with_progress_bar=with_progress_bar,
    )
    return done


def not_done_on_disk(
    pack: Pack,
    fnames: Sequence[ResolvedFname],
    goal: Callable[[BaseLearner], bool],
    indices: Sequence[int],
) -> Iterator[int]:
    """Yield those of some learners whose data files don't reach the goal."""
    rest = iter(indices)
    writers: dict[str, str] = {}
    while some := list(islice(rest, _AT_ONCE)):
        learners = [pack.read(index).learner for index in some]
        load_data(learners, [fnames[index] for index in some], writers, with_progress_bar=False)
        yield from (i for i, learner in zip(some, learners, strict=True) if not goal(learner))
    warn_of_writers(writers)
