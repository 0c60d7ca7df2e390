"""What a benchmark says: small tables, bars that were held or missed, and JSON of the same."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Where virtual environments and working folders of benchmarks lie. Not in the
#: system's folder for temporary files: that may be memory, where a sync costs nothing.
CACHE = Path(__file__).resolve().parent.parent / "build" / "benchmarks"


def _machine() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


@dataclass
class Report:
    """Prints what was measured as soon as it is known, and keeps it for the JSON.

    Parameters
    ----------
    benchmark
        Its name.
    """

    benchmark: str
    tables: list[dict[str, Any]] = field(default_factory=list)
    bars: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=_machine)

    def __post_init__(self) -> None:
        print(f"== {self.benchmark} ==")
        print(", ".join(f"{name} {value}" for name, value in self.machine.items()), flush=True)

    def note(self, text: str) -> None:
        """Say how a figure came about."""
        self.notes.append(text)
        print(text, flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show figures. The first column is text and the others are numbers; None is a dash."""
        self.tables.append({"title": title, "columns": list(columns), "rows": [*map(list, rows)]})
        cells = [list(columns), *([_shown(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        print(f"\n{title}")
        for first, *others in cells:
            numbers = (c.rjust(w) for c, w in zip(others, widths[1:], strict=True))
            print("  " + "  ".join([first.ljust(widths[0]), *numbers]), flush=True)
        print()

    def bar(
        self, promise: str, value: float, *, below: float | None = None, above: float = 0
    ) -> None:
        """Say whether a figure is on the right side of a limit."""
        is_held = value >= above if below is None else value < below
        limit = f"at least {above:g}" if below is None else f"below {below:g}"
        self.bars.append({"promise": promise, "value": value, "limit": limit, "held": is_held})
        word = "HELD  " if is_held else "MISSED"
        print(f"{word} {promise}: {_shown(value)} (bar: {limit})", flush=True)

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_text(json.dumps(vars(self), indent=2) + "\n")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    return parser


def _shown(value: object) -> str:
    """Return a number with three digits that matter."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
