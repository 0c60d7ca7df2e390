"""Tokens say to which run a job belongs."""

from __future__ import annotations

import re

from adaptive_scheduler.scheduler.jobs import new_token, run_id_of

RUN_ID = "0123456789abcdef"


def test_a_token_holds_the_id_of_its_run_and_is_new_each_time():
    tokens = {new_token(RUN_ID) for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(rf"{RUN_ID}\.[0-9a-f]{{8}}", token) for token in tokens)
    assert {run_id_of(token) for token in tokens} == {RUN_ID}


def test_jobs_of_no_run_and_of_strangers_have_no_run_id():
    assert run_id_of(new_token("")) == ""
    assert run_id_of("") == ""
    assert run_id_of("0f1e2d3c4b5a69788796a5b4c3d2e1f0") == ""
