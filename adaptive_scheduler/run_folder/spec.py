"""What a run is: each of its parameters declared once, and how they lie in the run folder.

`RunManager`, the managers below it, `slurm_run` and `SlurmExecutor` take their
keywords from here. ``spec.json`` holds whatever JSON can hold, so that looking
at a run unpickles nothing; the rest is in ``functions.pickle``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import cloudpickle

from adaptive_scheduler._common.checks import check_count
from adaptive_scheduler._common.signatures import Check, check_option, option, options_of
from adaptive_scheduler._common.trusted import read_trusted
from adaptive_scheduler.errors import InvalidInputError, RunFolderError, UntrustedFileError
from adaptive_scheduler.executors.kinds import LOKY_START_METHODS
from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
from adaptive_scheduler.learners.goals import GoalTypes, check_goal, smart_goal
from adaptive_scheduler.learners.pack import open_pack
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.run_folder.checks import (
    check_condition,
    check_flag,
    check_interval,
    check_job_name,
    check_keywords,
    check_path,
    check_runner_kwargs,
    one_of,
)
from adaptive_scheduler.run_folder.events import FORMAT
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.project import (
    FileSystem,
    RecordedPlace,
    Standing,
    check_reachable,
    project_now,
    standing,
)
from adaptive_scheduler.version import __version__

if TYPE_CHECKING:
    from typing import Self

    from adaptive import BaseLearner

    from adaptive_scheduler.scheduler.base import BaseScheduler

#: Parameters that are no keywords of a whole run: `kill_manager_kwargs` sets them.
NO_KEYWORDS: Final = frozenset({"max_cancel_tries", "move_killed_output_to"})

#: Who needs a parameter: all jobs, or a part of the manager.
User: TypeAlias = Literal["jobs", "job_manager", "database_manager", "kill_manager", "run"]
#: Where a parameter is kept: in ``spec.json``, or in ``functions.pickle`` if it
#: is a function; always there; or nowhere, since it is about one start, or
#: lies elsewhere in the run folder.
Storage: TypeAlias = Literal["spec", "functions", "nowhere"]


def _parameter(
    description: str,
    *,
    of: User,
    unit: str = "",
    check: Check | None = None,
    kept: Storage = "spec",
    plain: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """Return what makes a field a parameter: see `option`, `User` and `Storage`.

    Where JSON changes a value, `plain` has it as it was on both sides of it.
    """
    more = {"of": of, "kept": kept, "plain": plain or (lambda value: value)}
    return option(description, unit=unit, check=check) | more


def _with_plain_numbers(
    dependencies: Mapping[Any, Any] | None,
) -> dict[int, list[int]] | None:
    """Return dependencies whose numbers were texts, as JSON has them, or of numpy."""
    if dependencies is None:
        return None
    return {int(index): [int(other) for other in needed] for index, needed in dependencies.items()}


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The parameters of a run, and what follows from them.

    Fields made by `_parameter` are keywords of `RunManager` and its kin: a new
    one arrives in all signatures, in the run folder, in the jobs, and in a run
    that is attached to. Its type stands once more in `RunOptions`, for mypy; a
    test holds both equal. The fields after them are no keywords.

    Attributes
    ----------
    run_id
        Tells this run from all others; empty before it has begun.
    version
        The version of this package that has written the spec.
    project
        The folder in which the run was started, and from which relative names start.
    run_folder
        Where the files of the run lie.
    place, standing
        Where the run was when the spec was written, None if it was not; and how the
        folder from which it was read stands to that.
    n_learners
        How many learners there are.
    groups
        For each learner the number of its group, whose jobs ask for the same;
        None if there is only one.
    goal_digest
        Tells this goal from others: the same goal has the same, as a rule.
    scheduler
        Where the jobs run, as data: see `adaptive_scheduler.scheduler.registry`.

    Raises
    ------
    InvalidInputError
        If a value can't be.
    """

    goal: GoalTypes = field(
        default=None,
        metadata=_parameter(
            "When a learner is done: a function of it, a number of points (int), a loss (float), "
            "a time (datetime) or a duration (timedelta). None stands for the end of a sequence, "
            "and for never where there is none.",
            of="jobs",
            check=lambda _, goal: check_goal(goal),
            kept="functions",
        ),
    )
    check_goal_on_start: bool = field(
        default=True,
        metadata=_parameter(
            "Count learners as done that have reached the goal already in memory. Their data is "
            "saved if there is no file yet.",
            check=check_flag,
            of="run",
        ),
    )
    dependencies: Mapping[int, Sequence[int]] | None = field(
        default=None,
        metadata=_parameter(
            "For some learners, by index, those that must be done before.",
            of="database_manager",
            plain=_with_plain_numbers,
        ),
    )
    runner_kwargs: Mapping[str, Any] | None = field(
        default=None,
        metadata=_parameter(
            "Further arguments for `adaptive.Runner`.",
            of="jobs",
            check=check_runner_kwargs,
            kept="functions",
        ),
    )
    url: str | None = field(
        default=None,
        metadata=_parameter(
            'Where the manager listens: "tcp://host:port", see `get_allowed_url`. None finds a '
            "free port on all interfaces that the jobs may need.",
            of="run",
        ),
    )
    save_interval: float = field(
        default=300,
        metadata=_parameter(
            "Time between two saves of a job.", unit="seconds", check=check_interval, of="jobs"
        ),
    )
    log_interval: float = field(
        default=300,
        metadata=_parameter(
            "Time between two lines in the log of a job.",
            unit="seconds",
            check=check_interval,
            of="jobs",
        ),
    )
    job_name: str = field(
        default="adaptive-scheduler",
        metadata=_parameter(
            "What the names of the jobs begin with.",
            check=check_job_name,
            of="run",
        ),
    )
    job_manager_interval: float = field(
        default=60,
        metadata=_parameter(
            "Time between two looks at the queue; less where it is on this machine.",
            unit="seconds",
            check=check_interval,
            of="job_manager",
        ),
    )
    kill_interval: float = field(
        default=60,
        metadata=_parameter(
            "Time between two looks at the output of jobs.",
            unit="seconds",
            check=check_interval,
            of="kill_manager",
        ),
    )
    kill_on_error: str | Callable[[list[str]], bool] | None = field(
        default="srun: error:",
        metadata=_parameter(
            "Cancel jobs with this string in a line of their output, or for which this function of "
            "all lines returns True. None cancels none.",
            check=check_condition,
            of="kill_manager",
        ),
    )
    max_cancel_tries: int = field(
        default=5,
        metadata=_parameter(
            "How often the scheduler is asked to cancel a job.",
            check=check_count,
            of="kill_manager",
        ),
    )
    move_killed_output_to: str | Path | None = field(
        default=None,
        metadata=_parameter(
            "A folder for the output of cancelled jobs; None leaves it where it is.",
            check=check_path,
            of="kill_manager",
        ),
    )
    move_old_logs_to: str | Path | None = field(
        default="old_logs",
        metadata=_parameter(
            "Where logs go at `cleanup`, relative to the run folder; None deletes them.",
            check=check_path,
            of="run",
        ),
    )
    db_fname: str | Path | None = field(
        default=None,
        metadata=_parameter(
            "The journal, if it is to lie outside of the run folder.",
            check=check_path,
            of="run",
            kept="nowhere",
        ),
    )
    overwrite_db: bool = field(
        default=False,
        metadata=_parameter(
            "Begin anew where the folder holds a run already. Its journal is kept beside the new "
            "one, and data files are never touched.",
            check=check_flag,
            of="database_manager",
            kept="nowhere",
        ),
    )
    job_manager_kwargs: Mapping[str, Any] | None = field(
        default=None,
        metadata=_parameter(
            "Keywords of `JobManager`, which win over the others.",
            check=check_keywords,
            of="run",
            kept="nowhere",
        ),
    )
    kill_manager_kwargs: Mapping[str, Any] | None = field(
        default=None,
        metadata=_parameter(
            "Keywords of `KillManager`, which win over the others.",
            check=check_keywords,
            of="run",
            kept="nowhere",
        ),
    )
    loky_start_method: LOKY_START_METHODS = field(
        default="loky",
        metadata=_parameter(
            "How the executor `loky` starts its workers.",
            check=one_of(get_args(LOKY_START_METHODS)),
            of="jobs",
        ),
    )
    cleanup_first: bool = field(
        default=False,
        metadata=_parameter(
            "Cancel the jobs of this very run that still live, and put their logs away, before "
            "anything else.",
            check=check_flag,
            of="run",
            kept="nowhere",
        ),
    )
    save_dataframe: bool = field(
        default=False,
        metadata=_parameter(
            "Whether jobs save data as dataframes, too.",
            check=check_flag,
            of="jobs",
        ),
    )
    dataframe_format: _DATAFRAME_FORMATS = field(
        default="pickle",
        metadata=_parameter(
            "The format of these dataframes.",
            check=one_of(get_args(_DATAFRAME_FORMATS)),
            of="jobs",
        ),
    )
    max_log_lines: int = field(
        default=500,
        metadata=_parameter(
            "How much of the output of a failed job is kept in the journal.",
            unit="lines",
            check=check_count,
            of="database_manager",
        ),
    )
    max_fails_per_job: int = field(
        default=50,
        metadata=_parameter(
            "Failures in a row after which a learner is given up, and jobs in a row that end "
            "without a sign of life after which the run is.",
            check=check_count,
            of="job_manager",
        ),
    )
    max_simultaneous_jobs: int = field(
        default=100,
        metadata=_parameter(
            "How many jobs may be in the queue, pending or running.",
            check=check_count,
            of="job_manager",
        ),
    )
    initializers: Sequence[Callable[[], None]] | None = field(
        default=None,
        metadata=_parameter(
            "A function for each learner that its job calls in every worker, before the first "
            "point.",
            of="database_manager",
            kept="nowhere",  # the pack has them
        ),
    )
    quiet: bool = field(
        default=False,
        metadata=_parameter(
            "Show no progress bars.",
            check=check_flag,
            of="run",
        ),
    )
    folder: str | Path | None = field(
        default=None,
        metadata=_parameter(
            "The run folder, `./{job_name}-run` by default.",
            check=check_path,
            of="run",
            kept="nowhere",
        ),
    )

    run_id: str = ""
    version: str = __version__
    project: Project = field(default_factory=Project.here)
    run_folder: RunFolder
    place: RecordedPlace | None = field(default=None, compare=False)
    standing: Standing = field(default=Standing.HERE, compare=False)
    n_learners: int = 0
    groups: Sequence[int] | None = None
    goal_digest: str = ""
    scheduler: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, each in options_of(type(self)).items():
            check_option(each, getattr(self, name))

    @classmethod
    def of(
        cls,
        scheduler: BaseScheduler,
        learners: Sequence[BaseLearner],
        options: Mapping[str, Any],
        *,
        run_folder: RunFolder | None = None,
        project: Project | None = None,
    ) -> Self:
        """Declare a run in this process's folder, which begins when it is written there.

        Parameters
        ----------
        scheduler
            Where the jobs run.
        learners
            The learners.
        options
            Parameters, by the names of the fields.
        run_folder
            Where its files lie, if that does not follow from `options`.
        project
            From where its names start, if not from this process's folder.

        Raises
        ------
        InvalidInputError
            If a value can't be.
        """
        goal = smart_goal(options.get("goal"), learners)
        return cls(
            **{**options, "goal": goal},
            goal_digest=digest_of(goal),
            run_folder=run_folder or _layout(cls, options, scheduler),
            project=project or Project.here(),
            n_learners=len(learners),
            groups=numbered([scheduler.group(index) for index in range(len(learners))]),
        )

    def begun(self, run_id: str, scheduler: Mapping[str, Any]) -> Self:
        """Return the spec with what is known when the run begins, or goes on.

        Parameters
        ----------
        run_id
            The run's own.
        scheduler
            Where its jobs run, as data.
        """
        return dataclasses.replace(self, run_id=run_id, scheduler=scheduler, version=__version__)

    def continued(self) -> Self:
        """Return the spec for another start of the same run."""
        return dataclasses.replace(self, overwrite_db=False)

    @property
    def recorded_root(self) -> Path:
        """Where the run folder was when the spec was written."""
        return self.run_folder.root if self.place is None else self.place.root

    def checked_standing(self, *, is_moved: bool) -> Standing:
        """Return how the folder stands to where the run was, see `check_reachable`.

        Raises
        ------
        RunFolderError
            If nobody can know whether it was moved or copied, and the user has not said.
        """
        if self.place is None:
            return self.standing
        return check_reachable(self.place, self.standing, is_moved=is_moved)

    def with_goal(self, goal: GoalTypes, learners: Sequence[BaseLearner]) -> Self:
        """Return the spec with another goal.

        Raises
        ------
        InvalidGoalError
            If it is none.
        """
        function = smart_goal(goal, learners)
        return dataclasses.replace(self, goal=function, goal_digest=digest_of(function))

    @property
    def goal_function(self) -> Callable[[BaseLearner], bool]:
        """The goal as a function of the learner, which says whether it is done."""
        return smart_goal(self.goal, ())

    @property
    def job_names(self) -> list[str]:
        """The names of all jobs: one for each learner."""
        return [f"{self.job_name}-{index}" for index in range(self.n_learners)]

    @property
    def saved_dataframe_format(self) -> _DATAFRAME_FORMATS | None:
        """The format in which jobs save dataframes; None if they save none."""
        return self.dataframe_format if self.save_dataframe else None

    def storage_of(self, name: str) -> Storage:
        """Return where a parameter is kept."""
        kept: Storage = options_of(type(self))[name].metadata["kept"]
        return "functions" if kept == "spec" and callable(getattr(self, name)) else kept

    # On disk.

    def to_json(self) -> bytes:
        """Return the content of ``spec.json``; what it can't hold is in `Functions`."""
        content = {
            "format": FORMAT,
            "run_id": self.run_id,
            "version": self.version,
            "root": str(self.run_folder.root),
            "file_system": dataclasses.asdict(FileSystem.of(self.run_folder.root)),
            "project": str(self.project.folder),
            "folders": _folders_to_json(self.run_folder, self.project),
            "n_learners": self.n_learners,
            "groups": self.groups,
            "goal_digest": self.goal_digest,
            "scheduler": self.scheduler,
            "parameters": {
                name: each.metadata["plain"](getattr(self, name))
                for name, each in options_of(type(self)).items()
                if self.storage_of(name) == "spec"
            },
        }
        lines = [f'"{name}": {json.dumps(part, default=_plain)}' for name, part in content.items()]
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()

    @classmethod
    def read(cls, root: str | Path, *, trust: bool = False) -> Self:
        """Read the spec of a run; nothing is unpickled.

        Fields of what lies in ``functions.pickle`` have their defaults, see
        `Functions.complete`.

        Parameters
        ----------
        root
            The run folder.
        trust
            Read it even if another user may have written it. Who only looks at
            a run can do so without a risk: there is no code in it.

        Raises
        ------
        UntrustedFileError
            If another user may have written it.
        RunFolderError
            If there is no run, or its spec can't be read.
        """
        root = Path(root).expanduser().absolute()
        path = RunFolder.at(root).spec
        try:
            content = json.loads(read_trusted(path, trust=trust))
            found = content["format"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunFolderError(f"There is no run in '{root}': no '{path.name}'.") from error
        except UntrustedFileError:
            raise
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunFolderError(f"The run in '{path}' can't be read: {error!r}.") from error
        if found != FORMAT:
            raise RunFolderError(
                f"The run in '{root}' was written by adaptive_scheduler "
                f"{content.get('version', '')}, in a format ({found}) that this version "
                f"({__version__}) does not know: install that version to go on with it."
            )
        try:
            return cls._from_json(content, root, trust=trust)
        except (InvalidInputError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunFolderError(f"'{path}' is no spec of a run: {error!r}.") from error

    @classmethod
    def _from_json(cls, content: Mapping[str, Any], root: Path, *, trust: bool) -> Self:
        # Parameters that are not known were written by another version.
        parameters = {
            name: each.metadata["plain"](content["parameters"][name])
            for name, each in options_of(cls).items()
            if name in content["parameters"]
        }
        recorded = Path(content["project"])
        names = content["folders"].items()
        place = RecordedPlace(
            run_id=content["run_id"],
            root=Path(content["root"]),
            project=recorded,
            file_system=FileSystem(**content["file_system"]),
            parts={part: recorded / name for part, name in names if name is not None},
        )
        found = standing(place, root)
        project = project_now(place, root, found, _names_of_data(root, found, trust=trust))
        return cls(
            **parameters,
            run_id=content["run_id"],
            version=content["version"],
            project=project,
            run_folder=_folders_now(place, project, root),
            place=place,
            standing=found,
            n_learners=content["n_learners"],
            groups=content["groups"],
            goal_digest=content["goal_digest"],
            scheduler=content["scheduler"],
        )


def parameters_of(*users: User) -> set[str]:
    """Return the names of the parameters that these parts of a run need."""
    return {n for n, each in options_of(RunSpec).items() if each.metadata["of"] in users}


def digest_of(goal: Callable[[BaseLearner], bool]) -> str:
    """Return what tells a goal from others; the empty string if it can't be pickled."""
    try:
        return hashlib.sha256(cloudpickle.dumps(goal)).hexdigest()
    except Exception:  # noqa: BLE001  pickling runs the user's code; `Functions.of` says what is wrong
        return ""


def numbered(groups: Sequence[Hashable]) -> list[int] | None:
    """Give each group a number, in the order of their first members; None if there is only one."""
    numbers: dict[Hashable, int] = {}
    numbered = [numbers.setdefault(group, len(numbers)) for group in groups]
    return numbered if len(numbers) > 1 else None


def _layout(
    declaration: type[RunSpec], options: Mapping[str, Any], scheduler: BaseScheduler
) -> RunFolder:
    asked: dict[str, Any] = {n: each.default for n, each in options_of(declaration).items()}
    asked |= options
    return RunFolder.at(
        asked["folder"] or f"{asked['job_name']}-run",
        logs=scheduler.log_folder or None,
        scripts=scheduler.batch_folder or None,
        old_logs=asked["move_old_logs_to"],
        journal=asked["db_fname"],
    )


def _folders_to_json(run_folder: RunFolder, project: Project) -> dict[str, str | None]:
    folders = {each.name: getattr(run_folder, each.name) for each in fields(run_folder)}
    return {part: None if path is None else project.name(path) for part, path in folders.items()}


def _folders_now(place: RecordedPlace, project: Project, root: Path) -> RunFolder:
    """Return where the parts of a run are now: those in its folder are where that is."""
    within = Project(root, place.root)
    moved = {part: within.path(path) for part, path in place.parts.items()}
    paths: dict[str, Any] = {
        part: project.path(path) if path == place.parts[part] else path
        for part, path in moved.items()
    }
    return RunFolder(**{"old_logs": None, **paths, "root": root})


def _names_of_data(root: Path, found: Standing, *, trust: bool) -> list[str]:
    """Return the names of data files, if they are needed to see what was moved."""
    if found is Standing.HERE:
        return []
    try:
        with open_pack(RunFolder.at(root).pack, trust=trust) as pack:
            fnames = pack.fnames()
    except RunFolderError:  # whoever needs the learners is told
        return []
    return [name for fname in fnames for name in ([fname] if isinstance(fname, str) else fname)]


def _plain(value: Any) -> Any:
    """Return as JSON knows it what users may give in place of text, numbers and lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    return value.item()  # a number or bool of numpy
