"""The dashboard in a browser: it lives, it obeys, and it stays on this machine."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from adaptive_scheduler.scheduler import Local
from tests.waiting import wait_until

RUN = """
from functools import partial
from pathlib import Path

import adaptive
from adaptive_scheduler import RunManager, scheduler
from tests.end_to_end.ledger import Noted


def make_run(name, n_learners=4, first_raises=None, **keywords):
    folder = Path(name).absolute()
    folder.mkdir()
    gate = folder / "gate"
    learners = [
        adaptive.SequenceLearner(
            Noted(folder / "ledger", i, free=3, gate=gate, raises=None if i else first_raises),
            list(range(10)),
        )
        for i in range(n_learners)
    ]
    fnames = [folder / "data" / f"{i}.pickle" for i in range(n_learners)]
    return RunManager(
        scheduler.Local(cores=1, max_cores=2, executor_type="sequential", kill_wait=2),
        learners, fnames,
        job_name=name, job_manager_interval=1, log_interval=0.2, save_interval=1,
        kill_on_error=None, quiet=True, **keywords,
    )
"""

#: Two runs that are looked at together.
RUNS = ("first", "second")

#: A cell that computes. What the status bar says of the kernel is true of its last message only.
BUSY_CELL = ".jp-InputArea-prompt:has-text('[*]')"


@pytest.fixture
def spool(lab, monkeypatch):
    """Let the test see the jobs that the notebooks have started."""
    spool = lab.notebooks.parent / "spool"
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(spool))
    return spool


def strip(page):
    return page.locator(".as-strip").first


def pages_in(notebook):
    """Return what a notebook has saved of the runs in its second cell."""
    outputs = nbformat.read(notebook, 4).cells[1].outputs
    widget, *pages = (output.data for output in outputs if output.output_type == "display_data")
    assert widget["text/plain"] == widget["text/html"] == ""
    return pages


def jobs_of(name):
    return [i for i, job in Local().queue().items() if job["job_name"].startswith(f"{name}-")]


def test_the_dashboard_of_a_real_run_changes_while_a_cell_computes(lab, chromium):
    gate = lab.notebooks / "live" / "gate"
    busy = f"import os, time\nwhile not os.path.exists({str(gate)!r} + '-seen'): time.sleep(0.05)"
    lab.write("live.ipynb", RUN, "run = make_run('live')\nrun.start()", busy)

    def act(visit):
        visit.open_lab(lab.url("live.ipynb"))
        visit.run_all()
        expect(strip(visit.page)).to_contain_text(re.compile(r"2 running"))
        expect(visit.page.locator(".as-row .as-state", has_text="running")).to_have_count(2)
        expect(visit.page.locator(BUSY_CELL)).to_have_count(1)
        visit.screenshot("live")
        gate.touch()
        expect(strip(visit.page)).to_contain_text("finished")
        expect(strip(visit.page)).to_contain_text("points40")
        expect(visit.page.locator(".as-saved .as-status")).to_have_text("finished")
        expect(visit.page.locator(BUSY_CELL)).to_have_count(1)
        gate.with_name("gate-seen").touch()
        expect(visit.page.locator(BUSY_CELL)).to_have_count(0)
        visit.save()

    chromium.look(act)
    (page,) = pages_in(lab.notebooks / "live.ipynb")
    assert "finished" in page["text/html"]
    assert "finished" in page["text/plain"]


#: Renews what is saved more often than a user would want, and writes between the outputs.
OFTEN = """
from adaptive_scheduler.widgets import html

