"""What every scheduler brings: submit, list, cancel, and the text of a job script."""

from __future__ import annotations

import abc
import inspect
import os
import shlex
import sys
from collections.abc import Collection, Hashable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from adaptive_scheduler._common.signatures import extended, keywords_of
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.executors.kinds import KINDS, check_installed, check_size
from adaptive_scheduler.scheduler.jobs import Batch, JobEnd, QueuedJob
from adaptive_scheduler.scheduler.launching import Launch, local_mpiexec, words
from adaptive_scheduler.scheduler.resources import PerLearner, Resources, ResourceTable
from adaptive_scheduler.scheduler.script import JobVariables, exports, render_script

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.resources import EXECUTOR_TYPES


class Scheduler(abc.ABC):
    """A queueing system.

    The parameters marked * take one value for all jobs, a function without
    arguments that is called at each submission, or a tuple with one of these
    for each learner.

    Parameters
    ----------
    cores*
        Cores for each job.
    python_executable
        The Python that the jobs run; by default the one that runs now.
    log_folder
        Where the jobs' logs go; by default ``logs`` in the run folder.
    mpiexec_executable
        The program that starts MPI programs, with options if need be, such as
        ``"srun --mpi=pmix"``; by default the one that fits the installed MPI.
    executor_type*
        How a job spreads its evaluations over its cores: ``"process-pool"``,
        ``"loky"`` or ``"sequential"`` on one node, ``"mpi4py"``, ``"dask"`` or
        ``"ipyparallel"`` on one or several.
    num_threads*
        Threads that each evaluation may use (BLAS, OpenMP).
    extra_scheduler*
        Options for the head of the job script, as the scheduler spells them.
    extra_env_vars*
        Assignments ``NAME=value`` that the job script exports.
    extra_script*
        Lines of shell that run before the job's program.
    batch_folder
        Where job scripts go; by default ``scripts`` in the run folder.
    **more*
        What only jobs of this scheduler can ask for.

    Raises
    ------
    InvalidInputError
        If a value can't be.
    TypeError
        If there is no such parameter.
    """

    #: A short name, by which `registry.from_data` finds the class again; see `as_data`. A
    #: subclass does not inherit it: what it does differently would be lost.
    kind: ClassVar[str] = ""
    #: What says which queue this is: for each part, by its name in `as_data`, the variable of the
    #: environment that holds it.
    location: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: Ending of a job script's name.
    ext: ClassVar[str]
    #: The command that submits a script, as a user would type it.
    submit_cmd: ClassVar[str]
    #: Start of a line with an option in the head of a job script.
    directive: ClassVar[str] = ""
    #: Whether all jobs run on the machine that submits them.
    is_local: ClassVar[bool] = False
    #: Seconds that must pass between two looks at the queue out of turn.
    min_poll_interval: ClassVar[float] = 5.0
    #: How a running job learns who it is.
    variables: ClassVar[JobVariables]
    _resources_kind: ClassVar[type[Resources]] = Resources
    #: With the parameters that all schedulers have, which each takes as ``**keywords``.
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        signature = extended(cls.__init__, keywords_of(Scheduler.__init__))
        cls.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])

    def __init__(
        self,
        cores: PerLearner[int | None],
        *,
        python_executable: str | None = None,
        log_folder: str | Path = "",
        mpiexec_executable: str | None = None,
        executor_type: PerLearner[EXECUTOR_TYPES] = "process-pool",
        num_threads: PerLearner[int] = 1,
        extra_scheduler: PerLearner[list[str] | None] = None,
        extra_env_vars: PerLearner[list[str] | None] = None,
        extra_script: PerLearner[str | None] = None,
        batch_folder: str | Path = "",
        **more: PerLearner[Any],
    ) -> None:
        known = {field.name for field in fields(self._resources_kind)}
        if unknown := more.keys() - known:
            raise TypeError(f"{type(self).__name__} has no parameter {min(unknown)!r}.")
        self.cores = cores
        self.python_executable = python_executable or sys.executable
        self.log_folder = log_folder
        self.batch_folder = batch_folder
        self.mpiexec_executable = mpiexec_executable
        self._table = ResourceTable(
            self._resources_kind,
            {
                "cores": cores,
                "executor_type": executor_type,
                "num_threads": num_threads,
                "extra_scheduler": extra_scheduler,
                "extra_env_vars": extra_env_vars,
                "extra_script": extra_script,
                **more,
            },
        )

    # What each scheduler brings.

    @abc.abstractmethod
    def submit(self, batch: Batch) -> dict[int, str]:
        """Submit jobs and return the id of each, by number. Blocks.

        Raises
        ------
        SubmissionRejectedError
            If the scheduler said no; none of the jobs was submitted.
        SchedulerUnavailableError
            If it is not known whether they were. Look for the batch's token in
            the queue before you repeat it.
        """

    @abc.abstractmethod
    def queue(self, *, me_only: bool = True) -> dict[str, QueuedJob]:
        """Return the jobs that the scheduler knows, by id. Blocks.

        Raises
        ------
        SchedulerUnavailableError
            If there was no answer that can be trusted.
        """

    @abc.abstractmethod
    def cancel_ids(self, job_ids: Collection[str]) -> None:
        """Ask the scheduler to end these jobs; ids that it doesn't know are no error. Blocks.

        Raises
        ------
        SchedulerUnavailableError
            If it is not known whether it will.
        """

    @abc.abstractmethod
    def ends(self, job_ids: Collection[str]) -> dict[str, JobEnd]:
        """Return how jobs that are gone from the queue have ended. Blocks.

        Ids of which nothing is known are left out.
        """

    @abc.abstractmethod
    def script_head(self, resources: Resources) -> list[str]:
        """Return the option lines with which a job script asks for `resources`."""

    def check(self, resources: Resources) -> None:
        """Check that jobs can get `resources` here. Blocks.

        Raises
        ------
        InvalidInputError
            If they never can.
        MissingPackageError
            If the package of the executor is not installed.
        """
        check_size(resources.executor_type, resources.cores)
        if self.python_executable == sys.executable:  # of others nothing is known
            check_installed(resources.executor_type)
        if resources.extra_scheduler and not self.directive:
            raise InvalidInputError(
                f"{type(self).__name__} has no options that `extra_scheduler` could set; leave "
                f"it out. It was given {list(resources.extra_scheduler)}."
            )

    # What users and managers call.

    def as_data(self) -> dict[str, str | None]:
        """Return what is needed to list and cancel the jobs of this scheduler later.

        It can be written as JSON, and holds a short name instead of a path to
        import, so that reading it runs nobody's code. `registry.from_data`
        reads it.

        Returns
        -------
        dict
            The `kind`, and where the queue is. A class without a short name of its own has the
            kind ``""``, and nothing can be done with it.
        """
        kind = vars(type(self)).get("kind", "")
        if not kind:
            return {"kind": "", "class": type(self).__name__}
        return {"kind": kind, **self._location()}

    @classmethod
    def from_data(cls, data: Mapping[str, object]) -> Self:
        """Return a scheduler that can list and cancel the jobs of the one with these data.

        Raises
        ------
        InvalidInputError
            If they are not data of this kind.
        """
        scheduler = cls(1)
        for name, here in scheduler._location().items():
            there = data.get(name)
            if there != here:
                raise InvalidInputError(
                    f"The jobs are in the queue of another {cls.__name__} than the one of this "
                    f"shell: {cls.location[name]} was {there!r}, and is {here!r} here."
                )
        return scheduler

    def _location(self) -> dict[str, str | None]:
        return {name: os.environ.get(variable) for name, variable in self.location.items()}

    @property
    def queue_key(self) -> Hashable:
        """What is equal for schedulers with the same queue: one look at it serves all of them."""
        return self

    def group(self, index: int) -> Hashable:
        """Return a key that is equal for learners whose jobs ask for the same."""
        return self._table.group(index)

    def resources(self, index: int) -> Resources:
        """Return what the job for learner `index` asks for, as of now."""
        return self._table.resources(index)

    @property
    def n_learners(self) -> int | None:
        """For how many learners resources were given; None if the same serve all."""
        return self._table.n_learners

    def check_n_learners(self, n_learners: int) -> None:
        """Raise `InvalidInputError` if tuples of another length were given."""
        if self._table.n_learners not in (None, n_learners):
            raise InvalidInputError(
                f"The scheduler has resources for {self._table.n_learners} learners, "
                f"but there are {n_learners} learners."
            )

    def job_script(
        self,
        options: Mapping[str, object] | None = None,
        *,
        index: int | None = None,
        resources: Resources | None = None,
    ) -> str:
        """Return the text that is submitted.

        Parameters
        ----------
        options
            Options for ``run_learner``, by name. None shows a script with
            none of them, to look at.
        index
            Number of the learner whose resources are asked for.
        resources
            What to ask for, where that is known already.
        """
        wanted = resources or self.resources(index or 0)
        return render_script(
            head=self.script_head(wanted),
            variables=self.variables,
            resources=wanted,
            python_executable=self.python_executable,
            options=self._with_launcher(options or {}, wanted),
            launch=self.launch(wanted),
        )

    # How processes are started.

    def launch(self, resources: Resources) -> Launch:
        """Return how a job script starts the job's program."""
        if not KINDS[resources.executor_type].is_mpi:
            return Launch()
        command = [*self._mpiexec(), "-n", str(resources.cores)]
        return Launch(command=tuple(command), module="mpi4py.futures")

    def worker_launcher(self) -> list[str]:
        """Return the command with which a job starts a program on cores; the job adds how many.

        It is empty where the job itself starts it so many times.
        """
        return [] if self.is_local else self._mpiexec()

    def _mpiexec(self) -> list[str]:
        if self.mpiexec_executable is not None:
            return words(self.mpiexec_executable)
        return self._default_mpiexec()

    def _default_mpiexec(self) -> list[str]:
        return local_mpiexec(self.python_executable)

    def _with_launcher(
        self, options: Mapping[str, object], resources: Resources
    ) -> Mapping[str, object]:
        if not options or not KINDS[resources.executor_type].starts_workers:
            return options
        return {**options, "worker_launcher": shlex.join(self.worker_launcher())}

    @property
    def single_job_script(self) -> bool:
        """Whether one script serves all learners."""
        return self._table.n_learners is None

    def extra_scheduler(self, *, index: int | None = None) -> str:
        """Return the lines that `extra_scheduler` puts into the job script of a learner."""
        options = self.resources(index or 0).extra_scheduler
        return "\n".join(f"{self.directive} {option}" for option in options)

    def extra_env_vars(self, *, index: int | None = None) -> str:
        """Return the lines that `extra_env_vars` puts into the job script of a learner."""
        return "\n".join(exports(self.resources(index or 0).extra_env_vars))

    def extra_script(self, *, index: int | None = None) -> str:
        """Return the lines that `extra_script` puts into the job script of a learner."""
        return self.resources(index or 0).extra_script
