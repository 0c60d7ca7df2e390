"""Names of a package that are imported when they are first used.

Jobs, daemons and short commands import parts of this package, and must not
wait for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, home: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package.

    Parameters
    ----------
    package
        Its ``__name__``.
    home
        For each public name the module that defines it; for a module its own.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807  it becomes the package's
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(home[name])
        return module if home[name] == f"{package}.{name}" else getattr(module, name)

    def __dir__() -> list[str]:  # noqa: N807  likewise
        return sorted(name for name in home if name[0] != "_" or name.startswith("__"))

    return __getattr__, __dir__
