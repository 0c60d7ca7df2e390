"""Bars are shown where somebody looks, in a form that suits the place."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from adaptive_scheduler._common import progress
from adaptive_scheduler._common.progress import bars, track_file_creation_progress, tracked

PATIENCE = 60


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


def lines(screen):
    """Return name and count of each bar at the end."""
    words = [line.split() for line in screen.getvalue().splitlines() if line.strip()]
    return {w[0]: next(word for word in w if "/" in word) for w in words}


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


def test_it_ends_when_all_files_are_there(tmp_path, screen):
    async def main():
        task = track_file_creation_progress(
            {"a": {tmp_path / "a1", tmp_path / "a2"}, "b": {tmp_path / "b"}}, interval=0.001
        )
        for name in ["a1", "b"]:
            (tmp_path / name).touch()
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done
        (tmp_path / "a2").touch()
        await task

    run(main())
    assert lines(screen) == {"Total": "3/3", "a": "2/2", "b": "1/1"}


def test_files_of_a_tuple_count_as_one(tmp_path, screen):
    paths = tuple(tmp_path / name for name in "xyz")
    for path in paths:
        path.touch()
    run(await_task({"all": {paths}}))
    assert lines(screen) == {"all": "1/1"}


def test_a_tuple_is_missing_as_long_as_one_of_its_files_is(tmp_path, screen):
    paths = tuple(tmp_path / name for name in "xyz")
    for path in paths[:-1]:
        path.touch()

    async def main():
        task = track_file_creation_progress({"all": {paths}}, interval=0.001)
        await asyncio.wait([task], timeout=0.05)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert lines(screen) == {"all": "0/1"}


def test_a_file_that_was_seen_counts_even_if_it_goes_away(tmp_path, screen, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    exists = type(first).exists

    def vanishing(path):
        found = exists(path)
        if found and path == first:
            path.unlink()
            second.touch()
        return found

    monkeypatch.setattr(type(first), "exists", vanishing)
    run(await_task({"all": [first, second]}))
    assert not exists(first)


def test_what_is_given_is_not_changed(tmp_path, screen):
    (tmp_path / "a").touch()
    groups = {"a": {tmp_path / "a"}}
    run(await_task(groups))
    assert groups == {"a": {tmp_path / "a"}}


@pytest.mark.parametrize("groups", [{}, {"a": set()}])
def test_nothing_to_wait_for_ends_at_once(groups, screen):
    run(await_task(groups))


def test_names_and_text_in_brackets_are_shown_as_they_are(tmp_path, screen):
    (tmp_path / "a").touch()
    run(await_task({"[red]": [str(tmp_path / "a")]}))
    assert lines(screen) == {"[red]": "1/1"}


def test_two_can_be_shown_at_a_time(tmp_path):
    (tmp_path / "a").touch()
    groups = {"a": {tmp_path / "a"}}

    async def main():
        await asyncio.gather(*(track_file_creation_progress(groups) for _ in range(2)))

    run(main())


def test_it_needs_an_event_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        track_file_creation_progress({})


async def await_task(groups):
    await track_file_creation_progress(groups, interval=0.001)
