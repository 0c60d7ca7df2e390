"""What a run folder holds: a run, moved or not, or a copy, which never acts on its original."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.learners.pack import open_pack
from adaptive_scheduler.learners.paths import Project, ResolvedFname
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.project import Standing, shared_with_original
from adaptive_scheduler.run_folder.spec import RunSpec

#: By which keyword the user gives each part of a run folder another place.
_KEYWORDS = {
    "logs": "log_folder",
    "scripts": "batch_folder",
    "old_logs": "move_old_logs_to",
    "journal": "db_fname",
}
#: How many files an error names.
_NAMED = 5


def standing_at_start(
    folder: RunFolder, project: Project, fnames: Sequence[ResolvedFname], *, is_moved: bool
) -> Standing:
    """Return how a run that is about to start stands to the one that its folder holds. Blocks.

    Parameters
    ----------
    folder, project, fnames
        Of the run that is about to start.
    is_moved
        Whether the user says that the run was moved, should its recorded place be unreachable.

    Raises
    ------
    RunFolderError
        If it must not start: nobody knows whether it was moved or copied; it is a copy,
        and would write into files of its original; or the folder holds a run of another
        project.
    """
    if not folder.spec.exists():
        return Standing.HERE
    before = RunSpec.read(folder.root)
    found = before.checked_standing(is_moved=is_moved)
    if found is Standing.COPIED:
        shared = _shared(folder, fnames, before)
        if paths := _named(shared):
            keywords = " and ".join(f"`{keyword}`" for keyword, paths in shared.items() if paths)
            anew = ", and begin anew by `overwrite_db=True`" if shared["fnames"] else ""
            raise RunFolderError(
                f"{copied_from(before)}, and can't start with what belongs to that one: {paths}. "
                f"Give it others by {keywords}{anew}; or copy the whole project."
            )
    elif found is Standing.HERE and _has_other_files(before, fnames):
        _check_project(folder, project, before.project)
    return found


def check_own_files(
    what: str,
    folder: RunFolder,
    fnames: Sequence[ResolvedFname],
    parts: Collection[str],
    *,
    is_moved: bool,
) -> None:
    """Check that nothing of an original is moved or deleted from a copy of it. Blocks.

    Parameters
    ----------
    what
        What is to be done, as in "can't ...".
    folder, fnames, parts
        The data files, and the parts of the run folder, that are to be moved or deleted.
    is_moved
        Whether the user says that the run was moved, should its recorded place be unreachable.

    Raises
    ------
    RunFolderError
        If something belongs to the original, or nobody knows whether this is a copy.
    """
    if not folder.spec.exists():
        return
    before = RunSpec.read(folder.root)
    if before.checked_standing(is_moved=is_moved) is not Standing.COPIED:
        return
    if paths := _named(_shared(folder, fnames, before, parts)):
        raise RunFolderError(
            f"{copied_from(before)}, and can't {what} where that would touch what belongs to that "
            f"one: {paths}. Do it there."
        )


def copied_from(spec: RunSpec) -> str:
    """Say of which run a run folder is a copy."""
    return f"'{spec.run_folder.root}' is a copy of the run in '{spec.recorded_root}'"


def _shared(
    folder: RunFolder,
    fnames: Sequence[ResolvedFname],
    before: RunSpec,
    parts: Collection[str] = tuple(_KEYWORDS),
) -> dict[str, list[Path]]:
    """Return what a copy and its original both use, by the keyword that would change it."""
    assert before.place is not None  # noqa: S101  a copy was read from its folder
    recorded = Project.at(before.place.project)
    shared = {"fnames": shared_with_original(_paths(fnames), _data_files(before, recorded))}
    for part in parts:
        here, there = getattr(folder, part), before.place.parts.get(part)
        is_same = here and there and os.path.realpath(here) == os.path.realpath(there)
        shared[_KEYWORDS[part]] = [here] if is_same else []
    return shared


def _named(shared: Mapping[str, Sequence[Path]]) -> str:
    """Name files and folders in an error; empty if there are none."""
    paths = [path for found in shared.values() for path in found]
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(f"'{path}'" for path in paths[:_NAMED]) + more


def _check_project(folder: RunFolder, ours: Project, theirs: Project) -> None:
    """Refuse the run of another project that is still there, such as what this one is a copy of."""
    with suppress(OSError):
        if theirs.folder.is_dir() and not theirs.folder.samefile(ours.folder):
            raise RunFolderError(
                f"'{folder.root}' holds the run of the project in '{theirs.folder}', whose data "
                f"lies there, and not in '{ours.folder}'. Start it from there, or name another "
                "`folder` for this run."
            )


def _has_other_files(before: RunSpec, fnames: Sequence[ResolvedFname]) -> bool:
    try:
        return set(_data_files(before, before.project)) != set(_paths(fnames))
    except RunFolderError:  # a pack that can't be read is written anew
        return False


def _data_files(spec: RunSpec, project: Project) -> Iterator[Path]:
    """Yield the data files of a run as its pack names them, for a place of its project."""
    with open_pack(spec.run_folder.pack) as pack:
        yield from _paths(project.resolve_all(pack.fnames()))


def _paths(fnames: Sequence[ResolvedFname]) -> Iterator[Path]:
    return (path for fname in fnames for path in fname.paths)
