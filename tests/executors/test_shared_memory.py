"""Memory that processes share is not there any more when all of them are gone."""

from __future__ import annotations

import mmap
import uuid
from pathlib import Path

from adaptive_scheduler.executors.shared_memory import forget_names


def test_memory_that_is_shared_loses_its_name_and_serves_on():
    word = uuid.uuid4().hex
    mine, others = (Path("/dev/shm") / f"{name}-{word}" for name in ("mine", "others"))
    try:
        memories = []
        for path in (mine, others):
            path.write_bytes(b"shared")
            with path.open("r+b") as file:
                memories.append(mmap.mmap(file.fileno(), 0))
        forget_names(r"mine-\w+")
        assert not mine.exists()
        assert others.exists()
        assert memories[0][:] == b"shared"
    finally:
        others.unlink()
        mine.unlink(missing_ok=True)
