"""What can go wrong, each with a message that says what to do about it."""

from __future__ import annotations


class AdaptiveSchedulerError(Exception):
    """The base of all errors that this package raises on purpose."""


# What the user gave us.


class InvalidInputError(AdaptiveSchedulerError, ValueError):
    """An argument has a value that can't work."""


class InvalidGoalError(InvalidInputError, TypeError):
    """A goal is none of the types that a goal may have."""


class UnpicklableError(InvalidInputError, TypeError):
    """Something that must travel to the jobs can't be pickled."""


class DependencyError(InvalidInputError):
    """The dependencies between learners are out of range or circular."""


class MissingPackageError(AdaptiveSchedulerError, ImportError):
    """An optional package is needed and not installed."""


# What lies on disk.


class RunFolderError(AdaptiveSchedulerError):
    """The run folder can't be used."""


class RunFolderLockedError(RunFolderError):
    """Another live manager holds the run folder."""


class UntrustedFileError(RunFolderError):
    """A file was not read, since somebody else may have written it and reading can run code."""


class LearnerNotFoundError(RunFolderError, FileNotFoundError):
    """Nothing on disk knows the learner of an fname."""


class DataFileError(AdaptiveSchedulerError):
    """A data file can't be read or written."""


# What the scheduler said.


class SchedulerError(AdaptiveSchedulerError):
    """The scheduler could not do what it was asked."""


class SchedulerUnavailableError(SchedulerError):
    """The scheduler did not answer; what it did is not known.

    Nothing that we believe about jobs may change because of this error.
    """


class SubmissionRejectedError(SchedulerError):
    """The scheduler answered that it will not run these jobs."""


# What happened in a run.


class ConnectionLostError(AdaptiveSchedulerError):
    """The manager does not answer."""


class RunFailedError(AdaptiveSchedulerError, RuntimeError):
    """A run ended without reaching its goals."""


class MaxRestartsReachedError(RunFailedError):
    """A learner's jobs failed more often than ``max_fails_per_job``."""


class CallError(AdaptiveSchedulerError):
    """A call's result or exception can't travel back, or the call was not made."""
