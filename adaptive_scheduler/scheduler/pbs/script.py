"""What PBS is sent: a script begins with what it can be told in no other way.

A script of PBS takes no arguments, starts in the user's home folder, and its
output can't be given a name with the job's id in it. So a few lines of shell
come before the job script. qsub reads no options after them: all are given on
its command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from adaptive_scheduler.scheduler.jobs import Batch, JobArray
from adaptive_scheduler.scheduler.script import JobVariables
from adaptive_scheduler.scheduler.submitting import own_umask

#: What a job learns from its environment. PBS tells its id; the rest comes from the
#: lines before the script.
VARIABLES: Final = JobVariables(
    job_id="$PBS_JOBID",
    number="${ADAPTIVE_SCHEDULER_NUMBER:-${PBS_ARRAY_INDEX:-0}}",
    restarts="${ADAPTIVE_SCHEDULER_RESTARTS:-0}",
    cores="${NCPUS:-}",
    # The file names a node for each process.
    slots='$(wc -w < "${PBS_NODEFILE:-/dev/null}")',
)

#: A line in the output of a job that PBS has started again. PBS tells jobs of
#: no count of their starts, so these lines are counted.
_AGAIN: Final = "adaptive_scheduler: PBS has started this job again"


def sent_script(batch: Batch, jobs: JobArray, more: Sequence[str] = ()) -> str:
    """Return what is sent for some jobs of a batch: the lines before the script, and the script.

    Parameters
    ----------
    batch, jobs
        What is submitted.
    more
        Lines that come last before the script.
    """
    output = shlex.quote(f"{batch.log_folder}/{batch.job_name}-")
    umask = own_umask()
    number = f"${{PBS_ARRAY_INDEX:-${{PBS_ARRAYID:-{jobs.numbers[0]}}}}}"
    lines = [
        "#!/bin/bash",
        f'export ADAPTIVE_SCHEDULER_NUMBER="{number}"',
        "export ADAPTIVE_SCHEDULER_RESTARTS=0",
        f'_output={output}"$ADAPTIVE_SCHEDULER_NUMBER-$PBS_JOBID.out"',
        'if [ -e "$_output" ]; then',
        f"    echo '{_AGAIN}' >> \"$_output\"",
        f"    ADAPTIVE_SCHEDULER_RESTARTS=$(grep -acxF '{_AGAIN}' \"$_output\")",
        "fi",
        'exec >> "$_output" 2>&1',
        "" if umask is None else f"umask {umask:04o}",
        f"export PBS_O_WORKDIR={shlex.quote(str(batch.workdir))}",
        'cd -- "$PBS_O_WORKDIR" || exit',
        *more,
    ]
    return "\n".join(lines) + "\n" + batch.script
