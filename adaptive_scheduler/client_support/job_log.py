"""The log of a job: one JSON object a line.

Events of this package go through structlog; whatever libraries and the user's code tell the
loggers of the standard library ends in the same file.
"""

from __future__ import annotations

import json
import logging
import math
import os
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from structlog.processors import ExceptionRenderer, JSONRenderer
from structlog.stdlib import BoundLogger, ExtraAdder, ProcessorFormatter, add_logger_name

if TYPE_CHECKING:
    from structlog.typing import EventDict, ExcInfo

_NAME = "adaptive_scheduler.job"

#: Where everything that a job has to say goes. It is independent of `structlog.configure`,
#: which belongs to the user's code.
log: BoundLogger = structlog.wrap_logger(
    logging.getLogger(_NAME),
    processors=[ProcessorFormatter.wrap_for_formatter],
    wrapper_class=BoundLogger,
    context_class=dict,
    cache_logger_on_first_use=True,
)


def json_lines_formatter() -> logging.Formatter:
    """Return what writes a record, and the fields that came with it, as one line of JSON."""
    return ProcessorFormatter(
        processors=[
            ExceptionRenderer(_format_traceback),
            _arrange,
            JSONRenderer(serializer=json.dumps, default=str, skipkeys=True),
        ],
        foreign_pre_chain=[ExtraAdder(), _drop_formatted, add_logger_name],
    )


def _drop_formatted(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Drop what another handler's formatter has left in a record, which looks like a field."""
    event.pop("message", None)
    event.pop("asctime", None)
    return event


def _format_traceback(exc_info: ExcInfo) -> str:
    return "".join(traceback.format_exception(*exc_info))


def _arrange(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Put first what every line has."""
    record: logging.LogRecord = event.pop("_record")
    del event["_from_structlog"]
    line = {
        "timestamp": datetime.fromtimestamp(record.created).isoformat(" "),  # noqa: DTZ006  read by people
        "level": record.levelname.lower(),
        "event": event.pop("event"),
    }
    renamed = {"traceback": event.pop("exception")} if "exception" in event else {}
    return {name: _no_nan(value) for name, value in {**line, **event, **renamed}.items()}


def _no_nan(value: Any) -> Any:
    """Return None for what JSON has no word for."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _no_nan(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_no_nan(inner) for inner in value]
    return value


class _LogFile(logging.FileHandler):
    """A file that gets no more lines once it is closed."""

    def close(self) -> None:
        _detach(self)
        with suppress(OSError):  # the disk is full: the last lines are lost, and nothing else
            super().close()


class _LogStream(logging.StreamHandler[TextIO]):
    """A stream that gets no more lines once its handler is closed."""

    def close(self) -> None:
        _detach(self)
        super().close()


class _FromLibraries(logging.Handler):
    """Passes on what other loggers say.

    It is the root logger's, and apart from the handler of the job's own events:
    ``logging.basicConfig(force=True)`` in the user's code removes it, and no event is lost.
    """

    def __init__(self, target: logging.Handler) -> None:
        super().__init__()
        self.target = target

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _NAME:
            self.target.handle(record)


def add_log_file_handler(log_fname: str | Path) -> logging.Handler:
    """Write the log of this job to a file as well, and return the handler that does.

    Warnings and errors of all loggers of the standard library are written, too;
    and what is less, of those whose level says so.

    Lines are added to a file that exists: a job may be started again under the
    same id.
    """
    path = Path(log_fname)
    path.parent.mkdir(parents=True, exist_ok=True)
    return _attach(_LogFile(path))


def add_log_stream_handler(stream: TextIO) -> logging.Handler:
    """Write the log of this job to a stream, and return the handler that does."""
    return _attach(_LogStream(stream))


def _attach(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(json_lines_formatter())
    own = logging.getLogger(_NAME)
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    logging.getLogger().addHandler(_FromLibraries(handler))
    return handler


def _detach(handler: logging.Handler) -> None:
    logging.getLogger(_NAME).removeHandler(handler)
    root = logging.getLogger()
    for other in list(root.handlers):
        if isinstance(other, _FromLibraries) and other.target is handler:
            root.removeHandler(other)


def note(event: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields."""
    log.log(level, event, **fields)


def note_fields(event: str, fields: Mapping[str, Any]) -> None:
    """Log an event whose fields' names are no Python names."""
    log.info(event, **fields)


def args_to_env(args: Any, prefix: str = "ADAPTIVE_SCHEDULER_") -> None:
    """Put parsed arguments into the environment, for programs that the job starts.

    Parameters
    ----------
    args
        An `argparse.Namespace`.
    prefix
        What the variables' names begin with.
    """
    for name, value in vars(args).items():
        if value is not None:
            os.environ[f"{prefix}{name.upper()}"] = str(value)
