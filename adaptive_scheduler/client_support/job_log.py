"""The log of a job: one JSON object a line."""

from __future__ import annotations

import json
import logging
import math
import os
import traceback
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

#: Where everything that a job has to say goes.
log = logging.getLogger("adaptive_scheduler.job")


class JsonLinesFormatter(logging.Formatter):
    """Writes a record, and the fields that came with it, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created).isoformat(" "),  # noqa: DTZ006  read by people
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps({k: _no_nan(value) for k, value in line.items()}, default=str)


def _no_nan(value: Any) -> Any:
    """Return None for what JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _LogFile(logging.FileHandler):
    """A file that gets no more lines once it is closed."""

    def close(self) -> None:
        log.removeHandler(self)
        super().close()


class _LogStream(logging.StreamHandler[TextIO]):
    """A stream that gets no more lines once its handler is closed."""

    def close(self) -> None:
        log.removeHandler(self)
        super().close()


def add_log_file_handler(log_fname: str | Path) -> logging.Handler:
    """Write the log of this job to a file as well, and return the handler that does.

    Lines are added to a file that exists: a job may be started again under the
    same id.
    """
    path = Path(log_fname)
    path.parent.mkdir(parents=True, exist_ok=True)
    return _add(_LogFile(path))


def add_log_stream_handler(stream: TextIO) -> logging.Handler:
    """Write the log of this job to a stream, and return the handler that does."""
    return _add(_LogStream(stream))


def _add(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(JsonLinesFormatter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    return handler


def note(event: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields."""
    log.log(level, event, extra={"fields": fields})


def note_fields(event: str, fields: Mapping[str, Any]) -> None:
    """Log an event whose fields' names are no Python names."""
    log.info(event, extra={"fields": dict(fields)})


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
