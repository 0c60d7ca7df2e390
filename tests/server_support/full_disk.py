"""A disk without room, where a manager starts."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.server_support import database_manager


@contextmanager
def no_room_for_the_address():
    """Let nobody publish meanwhile where a manager is, and expect to be told so."""

    def fail(path, content):
        raise OSError(28, "No space left on device", str(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database_manager, "write_private", fail)
        with pytest.raises(RunFolderError, match="No space left"):
            yield
