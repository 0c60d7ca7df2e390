"""Options are declared once, and shown by whoever takes them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

import pytest

from adaptive_scheduler._common.signatures import Face, option, options_of
from adaptive_scheduler.errors import InvalidInputError


def check_positive(name, value):
    if value <= 0:
        raise InvalidInputError(f"`{name}` is positive, not {value!r}.")


@dataclass(frozen=True, kw_only=True)
class Declared:
    pause: float = field(
        default=5,
        metadata=option("How long it waits.", unit="seconds", check=check_positive),
    )
    colour: str = field(default="red", metadata=option("How it looks. " * 20))
    number: int = 0


FACE = Face("walk", Declared, defaults={"pause": 9}, names={"pause": "rest"})


@FACE
def walk(far, **options):
    """Walk.

    Parameters
    ----------
    far
        How far.
    **options
        Replaced,

        all of it.

    Raises
    ------
    Blisters
        Now and then.
    """
    return far, FACE.read(options)


def test_the_options_are_the_fields_that_are_declared_so():
    assert list(options_of(Declared)) == ["pause", "colour"]


def test_a_signature_spells_them_out_with_the_names_and_defaults_of_the_face():
    assert str(inspect.signature(walk)) == "(far, *, rest: 'float' = 9, colour: 'str' = 'red')"


def test_a_subclass_with_a_constructor_of_its_own_shows_that():
    @Face("Walk", Declared)
    class Walk:
        def __init__(self, far, **options):
            pass

    class Same(Walk):
        pass

    class Stroll(Walk):
        def __init__(self, far, *, is_slow=True):
            super().__init__(far, pause=9 if is_slow else 1)

    assert list(inspect.signature(Walk).parameters) == ["far", "pause", "colour"]
    assert inspect.signature(Same) == inspect.signature(Walk)
    assert str(inspect.signature(Stroll)) == "(far, *, is_slow=True)"


def test_a_docstring_tells_of_each_with_type_unit_and_default():
    text = inspect.getdoc(walk)
    assert "rest : float, in seconds, default 9\n    How long it waits.\ncolour : str" in text
    assert text.index("far\n") < text.index("rest :") < text.index("Raises\n------\nBlisters")
    assert "**options" not in text
    assert "Replaced" not in text
    assert "all of it" not in text
    assert max(map(len, text.splitlines())) < 100


def test_options_arrive_by_the_names_of_the_fields():
    assert walk(1) == (1, {"pause": 9})
    assert walk(1, rest=2, colour="blue") == (1, {"pause": 2, "colour": "blue"})
    assert FACE.translate({"colour": "blue"}) == {"colour": "blue"}
    assert FACE.show(Declared(pause=3)) == {"rest": 3, "colour": "red"}


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("color", r"\. Did you mean `colour`\?"),
        ("reest", r"\. Did you mean `rest`\?"),
        ("xyz", "$"),
    ],
)
def test_a_misspelt_one_is_an_error_that_names_what_was_meant(wrong, meant):
    message = rf"^walk\(\) got an unexpected keyword argument '{wrong}'{meant}"
    with pytest.raises(TypeError, match=message):
        walk(1, **{wrong: 1})


def test_the_parameters_that_are_no_options_may_have_been_meant_too():
    with pytest.raises(TypeError, match="Did you mean `far`"):
        walk(1, fart=1)


def test_a_value_that_can_not_be_is_refused_by_the_name_that_the_user_knows():
    with pytest.raises(InvalidInputError, match="`rest` is positive, not -1"):
        walk(1, rest=-1)


def test_a_face_may_show_some_of_them_only():
    assert list(Face("stand", Declared, shown={"colour"}).keywords) == ["colour"]
    assert list(Face("stand", Declared, hidden={"colour"}).keywords) == ["pause"]
