"""The data file of a learner that saves and loads itself in its own way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.trusted import open_data
from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.learners import contents
from adaptive_scheduler.learners.data_file import DataFile, SetAside

if TYPE_CHECKING:
    from adaptive import BaseLearner


def has_own_format(learner: BaseLearner) -> bool:
    """Whether the user wrote the ``save`` or ``load`` of `learner`."""
    from adaptive import BalancingLearner, BaseLearner, DataSaver

    kind = type(learner)
    return (
        bool({"save", "load"} & set(vars(learner)))
        or kind.save not in {BaseLearner.save, BalancingLearner.save, DataSaver.save}
        or kind.load not in {BaseLearner.load, BalancingLearner.load, DataSaver.load}
    )


class OwnFormatFile(DataFile):
    """A learner with ``save`` and ``load`` methods of its own, which know the format.

    ``save`` is called in the event loop's thread, as adaptive's periodic
    saving would, with a name in an empty temporary folder. Whatever files it
    leaves there (also several, with any ending) then take their places beside
    each other, one after the other and each as a whole. ``load`` gets the
    true name; it may raise `FileNotFoundError` where nothing was saved yet.

    What is asked of both is that they work with any folder, and that ``load``
    raises when the file is broken. That a file is there and empty, or is cut
    off and starts like gzip, is noticed even if ``load`` keeps quiet.
    """

    def __init__(
        self, learner: BaseLearner, paths: list[Path], name: Path, *, several: bool
    ) -> None:
        super().__init__(learner, paths[0], name)
        self._paths = paths
        self._several = several

    def _read(self) -> bool:
        before = {path for path in self._paths if path.exists()}
        for path in before:
            with open_data(path) as opened:
                content = opened.file.read()
                self.writers = self.writers or opened.writers
            if not contents.decompress(content):
                raise contents.UnreadableContentError("it is empty")
        names = [str(path) for path in self._paths]
        with contents.unchanged_on_error(self.learner):
            try:
                self.learner.load(names if self._several else names[0])
            except FileNotFoundError:
                if before:
                    raise
                return False
            except contents.NOT_THE_CONTENT:
                raise
            except Exception as error:  # the user's own `load`
                raise contents.UnreadableContentError(contents.words(error)) from error
        return True

    def _content(self) -> dict[Path, bytes]:
        saving = f"{type(self.learner).__name__}.save"
        try:
            with tempfile.TemporaryDirectory() as folder:
                content = self._save_into(Path(folder))
        except Exception as error:  # the user's own `save`
            raise DataFileError(
                f"{self.name} can't be saved, since {saving} raised {contents.words(error)}. "
                "What was saved before is still there."
            ) from error
        if not content:
            raise DataFileError(
                f"{self.name} can't be saved: {saving} wrote nothing. What was saved before is "
                "still there. Let it raise what went wrong, and use the name that it gets."
            )
        return content

    def _save_into(self, folder: Path) -> dict[Path, bytes]:
        places = [folder / str(i) / path.name for i, path in enumerate(self._paths)]
        for place in places:
            place.parent.mkdir()
        names = [str(place) for place in places]
        self.learner.save(names if self._several else names[0])
        return {
            path.parent / file.relative_to(place.parent): file.read_bytes()
            for path, place in zip(self._paths, places, strict=True)
            for file in place.parent.rglob("*")
            if file.is_file()
        }

    def _write(self, path: Path, content: bytes, *, make_folders: bool) -> int:
        with atomic_write(path, "wb", make_folders=make_folders) as file:
            return int(file.write(content))

    def _state(self) -> None:
        return None

    def _set_aside(self, reason: str) -> SetAside:
        if self._several:
            raise DataFileError(
                f"One of {self.name} ... can't be read ({reason}), and only "
                f"{type(self.learner).__name__}.load knows which. Move it away, and start again."
            )
        return super()._set_aside(reason)
