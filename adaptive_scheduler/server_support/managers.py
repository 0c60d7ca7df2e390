"""The managers that do the work of a run, from one start to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptive_scheduler.server_support.database_manager import DatabaseManager
from adaptive_scheduler.server_support.job_manager import JobManager
from adaptive_scheduler.server_support.kill_manager import KILL_FACE, KillManager
from adaptive_scheduler.server_support.monitor import Monitor

if TYPE_CHECKING:
    from typing import Self

    from adaptive import BaseLearner

    from adaptive_scheduler.learners.paths import AnyFname
    from adaptive_scheduler.run_folder.spec import RunSpec
    from adaptive_scheduler.scheduler.base import BaseScheduler


@dataclass(frozen=True)
class Managers:
    """Who does the work of a run. A run that is started again gets new ones.

    Attributes
    ----------
    database
        Gives learners to jobs, and keeps the record.
    jobs
        Submits jobs.
    monitor
        Counts what jobs report.
    kill
        Cancels lost jobs; None if the run has not asked for that.
    """

    database: DatabaseManager
    jobs: JobManager
    monitor: Monitor
    kill: KillManager | None

    @classmethod
    def of(
        cls,
        spec: RunSpec,
        scheduler: BaseScheduler,
        learners: Sequence[BaseLearner],
        fnames: Sequence[AnyFname],
        *,
        has_pack: bool = False,
    ) -> Self:
        """Make the managers of a run; none of them is started.

        Parameters
        ----------
        spec
            What the run is.
        scheduler
            Where the jobs run.
        learners, fnames
            The learners, and where the data of each is saved.
        has_pack
            Whether the learners lie in the run folder already.

        Raises
        ------
        InvalidInputError
            If anything that was given can't work.
        """
        database = DatabaseManager(
            spec.url,
            scheduler,
            None,
            learners,
            fnames,
            dependencies=spec.dependencies,
            overwrite_db=spec.overwrite_db,
            initializers=spec.initializers,
            with_progress_bar=not spec.quiet,
            run_folder=spec.run_folder,
            max_log_lines=spec.max_log_lines,
            has_pack=has_pack,
            project=spec.project,
        )
        jobs = JobManager(spec.job_names, database, scheduler, spec=spec)
        monitor = Monitor(
            database, spec.goal_function, lambda number: scheduler.resources(number).cores
        )
        kill = None
        if spec.kill_on_error is not None:
            kill = KillManager(scheduler, database, **KILL_FACE.show(spec))
        return cls(database, jobs, monitor, kill)
