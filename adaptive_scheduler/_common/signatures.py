"""Options that are declared once, as fields of a dataclass, and taken by several callables.

A field with the metadata of `option` carries its default, unit, description and check. A
`Face` is one way of showing such fields: the keywords of one class or
function, with defaults and names of its own where they differ.
"""

from __future__ import annotations

import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import Field, fields
from inspect import Parameter
from typing import Any, Final, TypeAlias, TypeVar

Taker = TypeVar("Taker", bound=Callable[..., Any])
Check: TypeAlias = Callable[[str, Any], None]

#: The entry in a docstring's parameters that stands for all options.
_OPTIONS_ENTRY: Final = re.compile(r"^( *)\*\*options\n(?:\1 +.*\n|\n(?=\1 ))*", re.MULTILINE)
#: Columns of a docstring.
_WIDTH: Final = 88


def option(description: str, *, unit: str = "", check: Check | None = None) -> dict[str, Any]:
    """Return the metadata that makes the field of a dataclass an option.

    Parameters
    ----------
    description
        What it is, for users.
    unit
        What a number counts, such as ``"seconds"``.
    check
        Called with the option's name and value; raises `InvalidInputError` if
        the value can't be.
    """
    return {"description": description, "unit": unit, "check": check}


def options_of(declaration: type) -> dict[str, Field[Any]]:
    """Return the fields of a dataclass that are options, by name."""
    return {each.name: each for each in fields(declaration) if "description" in each.metadata}


class Face:
    """The options that one class or function takes.

    Parameters
    ----------
    name
        What users call it.
    declaration
        The dataclass with the options.
    shown
        The options that it takes, by the names of their fields; None for all of them.
    hidden
        Options that it does not take.
    defaults
        Defaults that differ from the declared ones, by the names of the fields.
    names
        Names that differ from those of the fields.
    """

    def __init__(
        self,
        name: str,
        declaration: type,
        *,
        shown: Collection[str] | None = None,
        hidden: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        names = names or {}
        self.name = name
        self.defaults = dict(defaults or {})
        self._fields = {
            names.get(each.name, each.name): each
            for each in options_of(declaration).values()
            if (shown is None or each.name in shown) and each.name not in hidden
        }
        self._own_names: frozenset[str] = frozenset()

    @property
    def keywords(self) -> dict[str, Parameter]:
        """The options as keyword-only parameters, by the names that they have here."""
        return {
            name: Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=self._default(each),
                annotation=each.type,
            )
            for name, each in self._fields.items()
        }

    def __call__(self, taker: Taker) -> Taker:
        """Decorate a class or function with ``**options``: show these, to `help` and to editors.

        The entry ``**options`` of its docstring is replaced by one for each option.
        """
        decorated: Any = taker
        called: Any = decorated.__init__ if isinstance(taker, type) else taker
        self._own_names = frozenset(inspect.signature(called).parameters) - {"options"}
        # A subclass with a constructor of its own has its signature, not the one of this class.
        called.__signature__ = extended(called, self.keywords)
        more = [name for name in self._fields if name not in self._own_names]
        decorated.__doc__ = self._documented(decorated.__doc__ or "", more)
        return taker

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options by the names of their fields, with the defaults of this face.

        Raises
        ------
        TypeError
            If there is no such option.
        InvalidInputError
            If a value can't be.
        """
        return {**self.defaults, **self.translate(given)}

    def translate(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Do what `read` does, for the options that were given and no others."""
        for name, value in given.items():
            if name not in self._fields:
                raise TypeError(self._complaint(name))
            check_option(self._fields[name], value, name=name)
        return {self._fields[name].name: value for name, value in given.items()}

    def show(self, declared: Any) -> dict[str, Any]:
        """Return the options that a declaration holds, by the names that they have here."""
        return {name: getattr(declared, each.name) for name, each in self._fields.items()}

    def _default(self, each: Field[Any]) -> Any:
        return self.defaults.get(each.name, each.default)

    def _complaint(self, name: str) -> str:
        """Say about a keyword what Python would say, and which one may have been meant."""
        known = [*self._fields, *self._own_names]
        complaint = f"{self.name}() got an unexpected keyword argument '{name}'"
        meant = difflib.get_close_matches(name, known, n=1)
        return f"{complaint}. Did you mean `{meant[0]}`?" if meant else complaint

    def _documented(self, docstring: str, names: Iterable[str]) -> str:
        entries = "\n".join(self._entry(name) for name in names)
        return _OPTIONS_ENTRY.sub(
            lambda found: textwrap.indent(f"{entries}\n", found[1]), docstring
        )

    def _entry(self, name: str) -> str:
        each = self._fields[name]
        unit = each.metadata["unit"]
        kind = " ".join(str(each.type).split())
        head = f"{name} : {kind}{unit and f', in {unit}'}, default {self._default(each)!r}"
        text = textwrap.fill(each.metadata["description"], _WIDTH, break_on_hyphens=False)
        return f"{head}\n{textwrap.indent(text, '    ')}"


def check_option(each: Field[Any], value: Any, *, name: str | None = None) -> None:
    """Check the value of an option, under another name if it is shown by that.

    Raises
    ------
    InvalidInputError
        If the value can't be.
    """
    check = each.metadata["check"]
    if check is not None:
        check(name or each.name, value)


def keywords_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the keyword-only parameters of a function or class."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }


def extended(function: Callable[..., Any], keywords: Mapping[str, Parameter]) -> inspect.Signature:
    """Return the signature of a function with ``**keywords``, these spelled out."""
    signature = inspect.signature(function)
    own = {n: p for n, p in signature.parameters.items() if p.kind is not Parameter.VAR_KEYWORD}
    if len(own) == len(signature.parameters):
        return signature
    more = [parameter for name, parameter in keywords.items() if name not in own]
    return signature.replace(parameters=[*own.values(), *more])
