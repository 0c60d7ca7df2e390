"""What the README and the documentation show must run as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: Blocks of a page follow one another in one program, up to this line.
NEW_PROCESS = "<!-- a new process -->"
#: Shell commands that are run; others are about installing, or about make.
COMMANDS = ("adaptive-scheduler", "tail")

BLOCK = re.compile(
    rf"^(?P<new>{re.escape(NEW_PROCESS)})$|^```(?P<kind>python|console)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def steps_of(text):
    """Yield the programs and shell commands of a page, in order."""
    program = []
    for block in BLOCK.finditer(text):
        if block["kind"] == "python":
            program.append(block["text"])
            continue
        lines = re.findall(r"^\$ (.*)$", block["text"] or "", re.MULTILINE)
        commands = [shlex.split(line, comments=True) for line in lines]
        commands = [command for command in commands if command[0] in COMMANDS]
        if program and (block["new"] or commands):
            yield "\n".join(program)
            program = []
        yield from commands
    if program:
        yield "\n".join(program)


PAGE = """
```python
a = 1
```
and
```python
print(a)
```
```console
$ make demo
$ tail -n 3 x
```
```python
b = 2
```
<!-- a new process -->
```python
c = 3
```
"""


def test_a_page_is_read_in_order():
    assert list(steps_of(PAGE)) == [
        "a = 1\n\nprint(a)\n",
        ["tail", "-n", "3", "x"],
        "b = 2\n",
        "c = 3\n",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("local_spool")
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("SCHEDULER_SYSTEM", "LOCAL")  # sbatch may be there, without a cluster
    steps = list(steps_of(page.read_text()))
    for number, step in enumerate(steps):
        command = step
        if isinstance(step, str):
            script = tmp_path / f"example_{number}.py"
            script.write_text(step)
            command = [sys.executable, script]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
