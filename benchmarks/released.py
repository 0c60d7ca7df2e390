"""The released package to compare with, in a virtual environment of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from report import CACHE

VERSION = "2.17.2"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let the user name an environment in which the release is installed already."""
    parser.add_argument(
        "--released-python",
        type=Path,
        metavar="PATH",
        help=f"a Python with adaptive-scheduler {VERSION}; without it, "
        f"an environment is made once in {CACHE / f'released-{VERSION}'}",
    )


def released_python(given: Path | None) -> Path:
    """Return a Python that has the release, after installing it if none was given.

    Raises
    ------
    SystemExit
        If that Python has another version.
    """
    python = given or _installed()
    # From another folder than the current one, which may hold the package under development.
    found = subprocess.run(
        [str(python), "-Ic", "import adaptive_scheduler as a; print(a.__version__)"],
        cwd=CACHE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    if found != VERSION:
        sys.exit(f"{python} has adaptive-scheduler {found}, not {VERSION}.")
    return python


def _installed() -> Path:
    folder = CACHE / f"released-{VERSION}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists():
        print(f"Installing adaptive-scheduler {VERSION} into {folder} ...", flush=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([*pip, f"adaptive-scheduler=={VERSION}"], check=True)
        stamp.touch()
    return python
