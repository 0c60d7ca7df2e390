"""What sbatch says when it fails, and what that means."""

from __future__ import annotations

import textwrap

from adaptive_scheduler.errors import (
    SchedulerError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler.command import Finished
from adaptive_scheduler.scheduler.jobs import Batch

#: After these words the jobs may exist, or may be taken at another time. All
#: else is Slurm's decision. Source: the messages of src/common/slurm_errno.c
#: about communication, and what sbatch was seen to say.
_DOUBTFUL = (
    "Socket timed out",
    "Unable to contact slurm controller",
    "Zero Bytes were transmitted or received",
    "Communication connection failure",
    "Communication shutdown failure",
    "Message receive failure",
    "Message send failure",
    "Unexpected message received",
    "Insane message length",
    "Protocol authentication error",
    "Connection refused",
    "Connection reset by peer",
    "Connection timed out",
    "Transport endpoint is not connected",
    "Broken pipe",
    "backup controller in standby",
    "Resource temporarily unavailable",  # there are MaxJobCount jobs
    "temporarily unable to accept job",
)

#: What to do after some words of sbatch.
_HINTS = {
    "partition": "See the partitions with `slurm_partitions()`, or in a shell with `sinfo`.",
    "account": "Set `account=...` in SLURM(...); `sacctmgr show assoc user=$USER` lists yours.",
    "policy": (
        "`sacctmgr show assoc user=$USER` tells your limits. If it is the number of jobs, set "
        "`max_simultaneous_jobs` to what you may have."
    ),
    "limit": "`sacctmgr show assoc user=$USER` and `scontrol show partition` tell the limits.",
    "QOS": "Set `qos=...` in SLURM(...); `sacctmgr show assoc user=$USER` lists yours.",
    "node configuration": (
        "No node has so much: `sinfo --Node --long` shows cores and memory of each."
    ),
    "option": "Look at the options in `extra_scheduler`.",
}


def failure_of(answer: Finished, batch: Batch) -> SchedulerError:
    """Return the error for a submission that has failed."""
    words = answer.complaint
    if any(phrase in words for phrase in _DOUBTFUL):
        return SchedulerUnavailableError(
            f"It is not known whether sbatch has submitted jobs of '{batch.job_name}':\n"
            + textwrap.indent(words, "    ")
        )
    hint = next((hint for phrase, hint in _HINTS.items() if phrase in words), "")
    n = len(batch.numbers)
    return SubmissionRejectedError(
        f"sbatch refused the jobs of '{batch.job_name}' ({n} jobs, {batch.resources}):\n"
        f"{textwrap.indent(words, '    ')}\nScript: {batch.script_path}. {hint}".rstrip()
    )
