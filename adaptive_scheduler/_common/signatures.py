"""Functions that take another one's keywords, without declaring them a second time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from inspect import Parameter
from typing import Any, TypeVar

Taker = TypeVar("Taker", bound=Callable[..., Any])


def keywords_of(
    function: Callable[..., Any],
    *,
    without: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Parameter]:
    """Return the keyword-only parameters of a function or class.

    Parameters
    ----------
    function
        Whose.
    without
        Those that are left out.
    defaults
        Other defaults for some of them.
    """
    found = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY and name not in without
    }
    for name, default in (defaults or {}).items():
        found[name] = found[name].replace(default=default)
    return found


def extended(function: Callable[..., Any], keywords: Mapping[str, Parameter]) -> inspect.Signature:
    """Return the signature of a function with ``**keywords``, these spelled out."""
    signature = inspect.signature(function)
    own = {n: p for n, p in signature.parameters.items() if p.kind is not Parameter.VAR_KEYWORD}
    if len(own) == len(signature.parameters):
        return signature
    more = [parameter for name, parameter in keywords.items() if name not in own]
    return signature.replace(parameters=[*own.values(), *more])


def spelled_out(keywords: Mapping[str, Parameter]) -> Callable[[Taker], Taker]:
    """Have a function or class with ``**keywords`` show these, in ``help`` and to editors."""

    def decorate(taker: Taker) -> Taker:
        shown: Any = taker
        shown.__signature__ = extended(taker, keywords)
        return taker

    return decorate


def check_keywords(name: str, given: Collection[str], known: Collection[str]) -> None:
    """Check that a function knows the keywords that it was given.

    Raises
    ------
    TypeError
        If it doesn't, as Python would.
    """
    for keyword in given:
        if keyword not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument '{keyword}'")
