"""How jobs run their learners: what the manager's side tells every job once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from adaptive_scheduler._common import by_value
from adaptive_scheduler._common.trusted import read_trusted
from adaptive_scheduler.errors import RunFolderError, UnpicklableError, UntrustedFileError
from adaptive_scheduler.executors.kinds import LOKY_START_METHODS

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS


def digest_of(goal: Callable[[BaseLearner], bool]) -> str:
    """Return what tells a goal from others; the empty string if it can't be pickled."""
    try:
        return hashlib.sha256(cloudpickle.dumps(goal)).hexdigest()
    except Exception:  # noqa: BLE001  pickling runs the user's code; `to_bytes` says what is wrong
        return ""


def numbered(groups: Sequence[Hashable]) -> list[int] | None:
    """Give each group a number, in the order of their first members; None if there is only one."""
    numbers: dict[Hashable, int] = {}
    numbered = [numbers.setdefault(group, len(numbers)) for group in groups]
    return numbered if len(numbers) > 1 else None


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What is the same for all jobs of a run.

    Attributes
    ----------
    job_name
        What the names of the jobs begin with.
    log_folder, journal
        Where logs and the journal lie.
    goal
        Function of a learner that says whether it is done.
    runner_kwargs
        Further arguments for `adaptive.Runner`.
    save_interval, log_interval
        Seconds between saves, and between lines in the log.
    loky_start_method
        How loky starts its workers.
    dataframe_format
        Format in which data is saved as a dataframe, too; None for not at all.
    groups
        For each learner the number of its group; None if there is only one.
    dependencies
        For some learners, the learners that must be done before.
    max_fails
        Failures in a row after which a learner is given up.
    scheduler
        Where the jobs run, pickled: no job needs it, but a shell does that
        cancels them.
    manager
        Further arguments of the `RunManager`, pickled, for who attaches to the run.
    goal_digest
        Tells this goal from others: the same goal has the same, as a rule.
    """

    job_name: str
    log_folder: Path
    journal: Path
    goal: Callable[[BaseLearner], bool]
    runner_kwargs: Mapping[str, Any] = field(default_factory=dict)
    save_interval: float = 300
    log_interval: float = 300
    loky_start_method: LOKY_START_METHODS = "loky"
    dataframe_format: _DATAFRAME_FORMATS | None = None
    groups: Sequence[int] | None = None
    dependencies: Mapping[int, Sequence[int]] = field(default_factory=dict)
    max_fails: int = 50
    scheduler: bytes = b""
    manager: bytes = b""
    goal_digest: str = ""

    def to_bytes(self) -> bytes:
        """Return what goes into the run folder.

        Raises
        ------
        UnpicklableError
            If the goal or an argument of the runner can't travel.
        """
        for name in ("goal", "runner_kwargs"):
            try:
                cloudpickle.dumps(getattr(self, name))
            except Exception as error:  # pickling runs the user's code
                raise UnpicklableError(
                    f"`{name}` must be pickled to travel to the jobs, but can't be: {error}"
                ) from error
        return by_value.dumps(self)

    @classmethod
    def from_file(cls, path: Path, *, trust: bool = False) -> JobSettings:
        """Read the settings of a run.

        Parameters
        ----------
        path
            Where they lie.
        trust
            Read them even if another user may have written them.

        Raises
        ------
        UntrustedFileError
            If another user may have written them.
        RunFolderError
            If there are none, or they can't be read.
        """
        try:
            settings = cloudpickle.loads(read_trusted(path, trust=trust))
        except FileNotFoundError as error:
            raise RunFolderError(
                f"There is no run in '{path.parent}': no '{path.name}'."
            ) from error
        except UntrustedFileError:
            raise
        except Exception as error:  # unpickling runs what the user's modules bring
            raise RunFolderError(
                f"The settings of the run in '{path}' can't be read: {error!r}."
            ) from error
        if not isinstance(settings, cls):
            raise RunFolderError(f"'{path}' holds no settings of a run.")
        return settings
