"""Reads from its folder what a run was declared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING

from adaptive_scheduler.learners.pack import Pack, open_pack
from adaptive_scheduler.run_folder.functions import Functions
from adaptive_scheduler.run_folder.spec import RunSpec

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.goals import GoalTypes
    from adaptive_scheduler.learners.paths import AnyFname
    from adaptive_scheduler.scheduler.base import BaseScheduler


@dataclass(frozen=True)
class DeclaredRun:
    """What a run was declared with; its learners lie in the run folder's pack."""

    spec: RunSpec
    scheduler: BaseScheduler
    learners: list[BaseLearner]
    fnames: Sequence[AnyFname]


def read_declared_run(
    folder: str | Path, goal: GoalTypes | EllipsisType = ..., *, trust: bool = False
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

    Raises
    ------
    RunFolderError
        If there is no run.
    UntrustedFileError
        Without `trust`, if another user may have written what lies in the folder.
    UnpicklableError
        If a learner, or what it refers to, can't be loaded here.
    """
    spec = RunSpec.read(folder, trust=trust)
    with open_pack(spec.run_folder.pack, trust=trust) as file:
        pack = Pack(spec.run_folder.pack, file=file)
        pack.extend_sys_path()  # goal and scheduler, too, may refer to the user's modules
        learners = [pack.read(index).learner for index in range(len(pack))]
        fnames = pack.fnames
    functions = Functions.read(spec.run_folder.functions, trust=trust)
    spec = functions.complete(spec)
    if goal is not ...:
        spec = spec.with_goal(goal, learners)
    scheduler = functions.scheduler
    scheduler.log_folder = scheduler.log_folder and str(spec.run_folder.logs)
    scheduler.batch_folder = scheduler.batch_folder and str(spec.run_folder.scripts)
    return DeclaredRun(spec, scheduler, learners, spec.project.resolve_all(fnames))
