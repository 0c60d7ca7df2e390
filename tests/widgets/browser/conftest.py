"""One browser and one JupyterLab for all tests with pages."""

from __future__ import annotations

import pytest

from tests.conftest import _kill_all_with
from tests.waiting import wait_until
from tests.widgets.browser.pages import Chromium
from tests.widgets.browser.server import Server


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """Return a function that starts servers; end them with all that they have started."""
    folder = tmp_path_factory.mktemp("jupyter")
    servers = {}

    def start(kind):
        if kind not in servers:
            servers[kind] = Server(kind, folder / kind)
        return servers[kind]

    yield start
    for server in servers.values():
        server.stop()
    wait_until(lambda: not _kill_all_with(f"ADAPTIVE_SCHEDULER_LOCAL_DIR={folder}/"))


@pytest.fixture(scope="session")
def lab(serve):
    return serve("lab")


@pytest.fixture(scope="session")
def chromium():
    browser = Chromium()
    yield browser
    browser.close()
