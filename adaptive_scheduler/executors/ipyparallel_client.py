"""Clients of a cluster of ipyparallel that the user has started."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import ConnectionLostError
from adaptive_scheduler.executors.kinds import check_installed

if TYPE_CHECKING:
    import ipyparallel

#: Seconds between two tries to connect.
_PAUSE = 0.5


def connect_to_ipyparallel(
    n: int,
    profile: str,
    timeout: float = 300,
    folder: str | Path | None = None,
    client_kwargs: Mapping[str, Any] | None = None,
) -> ipyparallel.Client:
    """Return a client of a cluster, as soon as it has engines enough.

    Parameters
    ----------
    n
        How many engines to wait for.
    profile
        The profile of IPython in which the cluster was started.
    timeout
        Seconds to wait for the cluster and its engines.
    folder
        A folder from which the engines shall be able to import.
    client_kwargs
        Further arguments for `ipyparallel.Client`.

    Raises
    ------
    MissingPackageError
        If ipyparallel is not installed.
    ConnectionLostError
        If there are not so many engines in time.
    """
    check_installed("ipyparallel")
    deadline = time.monotonic() + timeout
    client = _connect(profile, deadline, dict(client_kwargs or {}))
    while len(client.ids) < n:
        if time.monotonic() > deadline:
            n_engines = len(client.ids)
            client.close()
            raise ConnectionLostError(
                f"The cluster of profile {profile!r} has {n_engines} of {n} engines after "
                f"{timeout:g} s."
            )
        time.sleep(_PAUSE)
    if folder is not None:
        client[:].apply_sync(_import_from, str(Path(folder).absolute()))
    return client


def _connect(profile: str, deadline: float, client_kwargs: dict[str, Any]) -> Any:
    import ipyparallel

    while True:
        try:
            return ipyparallel.Client(profile=profile, **client_kwargs)
        except OSError as error:  # there is no connection file yet, or no controller
            if time.monotonic() > deadline:
                raise ConnectionLostError(
                    f"There is no cluster in the profile {profile!r}: {error}. Start it with "
                    f"`ipcluster start --profile={profile}`."
                ) from error
        time.sleep(_PAUSE)


def _import_from(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)