html.INTERVAL = 0.5
page_of = html.page_of
html.page_of = lambda *a, **k: (print("Others write, too."), page_of(*a, **k))[1]
"""

#: What the page of an export looks for elsewhere, and what Jupyter says of widgets that are gone.
NO_WIDGET = "cdnjs|jsdelivr|NAME_NOT_RESOLVED|MathJax|require|widget model not found"

#: Returns how high the output is that an element belongs to.
HEIGHT = "(node) => node.closest('.jp-OutputArea-child').getBoundingClientRect().height"
#: The page is renewed all the time: it may be another by the next question.
SAVED_TAKES_NO_ROOM = f"""() => {{
    const page = document.querySelector('.as-saved');
    return page && ({HEIGHT})(page) === 0;
}}"""


def test_a_notebook_that_is_saved_in_the_middle_of_a_run_shows_how_it_was_then(lab, chromium):
    lab.write("middle.ipynb", RUN + OFTEN, "run = make_run('middle')\nrun.start()")
    path = lab.notebooks / "middle.ipynb"

    def run(visit):
        page = visit.page
        visit.open_lab(lab.url("middle.ipynb"))
        visit.run_all()
        saved = page.locator(".as-saved")
        expect(strip(page)).to_be_visible()
        page.evaluate("() => { document.querySelector('.as-dashboard').isStillThere = true; }")
        visit.save()
        expect(saved).to_contain_text("points6")
        expect(page.locator(".as-strip:visible")).to_have_count(1)
        page.wait_for_function(SAVED_TAKES_NO_ROOM)
        visit.save()
        assert page.evaluate("() => document.querySelector('.as-dashboard').isStillThere")
        path.with_name("middle-left.ipynb").write_text(path.read_text())

    def come_back(visit):
        page = visit.page
        visit.open_lab(lab.url("middle.ipynb"))
        expect(strip(page).locator(".as-status")).to_have_text("running")
        (lab.notebooks / "middle" / "gate").touch()
        expect(page.locator(".as-saved .as-status")).to_have_text("finished")
        expect(page.locator(".as-strip:visible")).to_have_count(1)
        visit.save()

    def see_how_it_was(page):
        expect(page.locator(".as-saved")).to_be_visible()
        expect(page.locator(".as-saved .as-facts")).to_contain_text("points6")
        expect(page.locator(".as-saved .as-status")).to_have_text("running")
        assert page.locator(".as-strip").count() == 1
        assert page.locator(".jp-OutputArea-child").first.evaluate(HEIGHT) == 0

    def open_without_kernel(visit):
        visit.open_lab(lab.url("middle-left.ipynb"))
        expect(visit.page.get_by_text("Error displaying widget")).to_be_attached()
        expect(visit.page.get_by_text("Error displaying widget")).to_be_hidden()
        see_how_it_was(visit.page)
        visit.screenshot("saved")

    def open_export(visit):
        html, _ = HTMLExporter().from_filename(path.with_name("middle-left.ipynb"))
        visit.page.set_content(html, wait_until="domcontentloaded")
        see_how_it_was(visit.page)
        visit.screenshot("exported")

    chromium.look(run)
    chromium.look(open_without_kernel, tolerates=NO_WIDGET)
    chromium.look(open_export, tolerates=NO_WIDGET)
    chromium.look(come_back)
    (page,) = pages_in(path)
    assert ">finished</span>" in page["text/html"]


def test_runs_stand_behind_each_other_and_each_is_steered_in_its_tab(lab, chromium, spool):
    make = "from adaptive_scheduler import MultiRunManager\n"
    make += "runs = MultiRunManager([make_run('first'), make_run('second', n_learners=2)])\n"
    lab.write("several.ipynb", RUN, make + "runs.start_all()\nruns.info()")

    def act(visit):
        page = visit.page
        visit.open_lab(lab.url("several.ipynb"))
        visit.run_all()
        tabs = page.locator(".as-tabs").first
        first, second = (tabs.get_by_label(f"Run {name}", exact=True) for name in RUNS)
        expect(first).to_contain_text("4 learners")
        expect(second).not_to_be_visible()
        page.get_by_role("tab", name="second", exact=True).click()
        expect(second).to_contain_text("2 learners")
        expect(first).not_to_be_visible()
        visit.screenshot("several")
        wait_until(lambda: len(jobs_of("second")) == 2)  # none is submitted later
        page.get_by_role("button", name="Pause", exact=True).locator("visible=true").click()
        expect(second.locator(".as-status")).to_have_text("paused")
        for name in RUNS:
            (lab.notebooks / name / "gate").touch()
        page.get_by_role("tab", name="first", exact=True).click()
        expect(first.locator(".as-status")).to_have_text("finished")
        expect(page.locator(".as-saved .as-status-finished")).to_have_count(2)
        expect(page.locator(".as-strip:visible")).to_have_count(1)
        visit.save()

    chromium.look(act)
    wait_until(lambda: not jobs_of("first"))
    (saved,) = pages_in(lab.notebooks / "several.ipynb")
    assert saved["text/html"].count(">finished</span>") == len(RUNS)


#: What these pages ask for or stumble over, whatever they show. Voila loads the extensions
#: of JupyterLab, and not all that these need.
AFFAIRS = {
    "notebook": "reading 'schema'",
    "voila": "fontawesome-free|NAME_NOT_RESOLVED|[Ss]hared module|failed to activate|No provider",
}


@pytest.mark.parametrize("kind", ["notebook", "voila"])
def test_other_pages_show_the_dashboard_as_well(kind, serve, chromium):
    server = serve(kind)
    name = f"in-{kind}"
    server.write(f"{name}.ipynb", RUN, f"run = make_run('{name}')\nrun.start()")

    def act(visit):
        page = visit.page
        if kind == "voila":
            page.goto(server.url(f"{name}.ipynb"))
        else:
            visit.open_lab(server.url(f"{name}.ipynb"))
            visit.run_all()
        expect(strip(page)).to_contain_text("2 running")
        expect(page.locator(".as-row .as-state", has_text="running")).to_have_count(2)
        visit.screenshot(name)
        (server.notebooks / name / "gate").touch()
        expect(strip(page).locator(".as-status")).to_have_text("finished")

    chromium.look(act, tolerates=AFFAIRS[kind])


def test_cancelling_asks_first_and_then_cancels_the_jobs(lab, chromium, spool):
    lab.write("cancel.ipynb", RUN, "run = make_run('cancel')\nrun.start()")

    def act(visit):
        page = visit.page
        visit.open_lab(lab.url("cancel.ipynb"))
        visit.run_all()
        expect(strip(page)).to_contain_text("2 running")
        page.get_by_role("button", name="Cancel ...").click()
        expect(page.get_by_text("Cancel the whole run and its 4 jobs?")).to_be_visible()
        visit.screenshot("cancel")
        page.get_by_role("button", name="No, let it go on").click()
        expect(page.get_by_text("Nothing was cancelled.")).to_be_visible()
        assert len(jobs_of("cancel")) == 4
        page.get_by_role("button", name="Cancel ...").click()
        page.get_by_role("button", name="Yes, cancel the run").dblclick()
        expect(page.get_by_text("The run is cancelled.")).to_be_visible()
        expect(strip(page).locator(".as-status")).to_have_text("cancelled")

    chromium.look(act)
    wait_until(lambda: not jobs_of("cancel"))


def test_learners_that_are_selected_are_cancelled_and_retried(lab, chromium, spool):
    lab.write("some.ipynb", RUN, "run = make_run('some')\nrun.start()")

    def act(visit):
        page = visit.page
        visit.open_lab(lab.url("some.ipynb"))
        visit.run_all()
        expect(strip(page)).to_contain_text("2 running")
        page.locator(".as-row .as-index", has_text="3").click()
        page.get_by_role("button", name="Cancel selected ...").click()
        page.get_by_role("button", name="Yes, cancel 1 selected learner").click()
        expect(strip(page)).to_contain_text("1 cancelled")
        page.get_by_role("button", name="Retry selected").click()
        expect(page.get_by_text("1 learner will be tried again.")).to_be_visible()
        page.get_by_role("button", name="Pause").click()
        expect(strip(page).locator(".as-status")).to_have_text("paused")
        page.get_by_role("button", name="Resume").click()
        expect(strip(page).locator(".as-status")).to_have_text("running")
        (lab.notebooks / "some" / "gate").touch()
        expect(strip(page).locator(".as-status")).to_have_text("finished")
        page.get_by_role("button", name="Load learners").click()
        expect(page.get_by_text("Loaded 40 points into 4 learners.")).to_be_visible()

    chromium.look(act)


def wait_until_it_grows(lines):
    expect(lines.nth(lines.count() + 3)).to_be_attached()


FAILING = """
run = make_run('failing', n_learners=2, first_raises=lambda n: n == 2, max_fails_per_job=1)
_ = run.start()
"""


def test_the_log_shows_what_went_wrong_and_follows(lab, chromium):
    lab.write("failing.ipynb", RUN, FAILING, "run")

    def act(visit):
        page = visit.page
        visit.open_lab(lab.url("failing.ipynb"))
        visit.run_all()
        expect(strip(page)).to_contain_text("1 failed")
        page.get_by_role("tab", name="Logs", exact=True).click()
        source = page.locator("[data-what=source]")
        expect(source.locator("option").nth(1)).to_contain_text("learner 0: failed, 1 failure")
        source.select_option("0")
        failure = page.locator(".as-failure")
        expect(failure).to_contain_text("ValueError: no value for learner 0 at 1")
        expect(failure.locator("pre")).to_contain_text("Traceback")
        visit.screenshot("logs", ".as-dashboard")
        source.select_option("1")
        expect(failure).to_be_hidden()
        lines = page.locator(".as-line")
        expect(lines.filter(has_text="current status").first).to_be_visible()
        wait_until_it_grows(lines)
        page.wait_for_function(
            "() => { const log = document.querySelector('.as-log');"
            " return log.scrollHeight - log.scrollTop - log.clientHeight < 30; }"
        )
        page.get_by_label("Search the log").fill("current")
        page.keyboard.press("Enter")
        wait_until_it_grows(lines)
        expect(page.locator(".as-hit mark")).to_have_text("current")
        page.get_by_role("tab", name="Jobs").click()
        # That which failed first may have got the other learner, before the other job was there.
        expect(page.get_by_role("gridcell", name=re.compile(r"^failing-\d$"))).to_have_count(1)
        page.get_by_role("tab", name="Database").click()
        expect(page.get_by_text(re.compile("2 rows, as of"))).to_be_visible()
        page.get_by_role("tab", name="Over time").click()
        expect(page.get_by_role("img", name="points over time")).to_be_visible()
        visit.screenshot("over-time", ".as-dashboard")
        (lab.notebooks / "failing" / "gate").touch()
        expect(strip(page).locator(".as-status")).to_have_text("failed")

    chromium.look(act)


MANY = """
import time
from IPython.display import display
from adaptive_scheduler.widgets.tables import Columns
from adaptive_scheduler.widgets.tables import LEARNER_COLUMNS
from adaptive_scheduler.widgets.components import Grid

