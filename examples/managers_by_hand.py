"""Two managers without a RunManager: for those who want to hold the parts themselves.

    python managers_by_hand.py

A ``DatabaseManager`` gives the jobs their learners; a ``JobManager`` submits them.
"""

import time
from functools import partial

import adaptive

from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support import (
    DatabaseManager,
    JobManager,
    get_allowed_url,
    parse_log_files,
)
from adaptive_scheduler.utils import combo2fname


def peak(x, offset, width):
    """Return what is expensive in your own work."""
    return x + width**2 / (width**2 + (x - offset) ** 2)


combos = adaptive.utils.named_product(offset=[-0.5, 0.5], width=[0.05, 0.1])
learners = [adaptive.Learner1D(partial(peak, **combo), bounds=(-1, 1)) for combo in combos]
fnames = [combo2fname(combo, folder="data") for combo in combos]

scheduler = Local(cores=1)
job_names = [f"by-hand-{i}" for i in range(len(learners))]
url = get_allowed_url()
database_manager = DatabaseManager(url, scheduler, "running.json", learners, fnames)
database_manager.start()
job_manager = JobManager(
    job_names, database_manager, scheduler, save_interval=300, log_interval=30, goal=0.01
)
job_manager.start()

while not database_manager.is_done():
    time.sleep(0.5)

print(parse_log_files(database_manager, scheduler)[["fname", "npoints", "latest_loss"]])
scheduler.cancel(job_names)
