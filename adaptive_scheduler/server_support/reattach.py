"""Reads from its folder what a run was declared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING

from adaptive_scheduler.learners.pack import Pack, open_pack
from adaptive_scheduler.run_folder.functions import Functions
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.run_folder.spec import RunSpec

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.goals import GoalTypes
    from adaptive_scheduler.learners.paths import AnyFname
    from adaptive_scheduler.scheduler.base import BaseScheduler


@dataclass(frozen=True)
class DeclaredRun:
    """What a run was declared with.

    Attributes
    ----------
    spec, scheduler, learners, fnames
        Of the run; the spec says whether it was moved or copied.
    has_pack
        Whether the run folder's pack can stay. It names the files of a run where they
        were, so that one that was moved or copied needs another.
    """

    spec: RunSpec
    scheduler: BaseScheduler
    learners: list[BaseLearner]
    fnames: Sequence[AnyFname]
    has_pack: bool


def read_declared_run(
    folder: str | Path,
    goal: GoalTypes | EllipsisType = ...,
    *,
    trust: bool = False,
    is_moved: bool = False,
) -> DeclaredRun:
    """Read what a run was declared with.

    Parameters
    ----------
    folder
        The run folder.
    goal
        Another goal than the run has had.
    trust
        Read the folder even if another user may have written it.
    is_moved
        Whether the run was moved, if its recorded place can't be looked at from here.

    Raises
    ------
    RunFolderError
        If there is no run; without `is_moved`, if nobody can know whether it was moved
        or copied.
    UntrustedFileError
        Without `trust`, if another user may have written what lies in the folder.
    UnpicklableError
        If a learner, or what it refers to, can't be loaded here.
    """
    spec = RunSpec.read(folder, trust=trust)
    spec = replace(spec, standing=spec.checked_standing(is_moved=is_moved))
    with open_pack(spec.run_folder.pack, trust=trust) as file:
        pack = Pack(spec.run_folder.pack, file=file)
        pack.extend_sys_path(spec.project)  # goal and scheduler may refer to modules, too
        packed = [pack.read(index) for index in range(len(pack))]
        fnames = pack.fnames
    learners = [each.learner for each in packed]
    functions = Functions.read(spec.run_folder.functions, trust=trust)
    spec = functions.complete(spec)
    if goal is not ...:
        spec = spec.with_goal(goal, learners)
    has_pack = spec.standing is Standing.HERE
    initializers = [each.initializer for each in packed if each.initializer is not None]
    if initializers and not has_pack:
        spec = replace(spec, initializers=initializers)
    scheduler = functions.scheduler
    scheduler.log_folder = scheduler.log_folder and str(spec.run_folder.logs)
    scheduler.batch_folder = scheduler.batch_folder and str(spec.run_folder.scripts)
    resolved = spec.project.resolve_all(fnames)
    return DeclaredRun(spec, scheduler, learners, resolved, has_pack)