columns = Columns(LEARNER_COLUMNS, 100_000)
states = ["ready", "running", "done", "failed"]
for i in range(100_000):
    progress = [(i * 7919) % 100_003, 1 / (i + 1), (i % 100) / 100]
    job = [f"7_{i}", f"node{i % 50}", 90.0, 2.5, time.time() - 60, 1, ""]
    columns.set_row(i, [states[i % 4], *progress, *job])
grid = Grid(columns, caption="Learners", index="learner")
display(grid)
"""


def test_a_hundred_thousand_rows_are_sorted_filtered_and_selected(lab, chromium):
    lab.write("many.ipynb", MANY)

    def act(visit):
        page = visit.page
        visit.open_lab(lab.url("many.ipynb"))
        visit.run_all()
        cells = page.locator(".as-spacer .as-row:visible [role=gridcell]:nth-child(3)")
        expect(page.get_by_text("100,000 rows")).to_be_visible()
        assert page.locator(".as-spacer .as-row").count() < 60
        page.get_by_role("columnheader", name="points").get_by_role("button").click()
        expect(cells.first).to_have_text("0")
        page.get_by_role("columnheader", name="points").get_by_role("button").click()
        expect(cells.first).to_have_text("100,002")
        header = page.get_by_role("columnheader", name="points")
        expect(header).to_have_attribute("aria-sort", "descending")
        page.get_by_label("Filter Learners").fill("points<100 node7")
        expect(page.get_by_text(re.compile("^0 of 100,000"))).to_be_visible()  # two words are words
        page.get_by_label("Filter Learners").fill("node7 failed")
        expect(page.get_by_text(re.compile("^1,000 of 100,000"))).to_be_visible()
        page.get_by_label("Filter Learners").fill("points<100")
        expect(page.get_by_text(re.compile("^100 of 100,000"))).to_be_visible()
        page.get_by_label("Filter Learners").fill("")
        page.get_by_role("group", name="Show only").get_by_role("button", name="failed").click()
        expect(page.get_by_text(re.compile("^25,000 of 100,000"))).to_be_visible()
        page.get_by_role("grid").focus()
        page.keyboard.press("Home")
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowDown")
        expect(page.get_by_text("25,000 of 100,000 rows, 2 selected")).to_be_visible()
        page.keyboard.press("End")
        expect(page.locator(".as-active")).to_be_visible()
        visit.screenshot("many", ".as-table")
        page.get_by_role("columnheader", name="loss").get_by_role("button").click()
        page.get_by_role("grid").press("Home")
        expect(page.locator(".as-active .as-index")).to_have_text("99,999")

    chromium.look(act)


SHOWCASE = """
from pathlib import Path
from tests.widgets.browser.showcase import Showcase

