#!/usr/bin/env python3
"""Keep results out of the notebooks that git stores.

Run it once in a clone, without arguments: from then on git stores notebooks
without outputs, execution counts and whatever else changes at each run. The
files in your folder stay as they are.

    ./ipynb_filter.py           switch the filter on in this clone
    ./ipynb_filter.py --clean   read a notebook from stdin, write it to stdout
    ./ipynb_filter.py --check a.ipynb b.ipynb
                                fail if git would store results of one of these

Only Python's standard library is needed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: The format that Jupyter has written since 2014; older notebooks pass unchanged.
_NBFORMAT = 4

#: What editors and kernels note about a notebook, and change at will.
_VOLATILE_OF_NOTEBOOKS = frozenset(
    {"colab", "kernel_info", "papermill", "signature", "toc", "varInspector", "vscode", "widgets"}
)

#: The same of a cell: how it was shown, and when it ran.
_VOLATILE_OF_CELLS = frozenset(
    {"ExecuteTime", "collapsed", "execution", "jupyter", "papermill", "scrolled", "vscode"}
)

#: Every machine names its kernels as it likes; this one exists on each.
_PYTHON_KERNEL = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}


def clean(notebook: bytes) -> bytes:
    """Return a notebook without results, in the layout in which Jupyter saves it.

    Raises
    ------
    ValueError
        If it isn't a notebook, or one whose format is older than 4.
    """
    content = json.loads(notebook)
    if not _is_notebook(content):
        raise ValueError(f"this is no notebook of format {_NBFORMAT}")
    content["metadata"] = _clean_metadata(_mapping(content, "metadata"))
    for cell in content["cells"]:
        _clean_cell(cell)
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True)
    return f"{text}\n".encode()


def _is_notebook(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and content.get("nbformat") == _NBFORMAT
        and isinstance(content.get("cells"), list)
        and all(isinstance(cell, dict) for cell in content["cells"])
    )


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    """Return ``content[key]``, or an empty dictionary where there is none."""
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _clean_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in metadata.items() if key not in _VOLATILE_OF_NOTEBOOKS}
    language = _mapping(kept, "language_info").get("name")
    if language is not None:
        kept["language_info"] = {"name": language}
    if "python" in (language, _mapping(kept, "kernelspec").get("language")):
        kept["kernelspec"] = dict(_PYTHON_KERNEL)
    return kept


def _clean_cell(cell: dict[str, Any]) -> None:
    metadata = _mapping(cell, "metadata")
    cell["metadata"] = {k: v for k, v in metadata.items() if k not in _VOLATILE_OF_CELLS}
    if cell.get("cell_type") == "code":
        cell["outputs"] = []
        cell["execution_count"] = None


def filter_stdin() -> None:
    """Clean the notebook on stdin and write it to stdout.

    What is no notebook passes unchanged, with a warning: git calls this for
    files with conflict markers, too, and for empty ones.
    """
    original = sys.stdin.buffer.read()
    try:
        cleaned = clean(original) if original.strip() else original
    except ValueError as error:
        sys.stderr.write(f"ipynb_filter.py: stored as it is: {error}\n")
        cleaned = original
    sys.stdout.buffer.write(cleaned)
    sys.stdout.buffer.flush()


def switch_on() -> None:
    """Tell git, in the clone that this file belongs to, to use it.

    Which files it is for is written in ``.gitattributes``.

    Raises
    ------
    SystemExit
        If there is no clone here, or no git.
    """
    clone = Path(__file__).resolve().parent
    settings = {
        # Git runs filters in the top folder of the clone.
        "filter.ipynb.clean": "./ipynb_filter.py --clean",
        # Without this a filter that fails would let all results through.
        "filter.ipynb.required": "true",
    }
    try:
        for name, value in settings.items():
            subprocess.run(["git", "-C", str(clone), "config", "--local", name, value], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"ipynb_filter.py: {clone} is not switched on: {error}") from error
    sys.stdout.write("From now on git stores the notebooks of this clone without their results.\n")


def check(paths: Sequence[Path]) -> None:
    """Look at the notebooks as git is about to store them.

    Raises
    ------
    SystemExit
        If there are results in one of them.
    """
    with_results = [path for path in paths if (staged := _staged(path)) != clean(staged)]
    if with_results:
        names = " ".join(map(str, with_results))
        raise SystemExit(
            f"These notebooks hold results: {names}\n"
            f"Run ./ipynb_filter.py once, and then: git add --renormalize {names}"
        )


def _staged(path: Path) -> bytes:
    command = ["git", "-C", str(path.parent), "show", f":./{path.name}"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description="Keep results out of the notebooks that git stores. "
        "Without options: switch that on in this clone."
    )
    parser.add_argument(
        "--clean", action="store_true", help="read a notebook from stdin, write it to stdout"
    )
    parser.add_argument(
        "--check", metavar="NOTEBOOK", nargs="+", type=Path, help="fail if git would store results"
    )
    chosen = parser.parse_args(arguments)
    if chosen.clean:
        filter_stdin()
    elif chosen.check:
        check(chosen.check)
    else:
        switch_on()


if __name__ == "__main__":
    main()
