"""How the commands of PBS are called, and what they say when they fail."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from adaptive_scheduler.errors import SchedulerError, SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import Finished, run_command, shown
from adaptive_scheduler.scheduler.jobs import Batch
from adaptive_scheduler.scheduler.submitting import submission_error

#: Seconds that a command gets. A server that hangs never answers.
TIMEOUT = 60.0
#: Ids in one call of qstat or qdel; the server takes some milliseconds for each.
IDS_PER_CALL = 500

#: What qstat and qdel say of jobs that are gone: no error.
GONE = ("Unknown Job Id", "Job has finished", "not configured to maintain job history")

#: What is said of a first server that is down, where a second one takes its place.
#: Where there is none, more words follow.
_NOISE = frozenset({"Connection refused", "Connection timed out", "Unknown Host."})

#: After these words of qsub the jobs may exist, or may be taken at another
#: time. All else is the server's decision. Source: the texts of OpenPBS's
#: pbs_messages.c and pbs_ifl errors about communication, about the server's
#: own trouble and about credentials (munge may be down for a while), and what
#: qsub was seen to say.
_DOUBTFUL = (
    "cannot connect to server",
    "Couldn't connect to cluster",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Communication failure",
    "Broken pipe",
    "End of File",
    "Premature end of message",
    "Protocol (ASN.1) error",
    "Batch protocol error",
    "Server is shutting down",
    "Server shutting down",
    "PBS server internal error",
    "System error",
    "Failed to save job",
    "No free connections",
    "Server connection table full",
    "Invalid credential",
    "Expired credential",
    "Resource temporarily unavailable",
    "timed out",
    "got an alarm call",  # a hook of the site took too long
)

#: What to do after some words of qsub.
_HINTS = {
    "Bad UID": "PBS lets some users, such as root, run no jobs.",
    "Unauthorized": "PBS does not let you submit jobs, or not from this host.",
    "Unknown queue": "See the queues with `qstat -Q`, and set `queue=...` in PBS(...).",
    "Queue is not enabled": "See the queues with `qstat -Q`, and set `queue=...` in PBS(...).",
    "Access to queue is denied": "See the queues with `qstat -Q`, and set `queue=...` in PBS(...).",
    "No default queue": "See the queues with `qstat -Q`, and set `queue=...` in PBS(...).",
    "limit on resource": "Ask for less, or set `max_simultaneous_jobs` to fewer jobs.",
    "would exceed": "Set `max_simultaneous_jobs` to as many jobs as you may have.",
    "Maximum number of jobs": "Set `max_simultaneous_jobs` to as many jobs as you may have.",
    "resource limits": "`qstat -Qf` tells what a queue lets jobs ask for.",
    "rejected by all possible destinations": "`qstat -Qf` tells what each queue takes.",
    "Invalid Account": 'Name yours with `extra_scheduler=["-A account"]`, or with "-P project".',
    'cannot be used with "select"': (
        "Say `memory=...`, or the whole of it with `select=...`, instead of `-l` in "
        "`extra_scheduler`."
    ),
    "Illegal attribute or resource value": (
        "Look at `walltime`, `memory`, `select` and `extra_scheduler`."
    ),
    "Unknown resource": "`pbsnodes -av` tells what nodes have under resources_available.",
    "cr, lf": "Lines of `extra_script` end as on Windows; they must end as on Linux.",
    "illegal -N value": "Names of jobs may be too long, or begin with what PBS does not take.",
    "illegal": "Look at the options in `extra_scheduler`.",
    "invalid option": "Look at the options in `extra_scheduler`.",
}


def ask(command: Sequence[str], *, harmless: Collection[str] = ()) -> Finished:
    """Run a command that must succeed, and return its answer; see `checked`."""
    return checked(run_command(command, timeout=TIMEOUT), harmless=harmless)


def checked(answer: Finished, *, harmless: Collection[str] = ()) -> Finished:
    """Return an answer that is good.

    Parameters
    ----------
    answer
        Of a command.
    harmless
        Complaints that are part of a good answer, whatever the exit code.

    Raises
    ------
    SchedulerUnavailableError
        If it tells of another failure.
    """
    if answer.returncode and not _is_harmless(answer, harmless):
        raise SchedulerUnavailableError(f"`{shown(answer.command)}` failed: {answer.complaint}")
    return answer


def _is_harmless(answer: Finished, harmless: Collection[str]) -> bool:
    lines = (line.strip() for line in answer.stderr.splitlines())
    complaints = [line for line in lines if line and line not in _NOISE]
    return bool(complaints) and all(any(h in line for h in harmless) for line in complaints)


def takes_no_wide_lines(answer: Finished) -> bool:
    """Whether qstat says that it has no option ``-w``, or not together with ``-f``."""
    words = ("invalid option -- 'w'", "Unknown option: w", "conflicting options")
    return answer.returncode != 0 and any(phrase in answer.stderr for phrase in words)


def failure_of(answer: Finished, batch: Batch) -> SchedulerError:
    """Return the error for a submission that has failed."""
    words = answer.complaint.partition("\nusage:")[0]
    return submission_error(words, batch, command="qsub", doubtful=_DOUBTFUL, hints=_HINTS)
