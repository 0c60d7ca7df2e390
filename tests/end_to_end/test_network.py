"""Jobs and managers on hosts of their own, and what networks do to them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from adaptive_scheduler.learners.storage import load_parallel
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.outbox import Outbox
from tests.end_to_end.barriers import FIRST, N_POINTS, SECOND, Barriers
from tests.end_to_end.far_manager import make_learner
from tests.end_to_end.hosts import Cable, Host
from tests.end_to_end.ledger import Ledger
from tests.end_to_end.looking import points, records, said, saved_points
from tests.end_to_end.schedulers import Played
from tests.waiting import PATIENCE, wait_until

#: Only the end of a job makes it save.
NEVER = 3600

DATA = Path("data/0.pickle")
RUN = Path("run-run")


class Cluster:
    """Hosts, and the run in a folder that they share."""

    def __init__(self, folder):
        self.folder = folder
        self.queue = Played(folder / "queue")
        self.queue.folder.mkdir()
        self.hosts = []

    def host(self, name):
        self.hosts.append(Host(name))
        return self.hosts[-1]

    def start_manager(self, host, save_interval=1):
        module = ("-m", "tests.end_to_end.far_manager")
        return host.python(*module, self.folder, save_interval, folder=self.folder)

    def start_job(self, host):
        """Start the job that waits in the queue, and return its id and its process."""
        (job_id,) = wait_until(self.queue.queue)
        options = {"run-folder": self.folder / RUN, "job-id": job_id, "number": 0}
        words = [f"--{name}={value}" for name, value in options.items()]
        module = ("-m", "adaptive_scheduler.run_learner")
        return job_id, host.python(*module, *words, folder=self.folder)


@pytest.fixture
def cluster(here):
    cluster = Cluster(here)
    yield cluster
    for host in cluster.hosts:
        host.close()


@pytest.fixture
def barriers(here):
    return Barriers(here)


def n_saved():
    return len(saved_points(make_learner(Path.cwd()), DATA)) if DATA.exists() else 0


def check_that_all_is_well(ledger, *processes):
    assert [process.wait(PATIENCE) for process in processes] == [0] * len(processes)
    assert ledger.points(0) == set(range(N_POINTS))
    assert n_saved() == N_POINTS
    assert len(records(events.Done)) == 1
    # The answer of a busy manager may come when the job has already left the same in the outbox.
    left = [message for _, message in Outbox(RUN / "outbox").messages()]
    assert all(isinstance(message, messages.Done) for message in left)


def test_a_job_that_is_cut_off_computes_on_and_repeats_what_was_not_answered(
    cluster, ledger, barriers
):
    here, there = cluster.host("here"), cluster.host("there")
    cable = Cable(here, there, 1)
    manager = cluster.start_manager(here)
    job_id, job = cluster.start_job(there)
    wait_until(lambda: len(ledger.points(0)) == FIRST)
    cable.pull()
    barriers.first.touch()
    wait_until(lambda: n_saved() == SECOND)
    barriers.second.touch()
    wait_until(lambda: said("reports"))
    assert records(events.Done) == []
    cable.plug()
    wait_until(lambda: records(events.Done))
    assert job.wait(PATIENCE) == 0
    cluster.queue.end(job_id)
    check_that_all_is_well(ledger, manager)
    assert ledger.twice() == []
    assert said("left a report in the outbox") == []


def test_a_manager_that_went_to_another_host_is_found_there(cluster, ledger, barriers):
    first, second, there = (cluster.host(name) for name in ("first", "second", "there"))
    Cable(first, there, 1)
    cable = Cable(second, there, 2)
    manager = cluster.start_manager(first)
    job_id, job = cluster.start_job(there)
    wait_until(lambda: len(ledger.points(0)) == FIRST)
    manager.kill()
    manager.wait()
    barriers.first.touch()
    wait_until(lambda: n_saved() == SECOND)  # nobody is needed for that
    manager = cluster.start_manager(second)
    wait_until(lambda: f"tcp://{cable.address}:" in (RUN / "connection.json").read_text())
    barriers.second.touch()
    wait_until(lambda: records(events.Done))
    assert job.wait(PATIENCE) == 0
    cluster.queue.end(job_id)
    check_that_all_is_well(ledger, manager)
    assert ledger.twice() == []
    assert len(records(events.Assigned)) == 1  # it has kept its learner all along


def test_a_job_that_was_cut_off_for_long_keeps_its_points_beside_those_of_the_next(
    cluster, ledger, barriers
):
    here, there = cluster.host("here"), cluster.host("there")
    Cable(here, there, 1)
    manager = cluster.start_manager(here, save_interval=NEVER)
    old_id, old = cluster.start_job(there)
    wait_until(lambda: len(ledger.points(0)) == FIRST)
    wait_until(lambda: len(ledger.begun(0)) == FIRST + 1)
    old.send_signal(signal.SIGSTOP)
    cluster.queue.end(old_id)  # a node that does not answer is down, the scheduler says
    new_id, new = cluster.start_job(there)
    wait_until(lambda: len(records(events.Assigned)) == 2)
    barriers.first.touch()
    late = Ledger(ledger.path.with_name("late"))
    # The worker of the old job, which is not stopped, may be among them.
    wait_until(lambda: len(late.begun(0)) > SECOND)
    old.send_signal(signal.SIGCONT)
    assert old.wait(PATIENCE) == 0
    (beside,) = wait_until(lambda: list(DATA.parent.glob("*")))
    assert beside.name == f"{DATA.name}.superseded-1-{old_id}"
    learner = make_learner(Path.cwd())
    mine = saved_points(learner, beside)
    assert mine >= set(range(FIRST))
    with pytest.warns(UserWarning, match=f"has brought {len(mine)} points"):
        load_parallel([learner], [DATA], with_progress_bar=False)
    assert points(learner) == mine
    barriers.second.touch()
    assert new.wait(PATIENCE) == 0
    cluster.queue.end(new_id)
    check_that_all_is_well(ledger, manager)
    assert said("superseded")
