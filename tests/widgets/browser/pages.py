"""A browser that sees nothing but this machine, and what tests do with it."""

from __future__ import annotations

import concurrent.futures
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.cluster.packages import HOW_TO_GET_A_BROWSER, browser
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
SCREENSHOTS = ROOT / "build" / "screenshots"


_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
#: Earlier wishes are dropped.
_KERNEL_IS_IDLE = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.context?.sessionContext?.session;
    return session?.kernel?.connectionStatus === "connected" && session.kernel.status === "idle";
}"""
#: What Jupyter itself complains about, whatever a notebook shows.
_NOT_OURS = re.compile(
    r"favicon|ResizeObserver loop|Source map|WebSocket|sourcemap|"
    r"Failed to load resource.*(404|403)|Download the React DevTools|preload"
)


class Chromium:
    """Debian's Chromium, driven from a thread of its own: playwright wants one."""

    def __init__(self) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "browser")
        self._playwright: Playwright
        self._browser: Browser
        self._thread.submit(self._start).result()

    def _start(self) -> None:
        path = browser()
        assert path is not None, HOW_TO_GET_A_BROWSER
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=path, args=_FLAGS)

    def look(self, act: Callable[[Visit], Any], *, tolerates: str = "$^", **options: Any) -> Any:
        """Have a function look at a new page; fail if the page complains of anything.

        Parameters
        ----------
        act
            Gets the page.
        tolerates
            What the page may complain of or ask elsewhere for, as its own affair.
        options
            Of the browser's context.
        """
        return self._thread.submit(self._look, act, re.compile(tolerates), options).result()

    def _look(
        self, act: Callable[[Visit], Any], tolerates: re.Pattern[str], options: dict[str, Any]
    ) -> Any:
        context = self._browser.new_context(
            **{"viewport": {"width": 1280, "height": 1000}, **options}
        )
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        try:
            visit = Visit(context.new_page())
            result = act(visit)
            visit.check(tolerates)
            return result
        finally:
            context.close()

    def close(self) -> None:
        """End the browser."""
        self._thread.submit(self._browser.close).result()
        self._thread.submit(self._playwright.stop).result()
        self._thread.shutdown()


class Visit:
    """A page, and what went wrong there."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _note_console(self, message: Any) -> None:
        if message.type == "error":
            self._note(message.text)

    def _note(self, text: str) -> None:
        if not _NOT_OURS.search(text):
            self.complaints.append(text)

    def check(self, tolerates: re.Pattern[str]) -> None:
        """Fail if something went wrong, or was fetched from elsewhere."""
        local = re.compile(r"^(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|^(data|blob|about):")
        elsewhere = [url for url in self.requests if not local.match(url)]
        wrong = [text for text in elsewhere + self.complaints if not tolerates.search(text)]
        assert not wrong, wrong

    def open_lab(self, url: str) -> None:
        """Open a notebook and wait until its kernel is idle."""
        self.page.goto(url)
        self.page.wait_for_function(_KERNEL_IS_IDLE)

    def run_all(self) -> None:
        """Run all cells."""
        self.page.evaluate(
            "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
        )

    def save(self) -> None:
        """Save the notebook, and wait until that is done."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def screenshot(self, name: str, selector: str | None = None) -> None:
        """Write a picture of the page, or of a part of it, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        if selector is None:
            self.page.screenshot(path=path)
        else:
            self.page.locator(selector).first.screenshot(path=path)
