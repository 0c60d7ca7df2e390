"""The scheduler PBS: OpenPBS, PBS Pro, and Torque where it differs."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Collection, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.errors import (
    InvalidInputError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler.base import BaseScheduler, Batch, JobEnd, QueuedJob
from adaptive_scheduler.scheduler.command import Finished, run_command
from adaptive_scheduler.scheduler.early_warning import check_warning
from adaptive_scheduler.scheduler.pbs import client
from adaptive_scheduler.scheduler.pbs.arrays import Block, blocks, halves
from adaptive_scheduler.scheduler.pbs.client import failure_of
from adaptive_scheduler.scheduler.pbs.deleting import delete
from adaptive_scheduler.scheduler.pbs.ends import end_of
from adaptive_scheduler.scheduler.pbs.listing import PbsListing
from adaptive_scheduler.scheduler.pbs.queue import ours, queue_of
from adaptive_scheduler.scheduler.pbs.records import Attributes
from adaptive_scheduler.scheduler.pbs.resources import PbsResources
from adaptive_scheduler.scheduler.pbs.script import (
    VARIABLES,
    Dialect,
    parse_submit,
    sent_script,
    simpler,
    submit_command,
)
from adaptive_scheduler.scheduler.pbs.site import PbsSite
from adaptive_scheduler.scheduler.pbs.warning import warning_lines, warning_lines_by_queue
from adaptive_scheduler.scheduler.resources import PerLearner, Resources
from adaptive_scheduler.scheduler.script import JobVariables
from adaptive_scheduler.scheduler.submitting import check_batch, check_on_path, make_log_folder

#: What qsub says of an array that is too large for the server, or for one of its queues.
_TOO_LARGE = "Array job exceeds server or queue size limit"


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
    _resources_kind: ClassVar[type[Resources]] = PbsResources

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
        self._site = PbsSite()
        self._listing = PbsListing()
        self._dialect: Dialect | None = None
        super().__init__(
            cores,
            cores_per_node=cores_per_node,
            queue=queue,
            time=time if walltime is None else walltime,
            memory=memory,
            select=select,
            **keywords,
        )

    @property
    def queue_key(self) -> Hashable:
        """What is equal for all schedulers of the same server."""
        return (self.kind, *self._location().values())

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
        check_on_path("qsub", "PBS")
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
        return warning_lines_by_queue(self._site.default_walltimes, self.signal_before_end)

    # What a scheduler does.

    def submit(self, batch: Batch) -> dict[int, str]:
        """Submit jobs, and return the ids of those that PBS took, by number.

        It takes them an array at a time: when it refuses the second, the jobs
        of the first exist.

        Raises
        ------
        SubmissionRejectedError
            If PBS said no; none of the jobs was submitted.
        SchedulerUnavailableError
            If it is not known whether they were.
        """
        check_batch(self, batch)
        make_log_folder(batch)
        waiting = deque(blocks(batch.numbers, self._site.max_array_size))
        job_ids: dict[int, str] = {}
        while waiting:
            block = waiting.popleft()
            answer = self._submit_block(batch, block)
            if answer.returncode == 0:
                job_ids |= parse_submit(block, answer)
            elif _TOO_LARGE in answer.complaint and len(block) > 1:
                waiting.extendleft(reversed(halves(block)))  # a queue may take less
            else:
                error = failure_of(answer, batch)
                if job_ids and isinstance(error, SubmissionRejectedError):
                    break  # they are asked for again, and are alone then
                raise error
        return dict(sorted(job_ids.items()))

    def _submit_block(self, batch: Batch, block: Block) -> Finished:
        if self._dialect is None:
            is_torque = self._site.is_torque
            self._dialect = Dialect(is_torque, writes_at_once=not is_torque)
        resources = PbsResources.of(batch.resources)
        text = sent_script(batch, block, self._site_warning(resources))
        command = submit_command(batch, block, self._options(resources), self._dialect)
        answer = run_command(command, timeout=client.TIMEOUT, text=text)
        if answer.returncode != 0 and (dialect := simpler(self._dialect, answer)) is not None:
            self._dialect = dialect
            return self._submit_block(batch, block)
        return answer

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

    def cancel_ids(self, job_ids: Collection[str]) -> None:
        """Ask PBS to end these jobs; ids that it doesn't know are no error.

        Raises
        ------
        SchedulerUnavailableError
            If it is not known whether it will.
        """
        delete(ours(job_ids), can_force=not self._site.is_torque)

    def ends(self, job_ids: Collection[str]) -> dict[str, JobEnd]:
        """Return how jobs have ended; those of which nothing is known are left out.

        That is all of them where the site keeps no history, as is PBS's default.
        """
        jobs: dict[str, Attributes] = {}
        with suppress(SchedulerUnavailableError):
            jobs = self._listing.of_these(job_ids, is_torque=self._site.is_torque)
        ends = {job_id: end_of(job_id, job) for job_id, job in jobs.items()}
        return {job_id: end for job_id, end in ends.items() if end is not None}