show = Showcase(1000, Path("showcase").absolute())
show.run
"""

#: Returns the texts whose contrast with what is behind them is less than WCAG 2 wants.
HARD_TO_READ = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const painted = (colors) => {
        for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
            const part = value / 255;
            return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const texts = document.createTreeWalker(
        document.querySelector(".as-dashboard"), NodeFilter.SHOW_TEXT);
    const bad = new Set();
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        const text = texts.currentNode.textContent.trim();
        if (!text || !element.checkVisibility() || element.closest(":disabled")) continue;
        const behind = ["white"];
        for (let e = element; e; e = e.parentElement) {
            behind.splice(1, 0, getComputedStyle(e).backgroundColor);
        }
        const lights = [painted(behind), painted([...behind, getComputedStyle(element).color])];
        const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
        if (ratio < 4.5) bad.add(`${element.className}: ${text}: ${ratio.toFixed(2)}`);
    }
    return [...bad];
}"""


def test_all_can_be_read_on_light_and_dark_pages_however_wide(lab, chromium):
    lab.write("showcase.ipynb", SHOWCASE)

    def act(visit):
        page = visit.page
        visit.open_lab(lab.url("showcase.ipynb"))
        visit.run_all()
        expect(strip(page)).to_contain_text("3 jobs pending: 1 Resources")
        for theme in ("Light", "Dark"):
            page.evaluate(
                "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
                f"JupyterLab {theme}",
            )
            light = str(theme == "Light").lower()
            expect(page.locator("body")).to_have_attribute("data-jp-theme-light", light)
            for name in ("Over time", "Logs", "Jobs", "Results", "Learners"):
                page.get_by_role("tab", name=name, exact=True).click()
                visit.screenshot(f"{theme}-{name}".lower().replace(" ", "-"), ".as-dashboard")
                assert page.evaluate(HARD_TO_READ) == []
        for width in (700, 1700):
            page.set_viewport_size({"width": width, "height": 1000})
            visit.screenshot(f"width-{width}", ".as-dashboard")
            wider = "e => e.scrollWidth - e.clientWidth"
            assert page.locator(".as-dashboard").first.evaluate(wider) <= 0

    chromium.look(act)
