"""Do things as another user of this machine."""

from __future__ import annotations

import encodings.idna  # noqa: F401  for sockets, see `as_other_user`
import json
import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest

#: Whom no file belongs to.
OTHER_USER = "nobody"


def as_other_user(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns for another user of this machine.

    It runs in a fork of this process, so that the other user need not be able
    to read Python; what it imports must have been imported before.
    """
    if os.geteuid() != 0:
        pytest.skip("Only root can become somebody else.")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become(OTHER_USER)
            answer = {"value": function(*arguments)}
        except BaseException as error:  # noqa: BLE001  whatever it is, the parent is told
            answer = {"error": repr(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(pid, 0)
    answer = json.loads(text)
    assert "error" not in answer, answer
    return answer["value"]


def _become(name: str) -> None:
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def readable(paths: list[str]) -> list[str]:
    """Return the files and folders among these that this user can open."""
    found = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError:
            continue
        found.append(path)
    return found
