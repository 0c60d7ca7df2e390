"""What 10,000 jobs cost a Slurm controller: submit, list, cancel.

Beside arrays, the same with one call for each job, on the same cluster: one
that this benchmark starts, in a folder of its own, without root.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from report import CACHE, Report, make_parser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from adaptive_scheduler.scheduler import SLURM  # noqa: E402
from adaptive_scheduler.scheduler.jobs import Batch  # noqa: E402
from adaptive_scheduler.scheduler.slurm.commands import slurm_commands  # noqa: E402
from adaptive_scheduler.scheduler.slurm.queue import queue_command  # noqa: E402
from tests.cluster.slurm import ClusterConfig, SlurmCluster, temporary_cluster  # noqa: E402

#: Jobs of which each is submitted and cancelled by a call of its own.
_ALONE = 500
#: `MaxArraySize` of the rows: Slurm's default, and one that many sites have.
_DEFAULT_SIZE, _LARGE_SIZE = 1_001, 10_001


@contextmanager
def cluster_with(max_array_size: int, n_jobs: int) -> Iterator[SlurmCluster]:
    """Own a cluster whose controller takes so many jobs."""
    config = ClusterConfig(nodes=1, max_array_size=max_array_size, max_job_count=10 * n_jobs)
    with temporary_cluster(config) as cluster:
        os.environ.update(cluster.environment)
        yield cluster


def batch_of(scheduler: SLURM, n_jobs: int, folder: Path) -> Batch:
    """Return jobs that are held, so that none of them begins."""
    script = folder / "job.sbatch"
    script.write_text("#!/bin/bash\ntrue\n")
    return Batch(
        job_name="bench",
        numbers=tuple(range(n_jobs)),
        script=script.read_text(),
        script_path=script,
        resources=scheduler.resources(0),
        workdir=folder,
        log_folder=folder,
        token="benchmark",
    )


def measure_arrays(max_array_size: int, n_jobs: int) -> list[float | str]:
    """Return a row: how long it takes to submit, list and cancel jobs in arrays."""
    scheduler = SLURM(cores=1, extra_scheduler=["--hold"])
    with cluster_with(max_array_size, n_jobs) as cluster, folder_for_jobs() as folder:
        scheduler.partitions  # noqa: B018  asked for once in the life of a scheduler
        with cluster.counted() as calls:
            start = time.perf_counter()
            job_ids = scheduler.submit(batch_of(scheduler, n_jobs, folder))
            submitted = time.perf_counter()
            n_listed = len(scheduler.queue())
            listed = time.perf_counter()
            scheduler.cancel_ids(job_ids.values())
            cancelled = time.perf_counter()
        if not len(job_ids) == n_listed == n_jobs:
            raise RuntimeError(f"{len(job_ids)} jobs were submitted and {n_listed} listed.")
        return [
            f"arrays, MaxArraySize={max_array_size}",
            n_jobs,
            calls["sbatch"],
            submitted - start,
            calls["squeue"],
            listed - submitted,
            calls["scancel"],
            cancelled - listed,
        ]


def measure_alone(n_jobs: int) -> list[float | str]:
    """Return a row: the same with one sbatch and one scancel for each job."""
    with cluster_with(_DEFAULT_SIZE, n_jobs), folder_for_jobs() as folder:
        command = ["sbatch", "--parsable", "--hold", f"--output={folder}/%j.out", "--wrap=true"]
        start = time.perf_counter()
        job_ids = [slurm_commands().ask(command).strip() for _ in range(n_jobs)]
        submitted = time.perf_counter()
        slurm_commands().ask(queue_command(me_only=True))
        listed = time.perf_counter()
        for job_id in job_ids:
            slurm_commands().ask(["scancel", job_id])
        cancelled = time.perf_counter()
    return [
        "one call a job",
        n_jobs,
        n_jobs,
        submitted - start,
        1,
        listed - submitted,
        n_jobs,
        cancelled - listed,
    ]


@contextmanager
def folder_for_jobs() -> Iterator[Path]:
    """Give jobs a folder."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        yield Path(folder)


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    arguments = parser.parse_args()
    report = Report("slurm")
    n_alone = min(_ALONE, arguments.jobs)
    report.note(
        f"Held jobs on a cluster of one node. One call a job is measured with {n_alone} jobs: "
        f"{arguments.jobs:,} of them take {arguments.jobs // n_alone} times as long, and listing "
        "them likewise."
    )
    rows = [measure_arrays(size, arguments.jobs) for size in (_LARGE_SIZE, _DEFAULT_SIZE)]
    rows.append(measure_alone(n_alone))
    columns = ["", "jobs", "sbatch", "s", "squeue", "s", "scancel", "s"]
    report.table("Calls, and seconds for them", columns, rows)
    arrays, alone = rows[1], rows[2]
    per_job = [float(row[3]) / float(row[1]) for row in (arrays, alone)]
    report.bar("submit in arrays, times faster per job", per_job[1] / per_job[0], above=50)
    report.bar("seconds for 10,000 jobs, all three", sum(map(float, arrays[3::2])), below=10)
    if arguments.json:
        report.save(arguments.json)


if __name__ == "__main__":
    main()
