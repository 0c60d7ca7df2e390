"""A run as its folder tells it, for those who pick it up there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from adaptive_scheduler._common import by_value
from adaptive_scheduler.errors import RunFolderError, UnpicklableError
from adaptive_scheduler.learners.pack import Pack
from adaptive_scheduler.learners.paths import Project, ResolvedFname
from adaptive_scheduler.run_folder.settings import JobSettings

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.scheduler.base import BaseScheduler


@dataclass(frozen=True)
class KnownRun:
    """What a `RunManager` was made of.

    Attributes
    ----------
    pack, settings
        As they lie in the folder.
    project
        The folder from which its relative names start.
    scheduler, learners, fnames, keywords
        The arguments with which it was made; the fnames are resolved.
    """

    pack: Pack
    settings: JobSettings
    project: Project
    scheduler: BaseScheduler
    learners: list[BaseLearner]
    fnames: list[ResolvedFname]
    keywords: dict[str, Any]


def read_run(root: str | Path, *, trust: bool = False) -> KnownRun:
    """Read what a run is made of from its folder.

    Parameters
    ----------
    root
        The run folder.
    trust
        Read it even if another user may have written it: that runs their code.

    Raises
    ------
    UntrustedFileError
        If another user may have written it.
    RunFolderError
        If there is no run, or it was begun without a `RunManager`.
    UnpicklableError
        If a learner, or what it refers to, can't be loaded here.
    """
    root = Path(root).expanduser().absolute()
    if not (root / "settings.pickle").exists():
        raise RunFolderError(f"There is no run in '{root}': no 'settings.pickle'.")
    pack = Pack(root / "learners.pack", trust=trust)
    pack.extend_sys_path()  # the settings, too, may refer to the user's modules
    settings = JobSettings.from_file(root / "settings.pickle", trust=trust)
    if not settings.manager:
        raise RunFolderError(
            f"The run in '{root}' was not begun by a RunManager: start the program again that did."
        )
    keywords: dict[str, Any] = cloudpickle.loads(settings.manager)
    project = Project.at(pack.folder)
    scheduler: BaseScheduler = cloudpickle.loads(settings.scheduler)
    scheduler.log_folder = scheduler.log_folder and str(settings.log_folder)
    scheduler.batch_folder = scheduler.batch_folder and str(project.path(scheduler.batch_folder))
    return KnownRun(
        pack,
        settings,
        project,
        scheduler,
        learners=[pack.read(index).learner for index in range(len(pack))],
        fnames=project.resolve_all(pack.fnames),
        keywords={
            **keywords,
            "job_name": settings.job_name,
            "goal": settings.goal,
            "db_fname": settings.journal,
            "folder": root,
        },
    )


def remember(keywords: Mapping[str, Any]) -> bytes:
    """Return the arguments of a `RunManager` as they are kept in the run folder.

    Raises
    ------
    UnpicklableError
        If one of them can't be.
    """
    for name, value in keywords.items():
        try:
            cloudpickle.dumps(value)
        except Exception as error:  # pickling runs the user's code
            raise UnpicklableError(
                f"`{name}` must be pickled, to be known to who attaches to the run, but can't be: "
                f"{error}"
            ) from error
    return by_value.dumps(dict(keywords))
