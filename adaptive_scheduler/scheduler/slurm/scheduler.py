"""The scheduler Slurm."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from adaptive_scheduler.errors import SchedulerUnavailableError, SubmissionRejectedError
from adaptive_scheduler.scheduler.base import BaseScheduler, Batch, JobEnd, QueuedJob
from adaptive_scheduler.scheduler.command import run_command
from adaptive_scheduler.scheduler.early_warning import NOT_YET, check_warning, warning_time
from adaptive_scheduler.scheduler.launching import KEEP_OTHERS, srun_for_mpi
from adaptive_scheduler.scheduler.resources import PerLearner, Resources, seconds_of
from adaptive_scheduler.scheduler.script import JobVariables
from adaptive_scheduler.scheduler.slurm.arrays import (
    VARIABLES,
    blocks,
    cancel_commands,
    parse_submit,
    submit_command,
)
from adaptive_scheduler.scheduler.slurm.client import ask, ask_well, slurm_environment
from adaptive_scheduler.scheduler.slurm.ends import (
    accounting_commands,
    parse_accounting,
    parse_recent,
    recent_command,
)
from adaptive_scheduler.scheduler.slurm.errors import failure_of
from adaptive_scheduler.scheduler.slurm.queue import parse_queue, queue_command
from adaptive_scheduler.scheduler.slurm.resources import SlurmResources
from adaptive_scheduler.scheduler.slurm.site import SlurmSite
from adaptive_scheduler.scheduler.submitting import check_batch, check_on_path, make_log_folder

#: Seconds that sbatch gets. It waits up to two minutes itself when there are too many jobs.
_SUBMIT_TIMEOUT = 150.0


class SLURM(BaseScheduler):
    """Runs jobs on a cluster with the queueing system Slurm.

    Jobs that ask for the same are submitted together, as an array. The
    parameters marked * take one value for all jobs, a function without
    arguments that is called at each submission, or a tuple with one of these
    for each learner.

    Parameters
    ----------
    cores*
        Cores for each job; or say `nodes` and `cores_per_node`.
    nodes*, cores_per_node*
        Nodes for each job, and cores on each of them, by default all that a
        node of the partition has.
    partition*
        Where the jobs run; several have commas between them. See `slurm_partitions`.
    memory*
        Memory for each job on each node, such as ``"4G"``.
    exclusive*
        Whether jobs want their nodes for themselves.
    time*
        Wall time for each job: ``"HH:MM:SS"``, seconds or a timedelta. Slurm
        counts whole minutes.
    account*, qos*, constraint*, gpus*, gres*
        As the options of sbatch with these names.
    requeue
        Whether Slurm may start a job again under the same id, after its node
        was lost or a more important job took its place.
    signal_before_end
        Seconds before the end of its time at which a job saves and gives its
        learner back. None stands for a minute where `time` is given, and for
        less in short jobs; 0 leaves it to the end, when a job has ``KillWait``
        seconds.
    **keywords
        As for `BaseScheduler`. Options in `extra_scheduler` win over all others.

    Raises
    ------
    InvalidInputError
        If a value can't be.
    """

    kind: ClassVar[str] = "slurm"
    location: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"conf": "SLURM_CONF", "clusters": "SLURM_CLUSTERS"}
    )
    ext: ClassVar[str] = ".sbatch"
    submit_cmd: ClassVar[str] = "sbatch"
    directive: ClassVar[str] = "#SBATCH"
    variables: ClassVar[JobVariables] = VARIABLES
    _resources_kind: ClassVar[type[Resources]] = SlurmResources

    def __init__(
        self,
        cores: PerLearner[int | None] = None,
        *,
        nodes: PerLearner[int | None] = None,
        cores_per_node: PerLearner[int | None] = None,
        partition: PerLearner[str | None] = None,
        memory: PerLearner[str | None] = None,
        exclusive: PerLearner[bool] = False,
        time: PerLearner[str | float | dt.timedelta | None] = None,
        account: PerLearner[str | None] = None,
        qos: PerLearner[str | None] = None,
        constraint: PerLearner[str | None] = None,
        gpus: PerLearner[str | int | None] = None,
        gres: PerLearner[str | None] = None,
        requeue: bool = True,
        signal_before_end: float | None = None,
        **keywords: Any,
    ) -> None:
        self.requeue = requeue
        check_warning(signal_before_end)
        self.signal_before_end = signal_before_end
        self._site = SlurmSite()
        super().__init__(
            cores,
            nodes=nodes,
            cores_per_node=cores_per_node,
            partition=partition,
            memory=memory,
            exclusive=exclusive,
            time=time,
            account=account,
            qos=qos,
            constraint=constraint,
            gpus=gpus,
            gres=gres,
            **keywords,
        )

    @property
    def queue_key(self) -> Hashable:
        """What is equal for all schedulers of the same cluster."""
        return (self.kind, *self._location().values())

    @property
    def partitions(self) -> dict[str, int]:
        """The partitions of the cluster, the default one first, with the cores of a node each."""
        return {name: p.cores_of_each_node for name, p in self._site.partitions.items()}

    # What a job asks for.

    def resources(self, index: int) -> SlurmResources:
        """Return what the job for learner `index` asks for, as of now.

        Raises
        ------
        SchedulerUnavailableError
            If it asks for all cores of a node, and sinfo does not say how many that are.
        """
        wanted = SlurmResources.of(super().resources(index))
        if wanted.nodes is None or wanted.cores_per_node is not None:
            return wanted
        cores = min(p.cores_of_each_node for p in self._site.chosen(wanted.partition))
        return replace(wanted, cores=0, cores_per_node=cores)

    def check(self, resources: Resources) -> None:
        """Raise `InvalidInputError` if no job can ever get `resources` here.

        Where sinfo does not answer, it is left to sbatch to say so.
        """
        super().check(resources)
        check_on_path("sbatch", "Slurm")
        with suppress(SchedulerUnavailableError):
            self._site.check(SlurmResources.of(resources))

    def script_head(self, resources: Resources) -> list[str]:
        """Return the option lines with which a job script asks for `resources`."""
        options = [f"{self.directive} {option}" for option in self._options(resources)]
        return [*options, *([NOT_YET] if self._warning(resources) else [])]

    def _options(self, resources: Resources) -> Iterator[str]:
        yield from SlurmResources.of(resources).options()
        yield "--requeue" if self.requeue else "--no-requeue"
        yield "--open-mode=append"  # a job that is requeued goes on with its output
        if seconds := self._warning(resources):
            yield f"--signal=B:USR1@{seconds}"  # to the shell alone, which the program replaces
        yield from resources.extra_scheduler

    def _warning(self, resources: Resources) -> int:
        # A partition's own limit may be shorter than a warning.
        limit = None if resources.time is None else seconds_of(resources.time)
        return warning_time(limit, self.signal_before_end)

    def worker_launcher(self) -> list[str]:
        """Return the command with which a job starts a program on cores; the job adds how many."""
        return ["srun", "--mpi=none", *KEEP_OTHERS]

    def _default_mpiexec(self) -> list[str]:
        return srun_for_mpi(self.python_executable)

    # What a scheduler does.

    def submit(self, batch: Batch) -> dict[int, str]:
        """Submit jobs, and return the ids of those that Slurm took, by number.

        It takes them an array at a time: when it refuses the second, the jobs
        of the first exist.

        Raises
        ------
        SubmissionRejectedError
            If Slurm said no; none of the jobs was submitted.
        SchedulerUnavailableError
            If it is not known whether they were.
        """
        check_batch(self, batch)
        make_log_folder(batch)
        array_size = self._site.array_size
        options = list(self._options(batch.resources))
        job_ids: dict[int, str] = {}
        for block in blocks(batch.numbers, array_size):
            command = submit_command(batch, block, array_size, options)
            environment = slurm_environment()
            answer = run_command(command, timeout=_SUBMIT_TIMEOUT, environment=environment)
            if answer.returncode == 0:
                job_ids |= block.ids(parse_submit(answer))
                continue
            error = failure_of(answer, batch)
            if job_ids and isinstance(error, SubmissionRejectedError):
                break  # they are asked for again, and are alone then
            raise error
        return job_ids

    def queue(self, *, me_only: bool = True) -> dict[str, QueuedJob]:
        """Return the jobs that wait, run or are about to end, by id.

        Raises
        ------
        SchedulerUnavailableError
            If there was no answer that can be trusted.
        """
        return parse_queue(ask_well(queue_command(me_only=me_only)))

    def cancel_ids(self, job_ids: Collection[str]) -> None:
        """Ask Slurm to end these jobs; ids that it doesn't know are no error.

        Raises
        ------
        SchedulerUnavailableError
            If it is not known whether it will.
        """
        _cancel(job_ids)

    def ends(self, job_ids: Collection[str]) -> dict[str, JobEnd]:
        """Return how jobs have ended; those of which nothing is known are left out."""
        ends: dict[str, JobEnd] = {}
        wanted = set(job_ids)
        with suppress(SchedulerUnavailableError):
            ends |= parse_recent(ask_well(recent_command()))
            for command in accounting_commands(wanted - ends.keys()):
                answer = ask(command)
                if answer.returncode:
                    break  # most likely there is no accounting
                ends |= parse_accounting(answer.stdout)
        return {job_id: end for job_id, end in ends.items() if job_id in wanted}

    @staticmethod
    def cancel_jobs(name: str, *, dry: bool = False) -> list[str]:
        """Cancel all your jobs named ``{name}-{number}``, of whatever run.

        Parameters
        ----------
        name
            What the names of the jobs begin with.
        dry
            Only say which.

        Returns
        -------
        list of str
            The names of the jobs, sorted by number.

        Raises
        ------
        SchedulerUnavailableError
            If it is not known which there are, or whether they will end.
        """
        jobs = parse_queue(ask_well(queue_command()))
        found = {
            job_id: job["job_name"]
            for job_id, job in jobs.items()
            if job["alive"] and _has_name(job["job_name"], name)
        }
        if not dry:
            _cancel(found)
        return sorted(found.values(), key=lambda full: int(full.rpartition("-")[2]))


def _cancel(job_ids: Collection[str]) -> None:
    for command in cancel_commands(job_ids):
        ask_well(command)


def _has_name(full: str, name: str) -> bool:
    number = full.removeprefix(f"{name}-")
    return number != full and number.isdecimal()
