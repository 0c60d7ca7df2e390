"""The scheduler Slurm."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.base import BaseScheduler, Batch, JobArray, JobEnd
from adaptive_scheduler.scheduler.resources import PerLearner, Resources, seconds_of
from adaptive_scheduler.scheduler.script import (
    KEEP_OTHERS,
    NOT_YET,
    JobVariables,
    check_warning,
    srun_for_mpi,
    warning_time,
)
from adaptive_scheduler.scheduler.slurm import commands, queue
from adaptive_scheduler.scheduler.slurm.resources import SlurmResources, SlurmSite

#: What scontrol calls the limits that matter to runs.
_LIMITS = ("MaxArraySize", "MaxJobCount", "KillWait")


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
    variables: ClassVar[JobVariables] = commands.VARIABLES
    resources_kind: ClassVar[type[Resources]] = SlurmResources
    names_of_slurm: ClassVar[Mapping[str, str]] = MappingProxyType(
        {n: n for n in ("partition", "nodes", "cores_per_node", "memory", "exclusive")}
    )
    hidden_variables: ClassVar[re.Pattern[str] | None] = commands.HIDDEN_VARIABLES
    #: sbatch waits up to two minutes itself when there are too many jobs.
    submit_timeout: ClassVar[float | None] = 150.0
    doubtful: ClassVar[Collection[str]] = commands.DOUBTFUL
    hints: ClassVar[Mapping[str, str]] = commands.HINTS

    parse_submit = staticmethod(commands.parse_submit)
    queue_command = staticmethod(queue.queue_command)
    parse_queue = staticmethod(queue.parse_queue)
    cancel_commands = staticmethod(commands.cancel_commands)

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
        self._site = SlurmSite(self.commands)

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
        with suppress(SchedulerUnavailableError):
            self._site.check(SlurmResources.of(resources))

    def describe_site(self) -> list[str]:
        """Return the limits of the site and its partitions, in lines for people."""
        config = self._site.config
        limits = [f"{name} {config[name]}" for name in _LIMITS if name in config]
        return [", ".join(limits), *map(str, self._site.partitions.values())]

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

    def default_mpiexec(self) -> list[str]:
        """Return the command that starts programs of the MPI that this Python has."""
        return srun_for_mpi(self.python_executable)

    # How jobs are submitted, and how they have ended.

    def arrays(self, numbers: Sequence[int]) -> Iterator[JobArray]:
        """Yield the jobs that one call of sbatch submits each."""
        return commands.arrays(numbers, self._site.array_size)

    def submit_command(self, batch: Batch, jobs: JobArray) -> list[str]:
        """Return the call of sbatch that submits some jobs of a batch."""
        return commands.submit_command(batch, jobs, self._options(batch.resources))

    def submit_input(self, batch: Batch, jobs: JobArray) -> str:  # noqa: ARG002  the same for all
        """Return the script that sbatch reads."""
        return batch.script

    def ends(self, job_ids: Collection[str]) -> dict[str, JobEnd]:
        """Return how jobs have ended; those of which nothing is known are left out."""
        found: dict[str, JobEnd] = {}
        with suppress(SchedulerUnavailableError):
            found |= queue.parse_recent(self.commands.ask(queue.recent_command()))
            for command in queue.accounting_commands(set(job_ids) - found.keys()):
                # It fails where there is no accounting.
                found |= queue.parse_accounting(self.commands.ask(command))
        return {job_id: found[job_id] for job_id in job_ids if job_id in found}

    @classmethod
    def cancel_jobs(cls, name: str, *, dry: bool = False) -> list[str]:
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
        scheduler = cls(1)
        found = {
            job_id: job["job_name"]
            for job_id, job in scheduler.queue().items()
            if job["alive"] and _has_name(job["job_name"], name)
        }
        if not dry:
            scheduler.cancel_ids(found)
        return sorted(found.values(), key=lambda full: int(full.rpartition("-")[2]))


def _has_name(full: str, name: str) -> bool:
    number = full.removeprefix(f"{name}-")
    return number != full and number.isdecimal()
