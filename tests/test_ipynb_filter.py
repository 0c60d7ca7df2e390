from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "ipynb_filter.py"


def load_script():
    spec = importlib.util.spec_from_file_location("ipynb_filter", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


clean = load_script().clean


def notebook(**changes):
    cell = {
        "cell_type": "code",
        "id": "a1",
        "source": ["x = 'μ'\n", "x"],
        "metadata": {"scrolled": True, "tags": ["keep"], "execution": {"iopub.status.busy": "now"}},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": ["secret\n"]}],
        "execution_count": 7,
    }
    text = {"cell_type": "markdown", "id": "a2", "source": ["# Title"], "metadata": {}}
    return {
        "cells": [cell, text],
        "metadata": {
            "kernelspec": {"display_name": "my-env", "language": "python", "name": "my-env"},
            "language_info": {"name": "python", "version": "3.11.7"},
            "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
            "authors": [{"name": "Ada"}],
        },
        "nbformat": 4,
        "nbformat_minor": 5,
        **changes,
    }


def as_bytes(content):
    return json.dumps(content).encode()


def cleaned(content):
    return json.loads(clean(as_bytes(content)))


def run_filter(stdin: bytes):
    return subprocess.run(
        [sys.executable, SCRIPT, "--clean"], input=stdin, capture_output=True, check=True
    )


def test_outputs_and_execution_counts_go():
    cell = cleaned(notebook())["cells"][0]
    assert cell["outputs"] == []
    assert cell["execution_count"] is None


def test_what_the_author_wrote_stays():
    before, after = notebook(), cleaned(notebook())
    assert [c["source"] for c in after["cells"]] == [c["source"] for c in before["cells"]]
    assert [c["id"] for c in after["cells"]] == ["a1", "a2"]
    assert after["cells"][0]["metadata"] == {"tags": ["keep"]}
    assert after["metadata"]["authors"] == [{"name": "Ada"}]


def test_what_depends_on_the_machine_goes():
    metadata = cleaned(notebook())["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"] == {"name": "python"}
    assert "widgets" not in metadata


def test_the_kernel_of_another_language_stays():
    julia = {"display_name": "Julia 1.10", "language": "julia", "name": "julia-1.10"}
    metadata = {"kernelspec": julia, "language_info": {"name": "julia"}}
    assert cleaned(notebook(metadata=metadata))["metadata"]["kernelspec"] == julia


def test_the_layout_is_the_one_in_which_jupyter_saves():
    once = clean(as_bytes(notebook()))
    again = nbformat.writes(nbformat.reads(once.decode(), as_version=4)) + "\n"
    assert once.decode() == again


@pytest.mark.parametrize("metadata", [None, [], {"kernelspec": None, "language_info": 3}])
def test_odd_metadata_is_no_reason_to_fail(metadata):
    assert cleaned(notebook(metadata=metadata))["cells"]


def test_letters_of_all_alphabets_stay_readable():
    assert "μ".encode() in clean(as_bytes(notebook()))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
cells = st.fixed_dictionaries(
    {
        "cell_type": st.sampled_from(["code", "markdown", "raw"]),
        "source": st.text(),
        "metadata": st.dictionaries(st.text() | st.just("scrolled"), json_values, max_size=3),
        "outputs": st.lists(json_values, max_size=2),
    }
)


@given(st.lists(cells, max_size=3))
def test_cleaning_twice_is_cleaning_once(some_cells):
    once = clean(as_bytes(notebook(cells=some_cells)))
    assert clean(once) == once


@pytest.mark.parametrize(
    "content",
    [
        b'{"cells": [\n<<<<<<< HEAD\n]}',
        b'{"nbformat": 3, "worksheets": []}',
        b"[]",
        b"\xff\xfe",
        as_bytes(notebook(cells=[{"cell_type": "raw", "metadata": {}, "source": "\ud800"}])),
    ],
    ids=["conflict", "old format", "list", "no text", "no utf-8"],
)
def test_what_is_no_notebook_passes_unchanged_with_a_warning(content):
    done = run_filter(content)
    assert done.stdout == content
    assert b"stored as it is" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_file_passes_unchanged(content):
    done = run_filter(content)
    assert (done.stdout, done.stderr) == (content, b"")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return a function that calls git in a repository with the filter's files in it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "my clone"
    folder.mkdir()
    for name in ("ipynb_filter.py", ".gitattributes"):
        shutil.copy2(ROOT / name, folder / name)

    def git(*arguments):
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        command = ["git", "-C", str(folder), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    git("init", "--quiet")
    git.folder = folder
    return git


def test_git_stores_notebooks_without_results_once_it_is_switched_on(clone):
    subprocess.run([sys.executable, "ipynb_filter.py"], cwd=clone.folder, check=True)
    subfolder = clone.folder / "some folder"
    subfolder.mkdir()
    (subfolder / "a.ipynb").write_bytes(as_bytes(notebook()))
    clone("add", ".")
    clone("commit", "--quiet", "-m", "First")

    stored = clone("show", "HEAD:some folder/a.ipynb")
    assert "secret" not in stored
    assert stored.encode() == clean(as_bytes(notebook()))
    assert "secret" in (subfolder / "a.ipynb").read_text()


def test_running_a_notebook_again_is_no_change_for_git(clone):
    subprocess.run([sys.executable, "ipynb_filter.py"], cwd=clone.folder, check=True)
    path = clone.folder / "a.ipynb"
    path.write_bytes(as_bytes(notebook()))
    clone("add", ".")
    clone("commit", "--quiet", "-m", "First")

    rerun = notebook()
    rerun["cells"][0].update(execution_count=8, outputs=[])
    path.write_bytes(as_bytes(rerun))
    assert clone("diff", "--", "a.ipynb") == ""


def test_without_switching_on_nothing_changes(clone):
    (clone.folder / "a.ipynb").write_bytes(as_bytes(notebook()))
    clone("add", ".")
    assert "secret" in clone("show", ":a.ipynb")


def test_the_check_finds_results_that_git_would_store(clone):
    path = clone.folder / "a.ipynb"
    path.write_bytes(as_bytes(notebook()))
    clone("add", ".")

    def check():
        command = [sys.executable, "ipynb_filter.py", "--check", "a.ipynb"]
        return subprocess.run(
            command, cwd=clone.folder, capture_output=True, text=True, check=False
        )

    found = check()
    assert found.returncode == 1
    assert "hold results: a.ipynb" in found.stderr

    subprocess.run([sys.executable, "ipynb_filter.py"], cwd=clone.folder, check=True)
    clone("add", "--renormalize", "a.ipynb")
    assert check().returncode == 0
    assert "secret" in path.read_text()


def test_outside_a_clone_it_says_so(tmp_path):
    shutil.copy2(SCRIPT, tmp_path)
    done = subprocess.run(
        [sys.executable, tmp_path / "ipynb_filter.py"],
        env={"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not switched on" in done.stderr
