"""What every scheduler does, and what a scheduler for another queueing system has to say."""

from __future__ import annotations

import abc
import inspect
import shlex
import shutil
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import adaptive_scheduler
from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler._common.progress import bars
from adaptive_scheduler._common.signatures import extended, keywords_of
from adaptive_scheduler._common.trusted import inherited_trust, read_trusted
from adaptive_scheduler.errors import (
    InvalidInputError,
    SchedulerError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.executors.kinds import KINDS, check_installed, check_size
from adaptive_scheduler.scheduler.command import Commands, Finished
from adaptive_scheduler.scheduler.jobs import (
    Batch,
    JobArray,
    JobEnd,
    QueuedJob,
    new_token,
    number_of,
)
from adaptive_scheduler.scheduler.resources import PerLearner, Resources, ResourceTable
from adaptive_scheduler.scheduler.script import (
    JobVariables,
    Launch,
    exports,
    local_mpiexec,
    render_script,
)

if TYPE_CHECKING:
    import re

    import pandas as pd

    from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES

#: What the author of a scheduler is told.
_NEEDED = "A scheduler needs `{}`, or `{}` of its own."

__all__ = ["BaseScheduler", "Batch", "JobArray", "JobEnd", "QueuedJob"]


class BaseScheduler(abc.ABC):
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

    Notes
    -----
    A scheduler for another system is a subclass with the data and the pure
    functions that are listed under "What a scheduler says": which command
    submits, lists and cancels jobs, and what its answer means. All else is done
    here: commands are run with a time limit and never believed when they fail,
    submissions without an answer are told from those that were refused, and
    cancelled jobs are waited for. ``examples/toy_scheduler.py`` is one to start
    from.
    """

    # What a scheduler says. Data.

    #: A short name, by which `registry.from_data` finds the class again; see `as_data`. A
    #: subclass does not inherit it: what it does differently would be lost.
    kind: ClassVar[str] = ""
    #: What says which queue this is: for each part, by its name in `as_data`, the variable of the
    #: environment that holds it.
    location: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: Variables of the user that would change what commands print or do; they don't get them.
    hidden_variables: ClassVar[re.Pattern[str] | None] = None
    #: Ending of a job script's name.
    ext: ClassVar[str]
    #: The command that submits a script, as a user would type it.
    submit_cmd: ClassVar[str]
    #: Start of a line with an option in the head of a job script.
    directive: ClassVar[str] = ""
    #: What a job learns from its environment: who it is, and what it was given.
    variables: ClassVar[JobVariables]
    #: What one job can ask for.
    resources_kind: ClassVar[type[Resources]] = Resources
    #: What jobs can ask for in the words of `SLURM`, which `SlurmExecutor` and the shell's
    #: ``doctor`` use, and this scheduler's own words for it. Where `nodes` is not among
    #: them, a job asks for `cores` instead.
    names_of_slurm: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: How many jobs one command can submit; 1 where there are no arrays.
    max_array_size: ClassVar[int] = 1
    #: Whether all jobs run on the machine that submits them.
    is_local: ClassVar[bool] = False
    #: Seconds that must pass between two looks at the queue out of turn.
    min_poll_interval: ClassVar[float] = 5.0
    #: Seconds that a command gets to answer; None for a minute.
    command_timeout: ClassVar[float | None] = None
    #: The same for a command that submits.
    submit_timeout: ClassVar[float | None] = None
    #: Phrases of a failed submission after which the jobs may exist, or may be taken at another
    #: time. After all other words they were refused.
    doubtful: ClassVar[Collection[str]] = ()
    #: What to do after a refusal, by a phrase of it; the first that occurs counts.
    hints: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: Complaints about jobs that need not be cancelled: they have ended, or are ending.
    not_to_cancel: ClassVar[Collection[str]] = ()
    #: Lines of complaints that mean nothing.
    noise: ClassVar[Collection[str]] = ()

    #: With the parameters that all schedulers have, which each takes as ``**keywords``.
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        signature = extended(cls.__init__, keywords_of(BaseScheduler.__init__))
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
        known = {field.name for field in fields(self.resources_kind)}
        if unknown := more.keys() - known:
            raise TypeError(f"{type(self).__name__} has no parameter {min(unknown)!r}.")
        self.cores = cores
        self.python_executable = python_executable or sys.executable
        self.log_folder = log_folder
        self.batch_folder = batch_folder
        self.mpiexec_executable = mpiexec_executable
        #: Runs the commands of the system.
        self.commands = Commands(
            hidden=self.hidden_variables, noise=self.noise, timeout=self.command_timeout
        )
        self._table = ResourceTable(
            self.resources_kind,
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

    # What a scheduler says. Pure functions.

    @abc.abstractmethod
    def script_head(self, resources: Resources) -> list[str]:
        """Return the option lines with which a job script asks for `resources`."""

    def arrays(self, numbers: Sequence[int]) -> Iterable[JobArray]:
        """Yield the jobs that one command submits each; by default `max_array_size` of them.

        Parameters
        ----------
        numbers
            Of all jobs to submit, ascending.
        """
        size = self.max_array_size
        for start in range(0, len(numbers), size):
            yield JobArray(numbers[start : start + size], is_array=size > 1)

    def submit_command(self, batch: Batch, jobs: JobArray) -> Sequence[str]:
        """Return the command that submits some jobs of a batch."""
        raise NotImplementedError(_NEEDED.format("submit_command", "submit"))

    def submit_input(self, batch: Batch, jobs: JobArray) -> str | None:  # noqa: ARG002  for others
        """Return what the command reads from its input; by default nothing."""
        return None

    def parse_submit(self, stdout: str, jobs: JobArray) -> Mapping[int, str]:
        """Return the id of each job by its number, out of what `submit_command` has printed.

        Nothing is returned if no id can be found there; then it is not known
        whether the jobs were submitted.
        """
        raise NotImplementedError(_NEEDED.format("parse_submit", "submit"))

    def after_refusal(self, jobs: JobArray, answer: Finished) -> Iterable[JobArray]:  # noqa: ARG002
        """Return what to submit instead of jobs that were refused; by default nothing."""
        return ()

    def queue_command(self, *, me_only: bool) -> Sequence[str]:
        """Return the command that lists jobs, only the user's own if `me_only`."""
        raise NotImplementedError(_NEEDED.format("queue_command", "queue"))

    def parse_queue(self, stdout: str) -> dict[str, QueuedJob]:
        """Return the jobs by id, out of what `queue_command` has printed.

        Raises
        ------
        SchedulerUnavailableError
            If it is not what that command prints.
        """
        raise NotImplementedError(_NEEDED.format("parse_queue", "queue"))

    def cancel_commands(self, job_ids: Collection[str]) -> Iterable[Sequence[str]]:
        """Yield the commands that end jobs, as few as possible; ids that can't be are left out."""
        raise NotImplementedError(_NEEDED.format("cancel_commands", "cancel_ids"))

    def ends_commands(self, job_ids: Collection[str]) -> Iterable[Sequence[str]]:  # noqa: ARG002
        """Yield the commands that tell how jobs have ended; by default nothing tells it."""
        return ()

    def parse_ends(self, stdout: str) -> dict[str, JobEnd]:
        """Return how jobs have ended, out of what one of `ends_commands` has printed."""
        raise NotImplementedError(_NEEDED.format("parse_ends", "ends"))

    # What a scheduler does. All of it blocks.

    def check(self, resources: Resources) -> None:
        """Check that jobs can get `resources` here.

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
        if not self.is_local and shutil.which(self.submit_cmd) is None:
            raise InvalidInputError(
                f"There is no {self.submit_cmd} on PATH: this is no machine from which jobs are "
                f"submitted to {type(self).__name__}. Log in to one, or use `scheduler.Local`."
            )

    def describe_site(self) -> list[str]:
        """Return what jobs can have here, in lines for people; by default nothing is known.

        Raises
        ------
        SchedulerUnavailableError
            If there is no answer.
        """
        return []

    def submit(self, batch: Batch) -> dict[int, str]:
        """Submit jobs, and return the id of each that was taken, by number.

        Systems take an array at a time: when they refuse the second, the jobs
        of the first exist.

        Raises
        ------
        SubmissionRejectedError
            If the system said no; none of the jobs was submitted.
        SchedulerUnavailableError
            If it is not known whether they were. Look for the batch's token in
            the queue before you repeat it.
        """
        self.check_batch(batch)
        make_log_folder(batch)
        waiting = deque(self.arrays(batch.numbers))
        job_ids: dict[int, str] = {}
        while waiting:
            jobs = waiting.popleft()
            answer = self.commands.run(
                self.submit_command(batch, jobs),
                text=self.submit_input(batch, jobs),
                timeout=self.submit_timeout,
            )
            if answer.returncode == 0:
                job_ids |= self._told_ids(jobs, answer)
            elif instead := list(self.after_refusal(jobs, answer)):
                waiting.extendleft(reversed(instead))
            else:
                error = self.failure_of(answer, batch)
                if job_ids and isinstance(error, SubmissionRejectedError):
                    break  # the rest is asked for again, and refused alone
                raise error
        return dict(sorted(job_ids.items()))

    def check_batch(self, batch: Batch) -> None:
        """Check that the jobs can ever start: some systems accept jobs that would wait forever.

        Raises
        ------
        SubmissionRejectedError
            If they can't.
        """
        try:
            self.check(batch.resources)
        except InvalidInputError as error:
            raise SubmissionRejectedError(
                f"The jobs of '{batch.job_name}' were not submitted: {error}"
            ) from error

    def _told_ids(self, jobs: JobArray, answer: Finished) -> Mapping[int, str]:
        job_ids = self.parse_submit(answer.stdout, jobs)
        if job_ids.keys() != set(jobs.numbers):
            raise SchedulerUnavailableError(
                f"{self.submit_cmd} did not tell the id of a job: {answer.complaint}"
            )
        return job_ids

    def failure_of(self, answer: Finished, batch: Batch) -> SchedulerError:
        """Return the error for a submission that has failed: a refusal, or doubt."""
        words = answer.complaint.partition("\nusage:")[0]  # a list of all options may follow
        quoted = textwrap.indent(words, "    ")
        if any(phrase in words for phrase in self.doubtful):
            return SchedulerUnavailableError(
                f"It is not known whether {self.submit_cmd} has submitted jobs of "
                f"'{batch.job_name}':\n{quoted}"
            )
        hint = next((hint for phrase, hint in self.hints.items() if phrase in words), "")
        jobs = counted(len(batch.numbers), "job")
        return SubmissionRejectedError(
            f"{self.submit_cmd} refused the jobs of '{batch.job_name}' ({jobs}, "
            f"{batch.resources}):\n{quoted}\nScript: {batch.script_path}. {hint}".rstrip()
        )

    def queue(self, *, me_only: bool = True) -> dict[str, QueuedJob]:
        """Return the jobs that the scheduler knows, by id.

        Parameters
        ----------
        me_only
            Leave out the jobs of other users.

        Raises
        ------
        SchedulerUnavailableError
            If there was no answer that can be trusted.
        """
        return self.parse_queue(self.commands.ask(self.queue_command(me_only=me_only)))

    def cancel_ids(self, job_ids: Collection[str]) -> None:
        """Ask the scheduler to end these jobs; ids that it doesn't know are no error.

        Raises
        ------
        SchedulerUnavailableError
            If it is not known whether it will. All jobs were asked for then, too.
        """
        failures = []
        for command in self.cancel_commands(job_ids):
            try:
                self.cancel_with(command)
            except SchedulerUnavailableError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def cancel_with(self, command: Sequence[str]) -> None:
        """Run one of `cancel_commands`; raises as `cancel_ids`."""
        self.commands.ask(command, harmless=self.not_to_cancel)

    def ends(self, job_ids: Collection[str]) -> dict[str, JobEnd]:
        """Return how jobs that are gone from the queue have ended.

        Those of which nothing is known are left out.
        """
        ends: dict[str, JobEnd] = {}
        with suppress(SchedulerUnavailableError):
            for command in self.ends_commands(job_ids):
                ends |= self.parse_ends(self.commands.ask(command))
        return {job_id: ends[job_id] for job_id in job_ids if job_id in ends}

    # Which queue it is.

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

        It asks the queue of that one, whatever the environment says now.

        Raises
        ------
        InvalidInputError
            If they are not data of this kind.
        """
        there: dict[str, str | None] = {}
        for name, variable in cls.location.items():
            value = data.get(name)
            if value is not None and not isinstance(value, str):
                raise InvalidInputError(f"These data are not of {cls.__name__}: {dict(data)!r}.")
            there[variable] = value
        scheduler = cls(1)
        scheduler.commands.fix(there)
        return scheduler

    def _location(self) -> dict[str, str | None]:
        environment = self.commands.environment()
        return {name: environment.get(variable) for name, variable in self.location.items()}

    @property
    def queue_key(self) -> Hashable:
        """What is equal for schedulers with the same queue: one look at it serves all of them."""
        return (self.kind, *self._location().values()) if self.location else self

    # What a job asks for.

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

    @property
    def single_job_script(self) -> bool:
        """Whether one script serves all learners."""
        return self._table.n_learners is None

    def check_n_learners(self, n_learners: int) -> None:
        """Raise `InvalidInputError` if tuples of another length were given."""
        if self._table.n_learners not in (None, n_learners):
            raise InvalidInputError(
                f"The scheduler has resources for {self._table.n_learners} learners, "
                f"but there are {n_learners} learners."
            )

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

    # Job scripts, and how processes are started in them.

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
            environment=inherited_trust(),
            launch=self.launch(wanted),
        )

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

    def default_mpiexec(self) -> list[str]:
        """Return the command that starts MPI programs, unless the user names one."""
        return local_mpiexec(self.python_executable)

    def _mpiexec(self) -> list[str]:
        if self.mpiexec_executable is not None:
            return shlex.split(self.mpiexec_executable)
        return self.default_mpiexec()

    def _with_launcher(
        self, options: Mapping[str, object], resources: Resources
    ) -> Mapping[str, object]:
        if not options or not KINDS[resources.executor_type].starts_workers:
            return options
        return {**options, "worker_launcher": shlex.join(self.worker_launcher())}

    # Jobs by their full names, ``{job_name}-{number}``.

    @property
    def launcher(self) -> Path:
        """The program that every job runs."""
        return Path(adaptive_scheduler.__file__).with_name("run_learner.py")

    def batch_fname(self, name: str) -> Path:
        """Return where `write_job_script` puts the script of the job `name`."""
        return Path(self.batch_folder) / f"{name}{self.ext}"

    def log_fname(self, name: str) -> Path:
        """Return where the job `name` writes its log.

        The name has the job's id in it, which is not known before the job is
        submitted; in its place stands what a job script would write for it.
        """
        return Path(self.log_folder) / f"{name}-{self.variables.job_id}.log"

    def output_fnames(self, name: str) -> list[Path]:
        """Return where the output and the errors of the job `name` go, with the id as above."""
        return [self.log_fname(name).with_suffix(".out")]

    def sanatize_job_id(self, job_id: str) -> str:
        """Return `job_id` as the queue shows it, where a job knows it by another name."""
        return job_id

    def write_job_script(
        self, name: str, options: Mapping[str, object], index: int | None = None
    ) -> None:
        """Write the script of the job `name` to where `start_job` looks for it.

        Raises
        ------
        OSError
            If it can't be written.
        """
        with atomic_write(self.batch_fname(name), encoding="utf-8", permissions=0o644) as file:
            file.write(self.job_script(options, index=index))

    def start_job(self, name: str, *, index: int | None = None) -> str:
        """Submit the script that `write_job_script` has written, and return the job's id.

        Raises
        ------
        InvalidInputError
            If there is no such script, or `name` is not a job's full name.
        UntrustedFileError
            If another user may have written the script.
        SubmissionRejectedError, SchedulerUnavailableError
            As `submit`.
        """
        prefix, number = number_of(name)
        path = self.batch_fname(name).absolute()
        try:
            script = read_trusted(path, follow_link=True).decode()
        except FileNotFoundError as error:
            raise InvalidInputError(
                f"There is no job script {path}: call `write_job_script({name!r}, ...)` first."
            ) from error
        batch = Batch(
            job_name=prefix,
            numbers=(number,),
            script=script,
            script_path=path,
            resources=self.resources(index or 0),
            workdir=Path.cwd(),
            log_folder=Path(self.log_folder).absolute(),
            token=new_token(run_id=""),
        )
        return self.submit(batch)[number]

    def queue_df(self) -> pd.DataFrame:
        """Return the queue as a table, one row a job."""
        import pandas as pd

        columns = list(QueuedJob.__annotations__)
        return pd.DataFrame.from_dict(self.queue(), orient="index", columns=columns)

    def job_names_to_job_ids(self, *job_names: str) -> list[str]:
        """Return the ids of the living jobs with these names."""
        wanted = set(job_names)
        jobs = self.queue().items()
        return [job_id for job_id, job in jobs if job["alive"] and job["job_name"] in wanted]

    def cancel(
        self,
        job_names: Iterable[str],
        *,
        with_progress_bar: bool = True,
        max_tries: int = 5,
    ) -> None:
        """Cancel all jobs with these names and wait until they are gone.

        Parameters
        ----------
        job_names
            Full names, such as ``"sweep-7"``.
        with_progress_bar
            Show how many of them are gone.
        max_tries
            How often to ask the scheduler.

        Raises
        ------
        SchedulerUnavailableError
            If jobs are left after `max_tries`.
        """
        names = list(job_names)
        cancel_and_wait(
            self,
            lambda: self.job_names_to_job_ids(*names),
            with_progress_bar=with_progress_bar,
            max_tries=max_tries,
        )


def make_log_folder(batch: Batch) -> None:
    """Make the folder for the output of jobs: schedulers make none, and such jobs fail or hang.

    Raises
    ------
    SubmissionRejectedError
        If it can't be made.
    """
    try:
        batch.log_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SubmissionRejectedError(
            f"The output of '{batch.job_name}' can't be written to '{batch.log_folder}': "
            f"{error.strerror}. Name another folder with `log_folder=...`."
        ) from error


def own_umask() -> int | None:
    """Return which permissions the files of this process don't get; None if nothing tells.

    The files of its jobs don't get them either.
    """
    # `os.umask` would have to change it for a moment, in all threads, to tell it.
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return None


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
