"""The fake PBS in the hands of a test."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.pbs.commands import tell_mom
from tests.cluster.pbs.state import BLANK, Job, create, server
from tests.cluster.processes import find, kill_all
from tests.whole_lines import whole_lines


class FakePBS:
    """A PBS in a folder, with one queue, whose jobs are real processes.

    Parameters
    ----------
    folder
        Where it lives.
    **settings
        See `SETTINGS`.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        create(folder, **settings)

    @property
    def path(self) -> str:
        """What PATH is with the commands of this PBS."""
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def set(self, **settings: Any) -> None:
        """Change settings."""
        with server(self.folder) as pbs:
            pbs.settings.update(settings)

    def job(self, job_id: str) -> Job:
        """Return what the server knows of a job."""
        with server(self.folder) as pbs:
            return pbs.jobs[job_id]

    def jobs(self) -> list[Job]:
        """Return what the server knows of all jobs that are no arrays."""
        with server(self.folder) as pbs:
            return [job for job in pbs.jobs.values() if not job["is_array"]]

    def calls(self, name: str) -> list[list[str]]:
        """Return the arguments with which a command was called."""
        calls = map(json.loads, whole_lines(self.folder / "calls.jsonl"))
        return [arguments for command, *arguments in calls if command == name]

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Let the server not answer; what it was asked for it does all the same."""
        with self._while("hung"):
            yield

    @contextmanager
    def down(self) -> Iterator[None]:
        """Let the server refuse connections; jobs go on."""
        with self._while("down"):
            yield

    @contextmanager
    def _while(self, name: str) -> Iterator[None]:
        (self.folder / name).touch()
        try:
            yield
        finally:
            (self.folder / name).unlink()

    def lose_next_answer(self) -> None:
        """Let the server die after it has taken the next submission."""
        (self.folder / "lose_answer").touch()

    def forget_wide_lines(self) -> None:
        """Let qstat be one that does not know ``-w``."""
        (self.folder / "old_qstat").touch()

    def forget_direct_output(self) -> None:
        """Let qsub be one that does not know ``-k d``."""
        (self.folder / "old_qsub").touch()

    def hold(self, job_id: str, comment: str) -> None:
        """Let the server hold a job or an array that waits."""
        with server(self.folder) as pbs:
            pbs.jobs[job_id].update(state="H", hold="s", comment=comment)

    def requeue(self, job_id: str) -> None:
        """Kill a job and put it back into the queue, as qrerun does."""
        with server(self.folder) as pbs:
            tell_mom(pbs.jobs[job_id], "requeue")

    def reach_walltime(self, job_id: str) -> None:
        """Let the time of a running job be over now."""
        with server(self.folder) as pbs:
            tell_mom(pbs.jobs[job_id], "overtime")

    def move(self, job_id: str) -> None:
        """Let a job have been moved to another server, where it runs."""
        with server(self.folder) as pbs:
            pbs.jobs[job_id]["is_moved"] = True

    def lose_node(self, name: str) -> None:
        """Let a node not answer any more; its processes go on."""
        with server(self.folder) as pbs:
            pbs.settings["lost_nodes"].append(name)

    def give_up_node(self, name: str) -> None:
        """Put the jobs of a lost node back into the queue, as after ``node_fail_requeue``."""
        with server(self.folder) as pbs:
            for job in pbs.jobs.values():
                if job["state"] == "R" and name in (job["nodes"] or ()):
                    job.update(state="Q", nodes=None, mom=None, request=None)

    def add_job_of(self, owner: str, name: str, **fields: Any) -> str:
        """Put a job of somebody else into the queue; it is held."""
        with server(self.folder) as pbs:
            number = pbs.new_number()
            some = {"owner": owner, "name": name, "state": "H", "hold": "u"}
            job = BLANK | {"id": f"{number}.pbs-head"} | some | fields
            pbs.jobs[job["id"]] = job
            return job["id"]

    def stop(self) -> None:
        """End all that was started here."""
        mark = f"FAKE_PBS={self.folder}".encode()
        kill_all(lambda: find(lambda environment: mark in environment))
