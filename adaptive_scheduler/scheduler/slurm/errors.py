"""What sbatch says when it fails, and what that means."""

from __future__ import annotations

from adaptive_scheduler.errors import SchedulerError
from adaptive_scheduler.scheduler.command import Finished
from adaptive_scheduler.scheduler.jobs import Batch
from adaptive_scheduler.scheduler.submitting import submission_error

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
    "Host name lookup failure",
    "backup controller in standby",
    "Resource temporarily unavailable",  # there are MaxJobCount jobs
    "temporarily unable to accept job",
)

#: What to do after some words of sbatch; the first that occur count.
_HINTS = {
    "nvalid partition": "`slurm_partitions()` tells which there are, as sinfo does in a shell.",
    "Invalid account": "Set `account=...`; `sacctmgr show assoc user=$USER` lists yours.",
    "SubmitJob": "Set `max_simultaneous_jobs` to the number of jobs that you may have.",
    "policy": "`sacctmgr show assoc user=$USER` and `scontrol show partition` tell your limits.",
    "Invalid qos": "Set `qos=...`; `sacctmgr show assoc user=$USER` lists yours.",
    "Invalid feature": "Set `constraint=...` to what `sinfo --format='%N %f'` shows of a node.",
    "generic resource": "Set `gpus=...` or `gres=...` to what `sinfo --format='%N %G'` shows.",
    "node configuration": "`sinfo --Node --long` shows the cores and the memory of each node.",
    "configuration source": "Log in to a machine that has the configuration of Slurm.",
    "unrecognized option": "Look at the options in `extra_scheduler`.",
}


def failure_of(answer: Finished, batch: Batch) -> SchedulerError:
    """Return the error for a submission that has failed."""
    return submission_error(
        answer.complaint, batch, command="sbatch", doubtful=_DOUBTFUL, hints=_HINTS
    )
