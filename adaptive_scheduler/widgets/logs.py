"""The logs of a run: which is shown, of what attempt, and what is new there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler._common.tail import START, Position
from adaptive_scheduler.run_folder.log_lines import readable
from adaptive_scheduler.run_folder.models import FAILED, READY, RUNNING
from adaptive_scheduler.server_support.info import SIGNS
from adaptive_scheduler.widgets.components import LogTail, put

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.attempts import AttemptSummary
    from adaptive_scheduler.server_support.view import RunView, Version

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


class FollowedLog:
    """Follows the log that the user has chosen.

    `choose` may be called from any thread; `update` from one.

    Parameters
    ----------
    view
        Whose jobs.
    """

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._chosen = _Chosen()
        self._shown = _Shown()
        #: State and failures of the learners that jobs have had.
        self._begun: dict[int, tuple[str, int]] = {}
        self._seen: Version | None = None
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
            sources = self._list_sources()
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
            new = self._view.log_lines(path, shown.position, first=_END, later=_AT_ONCE)
        except OSError:
            return False, ""
        shown.position = new.position
        lines = (readable(line, shown.learner) for line in new.lines)
        return new.is_other, "".join(f"{line}\n" for line in lines if line is not None)

    def _look_at(self, chosen: _Chosen, learner: int, news: LogNews) -> None:
        stamp = (learner, chosen.attempt, chosen.file, *self._stamp(learner))
        if stamp == self._shown.stamp:
            return
        attempts = self._view.attempts(learner)
        wanted = None if chosen.follows_last else chosen.attempt
        last = attempts[-1] if attempts else None
        shown = next((a for a in attempts if a.number == wanted), last)
        files = _files_of(shown)
        file = chosen.file if chosen.file in files else next(iter(files), None)
        path = None if file is None else files[file]
        old = self._shown
        is_same = path is not None and path == old.path and learner == old.learner
        if not is_same:
            news.reset = self.text = ""
        news.head = _head(attempts, shown, list(files), file, path)
        self._shown = _Shown(learner, path, old.position if is_same else START, stamp)

    def _stamp(self, learner: int) -> tuple[Any, ...]:
        """Return what changes when there is anything new about a learner's attempts."""
        row = self._view.learner(learner)
        return row.attempt, row.state, row.fails, row.error

    def _list_sources(self) -> list[list[str]]:
        """Return the learners to choose from: those that failed first, then those that run."""
        new = self._view.rows(self._seen)
        self._seen = new.version
        for row in new.rows:
            if row.attempt or row.fails or row.state == FAILED:
                self._begun[row.index] = (row.state, row.fails)
        ranked = sorted(self._begun, key=lambda i: (_rank(*self._begun[i]), i))[:_MOST_SOURCES]
        chosen = self._chosen.learner
        if chosen is not None and chosen not in ranked:
            ranked.insert(0, chosen)
        names = [[str(i), _name(i, *self._begun.get(i, (READY, 0)))] for i in ranked]
        return [["", "choose a learner"], *names]


def _rank(state: str, fails: int) -> int:
    return 0 if state == FAILED or fails else 1 if state == RUNNING else 2


def _name(index: int, state: str, fails: int) -> str:
    failures = f", {counted(fails, 'failure')}" if fails else ""
    return f"{SIGNS[state]} learner {index}: {state}{failures}"


def _files_of(attempt: AttemptSummary | None) -> dict[str, Path]:
    if attempt is None:
        return {}
    files = {} if attempt.log is None else {"log": attempt.log}
    files["output"] = attempt.output
    return files


def _head(
    attempts: list[AttemptSummary],
    shown: AttemptSummary | None,
    files: list[str],
    file: str | None,
    path: Path | None,
) -> dict[str, Any]:
    names = {"log": "log", "output": "what it has printed"}
    choices = [
        [str(a.number), f"attempt {a.number}: job {a.job_id}, {a.outcome}"]
        for a in reversed(attempts)
    ]
    is_failed = shown is not None and shown.outcome == "failed"
    return {
        "attempts": choices,
        "attempt": "" if shown is None else str(shown.number),
        "files": [[name, names[name]] for name in files],
        "file": file or "",
        "path": "" if path is None else str(path),
        "error": shown.error if shown is not None and is_failed else "",
        "traceback": shown.traceback if shown is not None and is_failed else "",
    }


class LogPane:
    """The logs of a run as a widget.

    Parameters
    ----------
    view
        Whose jobs.
    nudge
        Has `update` called soon.

    Attributes
    ----------
    tail
        The widget.
    """

    def __init__(self, view: RunView, nudge: Callable[[], None]) -> None:
        self._followed = FollowedLog(view)
        self._n_learners = view.n_learners
        self._nudge = nudge
        self.tail = LogTail(lambda: self._followed.text, self._heard)

    def choose(self, learner: int) -> None:
        """Show the log of a learner."""
        self._followed.choose(learner)
        self._nudge()

    def update(self) -> None:
        """Show what is new, in the thread that writes."""
        news = self._followed.update()
        if news.sources is not None:
            put(self.tail, "sources", news.sources)
        learner = self._followed.learner
        put(self.tail, "source", "" if learner is None else str(learner))
        if news.head is not None:
            put(self.tail, "head", news.head)
        if news.reset is not None:
            self.tail.send({"reset": news.reset})
        elif news.append:
            self.tail.send({"append": news.append})

    def _heard(self, content: dict[str, Any]) -> None:
        if (learner := _number(content.get("source"))) is not None and learner < self._n_learners:
            self._followed.choose(learner)
        if (attempt := _number(content.get("attempt"))) is not None:
            self._followed.choose(attempt=attempt)
        if isinstance(file := content.get("file"), str):
            self._followed.choose(file=file)
        self._nudge()


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() else None
