"""The rooms of the package know each other one way, and who shows a run knows its view alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import adaptive_scheduler

PACKAGE = Path(adaptive_scheduler.__file__).parent
NAME = "adaptive_scheduler"

_BASE = {"errors", "version", "_common"}
_DATA = _BASE | {"learners", "protocol"}
_JOBS = _BASE | {"executors", "learners"}
#: Which rooms each room may know.
MAY_KNOW = {
    "errors": set(),
    "version": set(),
    "_common": {"errors"},
    "learners": _BASE,
    "protocol": _BASE | {"learners"},
    "executors": _BASE | {"learners"},
    "scheduler": _JOBS,
    "run_folder": _DATA,
    "client_support": _DATA | {"executors", "run_folder"},
    "run_learner": _DATA | {"client_support", "executors", "run_folder"},
    "server_support": _DATA | {"executors", "run_folder", "scheduler"},
    "futures": _DATA | {"executors", "run_folder", "scheduler", "server_support"},
    "cli": _DATA | {"run_folder", "scheduler", "server_support"},
    "widgets": _DATA | {"run_folder", "scheduler", "server_support"},
    "utils": _BASE | {"executors", "learners"},
}
#: What knows more, and why: a module, and the room that it knows.
EXCEPTIONS = {
    # Methods that display import it when they are called.
    ("server_support.multi_run_manager", "widgets"),
    ("server_support.run_manager", "widgets"),
    # How loky starts its workers is one of the parameters of a run.
    ("run_folder.options", "executors"),
    ("run_folder.spec", "executors"),
}
#: Rooms that are imported only when a method that displays is called.
LAZY = {"widgets"}
#: What of a manager's insides those who show a run must not touch.
INSIDES = {
    "_lifecycle",
    "database_manager",
    "event_loop",
    "handler",
    "job_manager",
    "kill_manager",
    "monitor",
    "reconciler",
    "record",
}
#: What those who show a run may know of the manager's side, and what for.
SHOWN = {
    "cli": {
        "folder_view": "a run by its folder",
        "info": "its state in words",
        "remote": "commands for it",
        "run_manager": "`attach`, and the doctor's own run",
        "terminal": "its drawing",
    },
    "widgets": {
        "info": "its state in words",
        "remote": "a run by its folder, and commands for it",
    },
}


def imports(path):
    """Yield the modules of this package that a module imports when it runs."""
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
            if node.module in (NAME, f"{NAME}.{path.parent.name}"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.startswith(f"{NAME}."))


def statements(tree):
    """Yield all nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from statements(node)


def modules(room):
    """Return the modules of a room."""
    path = PACKAGE / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def known(path):
    """Return which rooms a module knows, by the room's name."""
    return {name.split(".")[1] for name in imports(path)}


def name_of(path):
    return path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")


def test_all_rooms_are_listed():
    rooms = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert rooms - {"py"} == MAY_KNOW.keys()


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_knows_only_what_lies_below_it(room):
    found = {
        (name_of(path), other)
        for path in modules(room)
        for other in known(path) - MAY_KNOW[room] - {room}
    }
    assert found == {pair for pair in EXCEPTIONS if pair[0].split(".")[0] == room}


@pytest.mark.parametrize("room", SHOWN)
def test_who_shows_a_run_knows_nothing_of_its_managers(room):
    found = {
        name.split(".")[2]
        for path in modules(room)
        for name in imports(path)
        if name.startswith(f"{NAME}.server_support.")
    }
    assert found == SHOWN[room].keys()


@pytest.mark.parametrize("room", sorted(MAY_KNOW.keys() - LAZY))
def test_what_displays_is_imported_when_it_is_asked_for(room):
    for path in modules(room):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        late = {id(node) for function in functions for node in ast.walk(function)}
        early = {
            node.module.split(".")[1]
            for node in statements(tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith(f"{NAME}.")
            and id(node) not in late
        }
        assert not early & LAZY, path


def showing():
    """Return the modules that show a run."""
    others = ("terminal", "waiting", "multi_run_manager")
    sides = [PACKAGE / "server_support" / f"{name}.py" for name in others]
    return [*modules("widgets"), *modules("cli"), *sides]


@pytest.mark.parametrize("path", showing(), ids=name_of)
def test_nobody_who_shows_a_run_reaches_through_its_view(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & INSIDES
