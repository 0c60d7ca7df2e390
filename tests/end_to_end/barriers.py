"""A function that waits twice, for tests that do something to its job meanwhile."""

from __future__ import annotations

from tests.end_to_end.ledger import Noted

#: Points before the first gate and before the second, and points in all.
FIRST, SECOND, N_POINTS = 20, 40, 50


class Barriers:
    """Files that let functions go on."""

    def __init__(self, folder):
        self.first, self.second = folder / "gate", folder / "second gate"

    def function(self, ledger, learner=0):
        """Return a function that waits after `FIRST` evaluations, and after `SECOND` ones."""
        late = Noted(ledger.with_name("late"), learner, free=SECOND, gate=self.second)
        return Noted(ledger, learner, free=FIRST, gate=self.first, function=late)
