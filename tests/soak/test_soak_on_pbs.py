"""The same on PBS, in short; ``python -m tests.soak --scheduler pbs`` takes as long as asked."""

from __future__ import annotations

from tests.soak.pbs_site import PbsSite
from tests.soak.soak import Soak

#: As many as there are kinds that need no rights of root: each strikes once.
N_FAULTS = 12
#: Seconds for all of it: only what hangs takes longer.
PATIENCE = 1500


def test_a_hundred_learners_on_pbs_in_every_kind_of_trouble_lose_no_point(pbs, tmp_path):
    (tmp_path / "disk").mkdir()
    said = []
    soak = Soak(
        PbsSite(pbs),
        tmp_path,
        seed=1,
        n_learners=100,
        n_points=20,
        say=said.append,
        owns_disk=False,
        owns_network=False,
    )
    report = soak.run(N_FAULTS, PATIENCE)
    assert not report.wrong, "\n".join([*said, str(report)])
    assert report.lost == 0
    assert report.faults.total() == N_FAULTS
