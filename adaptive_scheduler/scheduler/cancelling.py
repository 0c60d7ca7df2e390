"""Cancel jobs and stay until they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adaptive_scheduler._common.progress import bars
from adaptive_scheduler.errors import InvalidInputError, SchedulerError, SchedulerUnavailableError

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler

#: Seconds until jobs that are still there are cancelled again. Schedulers give
#: a job up to 30 seconds to save its work, which is no reason to ask again.
PATIENCE = 40.0
#: Seconds between looks at the queue: at first, and at most.
_PAUSES = (0.2, 5.0)


def cancel_and_wait(
    scheduler: BaseScheduler,
    job_ids: Callable[[], Collection[str]],
    *,
    with_progress_bar: bool = True,
    max_tries: int = 5,
) -> None:
    """Cancel the jobs that there are now, until none of them is left.

    Jobs of these names that come later are left alone: a run manager that
    lives submits new ones for those that are cancelled.

    Parameters
    ----------
    scheduler
        The one that has the jobs.
    job_ids
        Returns the ids of those that are left.
    with_progress_bar
        Show how many are gone.
    max_tries
        How often to cancel those that are left.

    Raises
    ------
    SchedulerUnavailableError
        If jobs are left after that, or nothing is known about them.
    """
    if max_tries < 1:
        raise InvalidInputError(f"`max_tries` is at least 1, not {max_tries!r}.")
    remaining = _of_the_first_look(job_ids)
    with _progress(show=with_progress_bar) as show:
        left: Collection[str] = ()
        trouble: SchedulerError | None = None
        for _ in range(max_tries):
            try:
                left, trouble = remaining(), None
                if not left:
                    return
                scheduler.cancel_ids(left)
                for left in _looks(remaining, scheduler.min_poll_interval):
                    show(len(left))
                    if not left:
                        return
            except SchedulerUnavailableError as error:
                trouble = error
    raise SchedulerUnavailableError(
        f"After {max_tries} attempts to cancel them, {len(left)} jobs are not known to be gone"
        + (f", the first of them {min(left)}" if left else "")
        + f". {trouble or 'Ask the scheduler why they stay, and cancel them again.'}"
    ) from trouble


def _of_the_first_look(job_ids: Callable[[], Collection[str]]) -> Callable[[], Collection[str]]:
    """Return a function for those ids that the first call of `job_ids` returns."""
    first: Collection[str] | None = None

    def remaining() -> Collection[str]:
        nonlocal first
        found = job_ids()
        if first is None:
            first = frozenset(found)
        return [job_id for job_id in found if job_id in first]

    return remaining


def _looks(job_ids: Callable[[], Collection[str]], shortest: float) -> Iterator[Collection[str]]:
    """Yield which jobs are left, now and then, for as long as it makes sense to wait."""
    deadline = time.monotonic() + PATIENCE
    pause, longest = max(shortest, _PAUSES[0]), max(shortest, _PAUSES[1])
    while True:
        yield job_ids()
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return
        time.sleep(min(pause, remaining))
        pause = min(1.5 * pause, longest)


@contextmanager
def _progress(*, show: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes note of how many jobs are left."""
    if not show:
        yield lambda _: None
        return
    with bars(transient=True) as shown:
        number = shown.add("Cancelling jobs", None)
        most = 0

        def update(n_left: int) -> None:
            nonlocal most
            most = max(most, n_left)
            shown.update(number, most - n_left, total=most)

        yield update
