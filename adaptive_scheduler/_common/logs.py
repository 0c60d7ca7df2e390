"""Write to logs, whichever library they belong to."""

from __future__ import annotations

import traceback
from typing import Any

__all__ = ["log_exception"]


def log_exception(log: Any, msg: str, exception: BaseException) -> None:
    """Log an exception with its traceback, now or long after it was caught.

    Parameters
    ----------
    log
        A logger of the standard library or of structlog, or anything that has
        a method ``exception`` or ``error`` that takes a message.
    msg
        What could not be done.
    exception
        Why.
    """
    if not hasattr(log, "exception"):
        log.error(f"{msg}\n{''.join(traceback.format_exception(exception))}".rstrip())
        return
    original_traceback = exception.__traceback__
    try:
        # Loggers look for the exception that is being handled.
        raise exception  # noqa: TRY301
    except BaseException:  # the one that was just raised
        exception.__traceback__ = original_traceback  # Without the line above.
        log.exception(msg)
