"""A run's folder on NFS, with a real server, a real client, and two hosts."""

from __future__ import annotations

import pytest

from tests.nfs.guest import python_in_guest

#: Seconds for a machine that is busy with other tests.
PATIENCE = 400


@pytest.mark.timeout(PATIENCE + 60)
def test_what_a_run_rests_on_holds_between_two_hosts_that_share_a_disk_by_nfs():
    said: list[str] = []
    pytest_inside = [
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--confcutdir=tests/nfs",
        "tests/nfs/inside",
    ]
    code = python_in_guest(pytest_inside, seconds=PATIENCE, say=said.append)
    assert code == 0, "\n".join(said)
