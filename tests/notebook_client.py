"""Run notebooks from top to bottom, as `nbclient` does, and miss no answer of their kernels."""

from __future__ import annotations

import math
import time
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets import Type

#: Seconds after which a channel looks by itself whether a message has come.
_LOOK_AGAIN = 1.0


class PatientChannel(AsyncZMQSocketChannel):
    """A channel that finds its messages though it was not woken.

    A socket of zmq wakes who reads from it once. Rarely, that is missed (seen with pyzmq 27.3
    and ipykernel 7.4): the kernel's answer lies in the socket, and the client waits for it.
    """

    async def get_msg(  # the signature of the channel that it is
        self,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> dict[str, Any]:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return await super().get_msg(min(_LOOK_AGAIN, max(left, 0.0)))
            except Empty:
                if left <= _LOOK_AGAIN:
                    raise


class _Client(AsyncKernelClient):
    shell_channel_class = Type(PatientChannel)
    iopub_channel_class = Type(PatientChannel)


class _Manager(AsyncKernelManager):
    client_factory = Type(_Client)


def execute(path: Path, folder: Path, timeout: float = 120) -> nbformat.NotebookNode:
    """Run a notebook in a folder and return it with its outputs; a cell has `timeout` seconds."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        kernel_manager_class=_Manager,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook
