"""Large runs, played with a virtual clock: nothing is lost, done twice, or left idle."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server_support.fake_manager import check_consistency
from tests.server_support.simulated import Simulation, Site


def check_done(run):
    """Check that each learner was done, once, and the state knows."""
    n_learners = len(run.state.learners)
    assert run.state.learners.is_complete
    assert all(entry.state == "done" for entry in run.state.learners)
    assert set(run.n_done) == set(range(n_learners))
    assert set(run.n_done.values()) == {1}
    check_consistency(run.state)


def test_no_slot_is_idle_while_a_learner_waits():
    site = Site(slots=500, start_up=10)
    run = Simulation(20_000, site, duration=600, max_jobs=500).run()
    check_done(run)
    assert run.elapsed == pytest.approx(site.start_up + 600 * 20_000 / 500)
    # Warm jobs take one learner after the other: none is submitted again.
    assert run.counts["jobs"] == 500
    assert run.counts["submissions"] == 1


def test_jobs_that_reach_their_time_limit_are_followed_by_others():
    site = Site(slots=200, start_up=10, time_limit=3600)
    run = Simulation(5_000, site, duration=600, max_jobs=300).run()
    check_done(run)
    assert run.most_jobs <= 300
    learners_a_job = (site.time_limit - site.start_up) // 600
    assert run.counts["jobs"] >= math.ceil(5_000 / (learners_a_job + 1))


def test_learners_whose_jobs_are_killed_are_done_by_others():
    run = Simulation(5_000, Site(slots=500, crashes=0.1), max_jobs=600, max_fails=1000).run()
    check_done(run)
    assert run.counts["crashes"] > 300
    assert run.most_jobs <= 600


def test_learners_that_fail_again_and_again_are_given_up_and_the_run_ends():
    run = Simulation(50, Site(slots=20, crashes=1.0), max_fails=3).run()
    assert all(entry.state == "failed" for entry in run.state.learners)
    assert run.n_done == {}


@settings(max_examples=25)
@given(
    n_learners=st.integers(1, 60),
    max_jobs=st.integers(1, 40),
    site=st.builds(
        Site,
        slots=st.integers(1, 20),
        crashes=st.sampled_from([0.0, 0.2, 0.6]),
        time_limit=st.sampled_from([700.0, 2_000.0, 86_400.0]),
    ),
    seed=st.integers(0, 100),
)
def test_every_run_ends_with_all_learners_done(n_learners, max_jobs, site, seed):
    run = Simulation(n_learners, site, max_jobs=max_jobs, max_fails=10_000, seed=seed).run()
    check_done(run)
    assert run.most_jobs <= max_jobs
