"""What the dashboard shows of the logs: which, of what attempt, and what is new there."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler._common.tail import START, Position, read_new_lines
from adaptive_scheduler.run_folder.log_lines import readable
from adaptive_scheduler.run_folder.models import FAILED, RUNNING
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.widgets.attempts import AttemptStory, attempts_at
from adaptive_scheduler.widgets.html import SIGNS

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.models import LearnerEntry
    from adaptive_scheduler.server_support.run_manager import RunManager

#: Learners that are offered by name; all others are chosen in the table.
_MOST_SOURCES: Final = 300
#: Seconds between two looks at what learners there are to choose from.
_SOURCES_INTERVAL: Final = 3.0
#: Bytes of the end of a log that are read at first.
_END: Final = 200_000
#: Bytes that are read at once afterwards; what was written in between is left out.
_AT_ONCE: Final = 1_000_000
#: Characters that a page gets that is opened later.
_KEPT: Final = 300_000


@dataclass
class LogNews:
    """What has changed on the page; None where nothing has.

    Attributes
    ----------
    sources
        Ids and names of what can be chosen.
    head
        The attempts, the files, and what went wrong.
    reset, append
        Text instead of all that was there, or after it.
    """

    sources: list[list[str]] | None = None
    head: dict[str, Any] | None = None
    reset: str | None = None
    append: str = ""


@dataclass
class _Chosen:
    learner: int | None = None
    attempt: int | None = None
    file: str | None = None
    #: Whether attempt and file are the user's own choice.
    follows_last: bool = True


@dataclass
class _Shown:
    learner: int | None = None
    path: Path | None = None
    position: Position = START
    stamp: tuple[Any, ...] = ()


class LogPane:
    """Follows the log that the user has chosen.

    `choose` may be called from any thread; `update` from one.

    Parameters
    ----------
    run_manager
        Whose jobs.
    """

    def __init__(self, run_manager: RunManager) -> None:
        self._run = run_manager
        self._lock = threading.Lock()
        self._chosen = _Chosen()
        self._shown = _Shown()
        self._sources: list[list[str]] = []
        self._next_sources = 0.0
        #: All that a page shows now.
        self.text = ""

    @property
    def learner(self) -> int | None:
        """Whose log is shown."""
        return self._chosen.learner

    def choose(
        self, learner: int | None = None, attempt: int | None = None, file: str | None = None
    ) -> None:
        """Show another log: that of a learner, or of another attempt, or another file."""
        with self._lock:
            now = self._chosen
            if learner is not None and learner != now.learner:
                self._chosen = _Chosen(learner)
            elif attempt is not None:
                self._chosen = _Chosen(now.learner, attempt, None, follows_last=False)
            elif file is not None:
                self._chosen = _Chosen(now.learner, now.attempt, file, now.follows_last)

    def update(self) -> LogNews:
        """Look at what is new."""
        news = LogNews()
        if time.monotonic() >= self._next_sources:
            self._next_sources = time.monotonic() + _SOURCES_INTERVAL
            sources = event_loop.call(self._list_sources)
            if sources != self._sources:
                self._sources = news.sources = sources
        with self._lock:
            chosen = self._chosen
        if chosen.learner is None:
            return news
        self._look_at(chosen, chosen.learner, news)
        if self._shown.path is not None:
            is_other, text = self._read(self._shown.path)
            if is_other or news.reset is not None:
                news.reset = text
                self.text = text
            else:
                news.append = text
                self.text = (self.text + text)[-_KEPT:]
        return news

    def _read(self, path: Path) -> tuple[bool, str]:
        """Return whether the file is another one than before, and what is new there, in words."""
        shown = self._shown
        try:
            new = read_new_lines(path, shown.position, first=_END, later=_AT_ONCE)
        except OSError:
            return False, ""
        shown.position = new.position
        lines = (readable(line, shown.learner) for line in new.lines)
        return new.is_other, "".join(f"{line}\n" for line in lines if line is not None)

    def _look_at(self, chosen: _Chosen, learner: int, news: LogNews) -> None:
        stamp = (learner, chosen.attempt, chosen.file, *event_loop.call(self._stamp, learner))
        if stamp == self._shown.stamp:
            return
        stories = attempts_at(self._run.run_folder, learner)
        wanted = None if chosen.follows_last else chosen.attempt
        story = next((s for s in stories if s.number == wanted), stories[-1] if stories else None)
        files = _files_of(story)
        file = chosen.file if chosen.file in files else next(iter(files), None)
        path = None if file is None else files[file]
        old = self._shown
        is_same = path is not None and path == old.path and learner == old.learner
        if not is_same:
            news.reset = self.text = ""
        news.head = _head(stories, story, list(files), file, path)
        self._shown = _Shown(learner, path, old.position if is_same else START, stamp)

    def _stamp(self, learner: int) -> tuple[Any, ...]:
        """Return what changes when there is anything new about a learner's attempts."""
        entry = self._run.database_manager.state.learners[learner]
        return entry.attempt, entry.state, entry.fails, entry.error

    def _list_sources(self) -> list[list[str]]:
        """Return the learners to choose from: those that failed first, then those that run."""
        learners = self._run.database_manager.state.learners
        failed = [e for e in learners if e.state == FAILED or e.fails]
        running = [e for e in learners if e.state == RUNNING and not e.fails]
        others = [e for e in learners if e.attempt and not e.fails and e.state != RUNNING]
        chosen = self._chosen.learner
        entries = [*failed, *running, *others][:_MOST_SOURCES]
        if chosen is not None and all(e.index != chosen for e in entries):
            entries.insert(0, learners[chosen])
        return [["", "choose a learner"], *([str(e.index), _name(e)] for e in entries)]


def _name(entry: LearnerEntry) -> str:
    fails = f", {counted(entry.fails, 'failure')}" if entry.fails else ""
    return f"{SIGNS[entry.state]} learner {entry.index}: {entry.state}{fails}"


def _files_of(story: AttemptStory | None) -> dict[str, Path]:
    if story is None:
        return {}
    files = {} if story.log is None else {"log": story.log}
    files["output"] = story.output
    return files


def _head(
    stories: list[AttemptStory],
    story: AttemptStory | None,
    files: list[str],
    file: str | None,
    path: Path | None,
) -> dict[str, Any]:
    names = {"log": "log", "output": "what it has printed"}
    attempts = [
        [str(s.number), f"attempt {s.number}: job {s.job_id}, {s.outcome}"]
        for s in reversed(stories)
    ]
    is_failed = story is not None and story.outcome == "failed"
    return {
        "attempts": attempts,
        "attempt": "" if story is None else str(story.number),
        "files": [[name, names[name]] for name in files],
        "file": file or "",
        "path": "" if path is None else str(path),
        "error": story.error if story is not None and is_failed else "",
        "traceback": story.traceback if story is not None and is_failed else "",
    }
