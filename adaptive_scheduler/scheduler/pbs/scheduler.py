"""The scheduler PBS: OpenPBS, PBS Pro, and Torque where it differs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.scheduler.base import BaseScheduler, Batch, JobArray, JobEnd, QueuedJob
from adaptive_scheduler.scheduler.command import Finished
from adaptive_scheduler.scheduler.pbs import commands
from adaptive_scheduler.scheduler.pbs.commands import VARIABLES, sent_script
from adaptive_scheduler.scheduler.pbs.queue import Attributes, PbsListing, end_of, ours, queue_of
from adaptive_scheduler.scheduler.pbs.resources import PbsResources, PbsSite
from adaptive_scheduler.scheduler.resources import PerLearner, Resources
from adaptive_scheduler.scheduler.script import (
    JobVariables,
    check_warning,
    warning_lines,
    warning_lines_by_queue,
)


class PBS(BaseScheduler):
    """Runs jobs on a cluster with the queueing system PBS.

    Jobs that ask for the same are submitted together, as an array. The
    parameters marked * take one value for all jobs, a function without
    arguments that is called at each submission, or a tuple with one of these
    for each learner.

    Parameters
    ----------
    cores*
        Cores for each job.
    cores_per_node*
        Cores of a node, for jobs that use several nodes; by default as many as
        most nodes have, which is then said in a warning.
    queue*
        Where the jobs wait; ``qstat -Q`` lists the queues.
    walltime*
        How long each job may run: ``"HH:MM:SS"``, seconds or a timedelta. Also `time`.
    memory*
        Memory for each job on each node, such as ``"4gb"``.
    select*
        What each job wants in the words of PBS, such as
        ``"1:ncpus=4:ngpus=1"``, instead of what follows from the others.
    signal_before_end
        Seconds before the end of its walltime at which a job saves and gives
        its learner back. None stands for a minute where `walltime` is given or
        the queue has a default, and for less in short jobs; 0 leaves it to the
        end, when a job has about 10 seconds.
    **keywords
        As for `BaseScheduler`. Options in `extra_scheduler` win over all others.

    Raises
    ------
    InvalidInputError
        If a value can't be.
    """

    kind: ClassVar[str] = "pbs"
    location: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"server": "PBS_SERVER", "default": "PBS_DEFAULT", "conf": "PBS_CONF_FILE"}
    )
    ext: ClassVar[str] = ".pbs"
    submit_cmd: ClassVar[str] = "qsub"
    directive: ClassVar[str] = "#PBS"
    variables: ClassVar[JobVariables] = VARIABLES
    resources_kind: ClassVar[type[Resources]] = PbsResources
    names_of_slurm: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"partition": "queue", "memory": "memory", "cores_per_node": "cores_per_node"}
    )
    doubtful: ClassVar[Collection[str]] = commands.DOUBTFUL
    hints: ClassVar[Mapping[str, str]] = commands.HINTS
    noise: ClassVar[Collection[str]] = commands.NOISE

    parse_submit = staticmethod(commands.parse_submit)

    def __init__(
        self,
        cores: PerLearner[int | None],
        *,
        cores_per_node: PerLearner[int | None] = None,
        queue: PerLearner[str | None] = None,
        walltime: PerLearner[str | float | dt.timedelta | None] = None,
        time: PerLearner[str | float | dt.timedelta | None] = None,
        memory: PerLearner[str | None] = None,
        select: PerLearner[str | None] = None,
        signal_before_end: float | None = None,
        **keywords: Any,
    ) -> None:
        if walltime is not None and time is not None:
            raise InvalidInputError("`time` and `walltime` are the same: say one of them.")
        check_warning(signal_before_end)
        self.signal_before_end = signal_before_end
        super().__init__(
            cores,
            cores_per_node=cores_per_node,
            queue=queue,
            time=time if walltime is None else walltime,
            memory=memory,
            select=select,
            **keywords,
        )
        self._site = PbsSite(self.commands)
        self._listing = PbsListing(self.commands)
        self._known_dialect: commands.Dialect | None = None

    # What a job asks for.

    def resources(self, index: int) -> PbsResources:
        """Return what the job for learner `index` asks for, as of now.

        Raises
        ------
        SchedulerUnavailableError
            If a job uses several nodes, and pbsnodes does not say how large they are.
            With `cores_per_node` it is not asked.
        """
        wanted = PbsResources.of(super().resources(index))
        if wanted.is_on_one_node or wanted.cores_per_node or wanted.select:
            return wanted
        cores = self._site.cores_per_node
        warn_user(
            f"`cores_per_node` is not given: guessed {cores}, as most nodes in pbsnodes have."
        )
        return replace(wanted, cores_per_node=cores)

    def check(self, resources: Resources) -> None:
        """Raise `InvalidInputError` if no job can ever get `resources` here.

        Where pbsnodes does not answer, it is left to qsub to say so.
        """
        super().check(resources)
        if self._site.is_slurm:
            raise InvalidInputError(
                "The qsub on PATH submits to Slurm, and tells jobs nothing of PBS. Use "
                "`scheduler.SLURM`."
            )
        wanted = PbsResources.of(resources)
        if wanted.select is not None:
            return
        with suppress(SchedulerUnavailableError):
            cores = max(cores for _, cores in wanted.chunks)
            largest = max(self._site.nodes.values())
            if cores > largest:
                raise InvalidInputError(
                    f"No job can get {cores} cores on one node: the largest node in pbsnodes "
                    f"has {largest}."
                )

    def describe_site(self) -> list[str]:
        """Return how large the site is and how large arrays may be, in lines for people."""
        cores = self._site.nodes.values()
        size = f"{counted(len(cores), 'node')}, {counted(sum(cores), 'core')}"
        return [
            f"{size}, at most {max(cores)} on a node",
            f"arrays of {self._site.max_array_size} jobs",
        ]

    def script_head(self, resources: Resources) -> list[str]:
        """Return the option lines with which a job script asks for `resources`."""
        wanted = PbsResources.of(resources)
        head = [f"{self.directive} {option}" for option in self._options(wanted)]
        return [*head, *warning_lines(wanted.seconds, self.signal_before_end)]

    def _options(self, resources: PbsResources) -> list[str]:
        options = resources.options(is_torque=self._site.is_torque)
        return [*options, *resources.extra_scheduler]

    def _site_warning(self, resources: PbsResources) -> list[str]:
        """Return the lines by which jobs warn themselves when the site decides on their time."""
        if not resources.has_default_walltime or self.signal_before_end == 0:
            return []
        return warning_lines_by_queue(
            self._site.default_walltimes, self.signal_before_end, queue="$PBS_QUEUE"
        )

    # How jobs are submitted.

    def arrays(self, numbers: Sequence[int]) -> Iterator[JobArray]:
        """Yield the jobs that one call of qsub submits each."""
        return commands.arrays(numbers, self._site.max_array_size)

    def submit_command(self, batch: Batch, jobs: JobArray) -> list[str]:
        """Return the call of qsub that submits some jobs of a batch."""
        options = self._options(PbsResources.of(batch.resources))
        return commands.submit_command(batch, jobs, options, self._dialect)

    def submit_input(self, batch: Batch, jobs: JobArray) -> str:
        """Return the script that qsub reads."""
        return sent_script(batch, jobs, self._site_warning(PbsResources.of(batch.resources)))

    def after_refusal(self, jobs: JobArray, answer: Finished) -> list[JobArray]:
        """Return what to submit instead of jobs that this version, or this queue, does not take."""
        if (dialect := commands.simpler(self._dialect, answer)) is not None:
            self._known_dialect = dialect
            return [jobs]
        return commands.in_halves(jobs, answer)

    @property
    def _dialect(self) -> commands.Dialect:
        if self._known_dialect is None:
            is_torque = self._site.is_torque
            self._known_dialect = commands.Dialect(is_torque, writes_at_once=not is_torque)
        return self._known_dialect

    # Which jobs there are. PBS is asked in several steps.

    def queue(self, *, me_only: bool = True) -> dict[str, QueuedJob]:
        """Return the jobs that wait, run or are about to end, by id.

        Members of an array stay, as not alive, until all of them have ended.

        Raises
        ------
        SchedulerUnavailableError
            If there was no answer that can be trusted.
        """
        if not me_only:
            return queue_of(self._listing.of_all())
        return queue_of(self._listing.of_mine(is_torque=self._site.is_torque))

    def cancel_commands(self, job_ids: Collection[str]) -> Iterator[list[str]]:
        """Yield the calls of qdel that end jobs; ids that can't be are left out."""
        return commands.delete_commands(ours(job_ids))

    def cancel_with(self, command: Sequence[str]) -> None:
        """Run one of `cancel_commands`, and let go of jobs whose nodes don't answer."""
        commands.delete(self.commands, command, can_force=not self._site.is_torque)

    def ends(self, job_ids: Collection[str]) -> dict[str, JobEnd]:
        """Return how jobs have ended; those of which nothing is known are left out.

        That is all of them where the site keeps no history, as is PBS's default.
        """
        jobs: dict[str, Attributes] = {}
        with suppress(SchedulerUnavailableError):
            jobs = self._listing.of_these(job_ids, is_torque=self._site.is_torque)
        ends = {job_id: end_of(job_id, job) for job_id, job in jobs.items()}
        return {job_id: end for job_id, end in ends.items() if end is not None}
