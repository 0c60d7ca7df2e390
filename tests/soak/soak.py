"""A run of many learners, and random faults; in the end every point is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from adaptive_scheduler.learners.storage import load_parallel
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_journal
from tests.end_to_end.ledger import Ledger
from tests.end_to_end.looking import points
from tests.soak.cost import Strike, most_again
from tests.soak.faults import Faults
from tests.soak.program import fname, make_learner
from tests.soak.site import Site
from tests.waiting import wait_until

#: Seconds between two looks at faults that last, and at the manager.
_PAUSE = 0.05
#: Seconds between two faults, at most, where a job starts in a second or two.
CALM = 1.5


@dataclass
class Report:
    """What a soak has brought.

    Attributes
    ----------
    seed, seconds
        Which soak, and how long it took.
    faults
        How often each kind of fault has struck.
    n_learners, n_jobs, n_managers
        How many there were.
    computed
        Evaluations that have come to their end.
    again
        Those among them that had been made before: the work that was lost.
    most_again
        How many those may be, by the faults that have struck.
    loaded
        Points in the data that was loaded in the end.
    lost
        Points that were computed and not loaded.
    wrong
        What should not be; empty if all is well.
    """

    seed: int
    seconds: float
    faults: Counter[str]
    n_learners: int
    n_jobs: int
    n_managers: int
    computed: int
    again: int
    most_again: int
    loaded: int
    lost: int
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"Soak with seed {self.seed}: {self.n_learners} learners, {self.seconds:.0f} s",
            f"{self.faults.total():6} faults survived",
            *(f"{n:8} x {kind}" for kind, n in sorted(self.faults.items())),
            f"{self.n_jobs:6} jobs, {self.n_managers} managers",
            f"{self.computed:6} points computed",
            f"{self.again:6} of them a second time, {self.most_again} may be",
            f"{self.loaded:6} points loaded",
            f"{self.lost:6} points lost",
        ]
        return "\n".join([*lines, *(f"WRONG: {words}" for words in self.wrong)])


class Soak:
    """One soak.

    Parameters
    ----------
    site, folder
        Where it takes place; `folder` has a folder ``disk``.
    seed
        Decides which faults strike, whom, and when.
    n_learners, n_points
        How many learners there are, and how many points each has.
    say
        Hears of each fault.
    owns_disk, owns_network
        See `Faults`.
    calm
        Seconds between two faults, at most.
    """

    def __init__(
        self,
        site: Site,
        folder: Path,
        *,
        seed: int,
        n_learners: int,
        n_points: int,
        say: Callable[[str], None],
        owns_disk: bool,
        owns_network: bool,
        calm: float = CALM,
    ) -> None:
        self._site = site
        self._folder = folder
        self._seed = seed
        self._random = Random(seed)
        self._n_learners = n_learners
        self._n_points = n_points
        self._say = say
        self._calm = calm
        self._faults = Faults(
            site,
            folder / "disk",
            lambda: self._manager,
            self._random,
            owns_disk=owns_disk,
            owns_network=owns_network,
        )
        self._begun = time.monotonic()
        self._lasting: dict[str, tuple[float, Iterator[float]]] = {}
        self._strikes: list[Strike] = []
        self._n_managers = 0
        self._manager = self._start_manager()

    def _start_manager(self) -> subprocess.Popen[bytes]:
        self._n_managers += 1
        words = map(str, (self._site.name, self._n_learners, self._n_points))
        program = [sys.executable, "-m", "tests.soak.program", self._folder, *words]
        command = [*self._site.on_the_managers_host, *program]
        with (self._folder / "manager.errors").open("ab") as errors:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env={**os.environ, **self._site.environment},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )

    def run(self, n_faults: int, patience: float) -> Report:
        """Let faults strike, have the run come to its end, and count.

        Parameters
        ----------
        n_faults
            How many faults; each kind strikes before any strikes twice.
        patience
            Seconds that all of it may take.
        """
        deadline = self._begun + patience
        try:
            wait_until((self._folder / "ledger").exists, patience)
            for kind in self._kinds(n_faults):
                if self._is_over(deadline):
                    break
                self._strike(kind, deadline)
            self._go_on_for(0.0, deadline)
            while self._lasting:
                self._go_on_for(_PAUSE, deadline)
            self._site.mend()
            self._say(f"{time.monotonic() - self._begun:6.1f} s  no more faults")
            while not self._is_over(deadline):
                self._go_on_for(_PAUSE, deadline)
            return self._report(deadline)
        finally:
            self._manager.kill()
            self._manager.wait()

    def _kinds(self, n_faults: int) -> Iterator[str]:
        while n_faults > 0:
            kinds = sorted(self._faults.kinds)
            self._random.shuffle(kinds)
            yield from kinds[:n_faults]
            n_faults -= len(kinds)

    def _strike(self, kind: str, deadline: float) -> None:
        """Have a fault strike; one of a kind at a time, and calm after it."""
        while kind in self._lasting:
            self._go_on_for(_PAUSE, deadline)
        self._say(f"{time.monotonic() - self._begun:6.1f} s  {kind}")
        fault = self._faults.kinds[kind]()
        begin, seconds = time.monotonic(), next(fault)
        self._lasting[kind] = (begin + seconds, fault)
        self._strikes.append(Strike(kind, begin, begin + seconds))
        self._go_on_for(self._random.uniform(0.0, self._calm), deadline)

    def _go_on_for(self, seconds: float, deadline: float) -> None:
        """Let time pass, end faults that have lasted long enough, and start managers that died."""
        until = time.monotonic() + seconds
        while True:
            for kind, (end, fault) in list(self._lasting.items()):
                if time.monotonic() >= end:
                    del self._lasting[kind]
                    next(fault, None)
            if self._manager.poll() not in (None, 0):
                self._check_how_it_ended()
                self._manager = self._start_manager()
            if time.monotonic() >= min(until, deadline):
                return
            time.sleep(_PAUSE)

    def _check_how_it_ended(self) -> None:
        errors = (self._folder / "manager.errors").read_text()
        # Where there is no room a run can't be started, and says so.
        if self._manager.returncode > 0 and "No space left" not in errors.splitlines()[-1]:
            raise AssertionError(f"The manager has ended by itself:\n{errors}")

    def _is_over(self, deadline: float) -> bool:
        return self._manager.poll() == 0 or time.monotonic() > deadline

    # Counting.

    def _report(self, deadline: float) -> Report:
        wrong = []
        if self._manager.poll() != 0:
            wrong.append(f"the run was not over in time ({self._manager.poll()})")
        while left := self._site.left():
            if time.monotonic() > deadline:
                wrong.append(f"left behind: {left}")
                break
            time.sleep(_PAUSE)
        seconds = time.monotonic() - self._begun
        ledger = Ledger(self._folder / "ledger")
        learners = [make_learner(self._folder, i, self._n_points) for i in range(self._n_learners)]
        fnames = [fname(self._folder, i) for i in range(self._n_learners)]
        load_parallel(learners, fnames, with_progress_bar=False)
        loaded = {(i, x) for i, learner in enumerate(learners) for x in points(learner)}
        returned = [(entry.learner, entry.x) for entry in ledger.returned()]
        lost = set(returned) - loaded
        if len(loaded) != self._n_learners * self._n_points:
            wrong.append(f"{len(loaded)} points instead of {self._n_learners * self._n_points}")
        again = len(returned) - len(set(returned))
        if again > (bound := most_again(self._strikes, self._n_points)):
            wrong.append(f"{again} points were computed again, and not {bound} at most")
        wrong += self._wrong_in_journal()
        return Report(
            seed=self._seed,
            seconds=seconds,
            faults=Counter(strike.kind for strike in self._strikes),
            most_again=bound,
            n_learners=self._n_learners,
            n_jobs=len(ledger.jobs()),
            n_managers=self._n_managers,
            computed=len(returned),
            again=again,
            loaded=len(loaded),
            lost=len(lost),
            wrong=wrong,
        )

    def _wrong_in_journal(self) -> Iterator[str]:
        """Yield what no journal may hold: two holders of a learner, or learners done twice."""
        holders: dict[int, events.Assigned] = {}
        done: set[int] = set()
        for record in read_journal(self._folder / "disk" / "run" / "journal.jsonl"):
            match record:
                case events.Assigned():
                    before = holders.get(record.learner)
                    if before is not None and before.job.job_id != record.job.job_id:
                        yield f"learner {record.learner} had two jobs: {before} {record}"
                    # A job that took another learner, unheard, has let go of what it had.
                    holders = {
                        i: a for i, a in holders.items() if a.job.job_id != record.job.job_id
                    }
                    holders[record.learner] = record
                case events.Done():
                    if record.learner in done:
                        yield f"learner {record.learner} was done twice"
                    done.add(record.learner)
                    holders.pop(record.learner, None)
                case events.Failed() | events.Released():
                    holders.pop(record.learner, None)
                case events.JobGone() | events.Requeued():
                    gone = [i for i, a in holders.items() if a.job.job_id == record.job_id]
                    for index in gone:
                        del holders[index]
        if len(done) != self._n_learners:
            yield f"{len(done)} learners are done"
