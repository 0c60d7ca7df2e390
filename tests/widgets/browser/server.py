"""A Jupyter server for tests, apart from everything that the user has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import nbformat

from tests.ports import free_ports
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
TOKEN = "token-of-the-tests"

_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}


class Server:
    """A server of the kind `lab`, `notebook` or `voila` in a folder of its own.

    Its environment sets ``ADAPTIVE_SCHEDULER_LOCAL_DIR`` to a folder in `folder`: by
    that all processes are known that it has started.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._write_settings()
        (self._port,) = free_ports(1)
        self._log = folder / f"{kind}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command()],
                cwd=self.notebooks,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_up)

    def _command(self) -> list[str]:
        if self.kind == "voila":
            return ["voila", "--no-browser", f"--port={self._port}", f"--token={TOKEN}"]
        program = "jupyterlab" if self.kind == "lab" else self.kind
        options = [
            f"--ServerApp.port={self._port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={TOKEN}",
            "--ServerApp.open_browser=False",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
        ]
        return [program, "--allow-root", *options]

    def _environment(self) -> dict[str, str]:
        folders = {
            "HOME": "home",
            "IPYTHONDIR": "ipython",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "ADAPTIVE_SCHEDULER_LOCAL_DIR": "spool",
        }
        paths = {name: str(self._folder / folder) for name, folder in folders.items()}
        Path(paths["HOME"]).mkdir(exist_ok=True)
        return {**os.environ, **paths, "PYTHONPATH": str(ROOT)}

    def _write_settings(self) -> None:
        for name, settings in _SETTINGS.items():
            path = self._folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        path = "" if self.kind == "voila" else "api/status"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}?token={TOKEN}"):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def write(self, name: str, *cells: str) -> None:
        """Write a notebook."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.notebooks / name)

    def url(self, name: str) -> str:
        """Return where a browser finds a notebook, and no other that it has seen before."""
        place = {"lab": "lab/tree", "notebook": "notebooks", "voila": "voila/render"}[self.kind]
        query = f"token={TOKEN}&reset" if self.kind == "lab" else f"token={TOKEN}"
        return f"http://127.0.0.1:{self._port}/{place}/{name}?{query}"

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()
