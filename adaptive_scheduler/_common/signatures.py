"""Functions that take another one's keywords, without declaring them a second time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any


def keywords_of(
    function: Callable[..., Any],
) -> dict[str, Parameter]:
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
