"""Bars are shown where somebody looks, in a form that suits the place."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from adaptive_scheduler._common import progress
from adaptive_scheduler._common.progress import bars, tracked


@pytest.fixture
def screen(monkeypatch):
    """Have the bars of a terminal shown in a string."""
    out = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda: Console(file=out, width=100))
    return out


class Notebook:
    """Takes what is displayed, in place of a page."""

    def __init__(self):
        self.looks = []

    def display(self, look, *, raw, display_id):
        assert raw
        assert display_id
        self.looks.append(look)
        return self

    def update(self, look, *, raw):
        assert raw
        self.looks.append(look)


@pytest.fixture
def notebook(monkeypatch):
    page = Notebook()
    monkeypatch.setattr(progress, "in_kernel", lambda: True)
    monkeypatch.setattr("IPython.display.display", page.display)
    return page


def test_all_items_are_gone_through(screen):
    assert list(tracked([3, 1, 2], "Loading")) == [3, 1, 2]
    assert "Loading" in screen.getvalue()
    assert "3/3" in screen.getvalue()


def test_nothing_is_shown_that_is_not_wanted(screen, notebook):
    items = [3, 1, 2]
    assert tracked(items, "Loading", shown=False) is items
    assert screen.getvalue() == ""
    assert notebook.looks == []


def test_a_notebook_keeps_how_far_it_was_in_the_end(notebook):
    assert list(tracked(range(1_000), "Loading")) == list(range(1_000))
    assert notebook.looks[0]["text/plain"] == "Loading: 0 of 1,000"
    assert notebook.looks[-1]["text/plain"] == "Loading: 1,000 of 1,000"
    assert 'value="1000" max="1000"' in notebook.looks[-1]["text/html"]


def test_a_notebook_is_not_flooded(notebook, monkeypatch):
    monkeypatch.setattr(progress, "_PAUSE", 1e9)
    list(tracked(range(1_000), "Loading"))
    assert len(notebook.looks) <= 3


def test_a_loop_that_fails_leaves_how_far_it_has_come(notebook):
    def fail():
        for number in tracked(range(10), "Loading"):
            if number == 4:
                raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert notebook.looks[-1]["text/plain"] == "Loading: 4 of 10"


def test_bars_stand_below_each_other_and_names_are_no_markup(notebook):
    with bars() as shown:
        first, second = shown.add("[red]<b>", 2), shown.add("other", None)
        shown.update(first, 1)
        shown.update(second, 3, total=7)
    assert notebook.looks[-1]["text/plain"] == "[red]<b>: 1 of 2\nother: 3 of 7"
    assert "[red]&lt;b&gt;" in notebook.looks[-1]["text/html"]


def test_names_are_no_markup_in_a_terminal(screen):
    list(tracked([1], "[red]<b>"))
    assert "[red]<b>" in screen.getvalue()
