"""A warning shows the line of the user's program that it is about."""

from __future__ import annotations

import adaptive
import pytest

from adaptive_scheduler import RunManager, utils
from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.scheduler import Local


def learner():
    return adaptive.Learner1D(float, (0, 1))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda: warn_user("careful"), "careful"),
        (lambda: utils.smart_goal(None, [learner()]), "Without a goal"),
        (lambda: utils.load_dataframes(["nowhere.pickle"]), "do not exist"),
        (lambda: RunManager(Local(), [learner()], ["a.pickle"]), "Without a goal"),
    ],
    ids=["warn_user", "smart_goal", "load_dataframes", "RunManager"],
)
def test_it_shows_the_line_outside_of_the_package(what, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=words) as warned:
        what()
    assert {warning.filename for warning in warned} == {__file__}
