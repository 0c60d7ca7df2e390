"""Users' data lies under these names: the literals here must never change."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import UnpicklableError
from adaptive_scheduler.learners.paths import (
    Project,
    add_constant_to_fname,
    combo2fname,
    combo_to_fname,
    hash_anything,
    maybe_round,
    round_sigfigs,
)

COMBOS = [
    ({}, ".pickle"),
    ({"offset": 0.1, "width": 0.01}, "offset_0.1__width_0.01.pickle"),
    ({"width": 0.01, "offset": 0.1}, "offset_0.1__width_0.01.pickle"),
    ({"b": 1, "A": 2, "_": 3, "é": 4}, "A_2____3__b_1__é_4.pickle"),
    ({"x": 1 / 3}, "x_0.33333333.pickle"),
    ({"x": 0.1 + 0.2}, "x_0.3.pickle"),
    ({"x": 123456789.123}, "x_123456790.0.pickle"),
    ({"x": 123456789123}, "x_123456789123.pickle"),
    ({"x": 99999999.5}, "x_100000000.0.pickle"),
    ({"x": 1e16 / 3}, "x_3333333300000000.0.pickle"),
    ({"x": 1e22}, "x_1e+22.pickle"),
    ({"x": 1e-10}, "x_1e-10.pickle"),
    ({"x": 5e-324}, "x_5e-324.pickle"),
    ({"x": -0.0}, "x_0.0.pickle"),
    ({"x": math.inf}, "x_inf.pickle"),
    ({"x": math.nan}, "x_nan.pickle"),
    ({"x": 1.23456789123 + 2.123456789123j}, "x_(1.2345679+2.1234568j).pickle"),
    ({"x": complex(math.inf, 1.23456789123)}, "x_(inf+1.23456789123j).pickle"),
    ({"x": np.float64(1 / 3)}, "x_0.33333333.pickle"),
    ({"x": np.float32(0.1)}, "x_0.10000000149011612.pickle"),
    ({"x": np.complex128(1 / 3)}, "x_(0.33333333+0j).pickle"),
    ({"x": np.int64(3)}, "x_3.pickle"),
    ({"x": True}, "x_True.pickle"),
    ({"x": None}, "x_None.pickle"),
    ({"x": "a b/c"}, "x_a b/c.pickle"),
    ({"x": (1, 1 / 3)}, "x_(1, 0.3333333333333333).pickle"),
    ({"x": {"a": 1}}, "x_{'a': 1}.pickle"),
]

HASHES = [
    (0, "f6b903077fadd6f7f7924a2dcfd0d828"),
    (1.5, "9eb02ede88f19ebdea3e00fa871d86db"),
    ("a", "adac01863197f898b403d4de2305229b"),
    ("é", "130e82314071f8a6e3a36f59ad9e4b81"),
    ((1, 2), "e48ad7a04f1a73e18807884fb0e1ed20"),
    ([1, 2], "39bb505082b15a2c2c30226da93ef0ee"),
    ({"b": 1, "a": 2}, "7a2563836a6c170f5a807a92ce09b3db"),
    ({"a": 2, "b": 1}, "a6fab3c55f8c735d1c109af0fefe014d"),
    (None, "7d1e55650014e21b4568ed3e3d1fc531"),
    (True, "ff091462f8d887ebd96eb16284ed19f8"),
    (b"bytes", "4b3a6218bb3e3a7303e8a171a60fcf92"),
    (1j, "150837891b960c708c9ad97f70b72a07"),
    (2**70, "f32e7a7f21ea9624f11dabb25109a3b1"),
    (("a", (1.5, None)), "807219718ac8c31e24337dda57e5cc13"),
    (np.float64(1.0), "e02e0d84c1f7b647c18ab9646d57ec89"),
    (np.int64(1), "33cdeccccebe80329f1fdbee7f5874cb"),
    (np.array([1.0, 2.0]), "a0e3efbd7ed4640a5e23bba9321a926d"),
    (np.array([[1, 2], [3, 4]]), "9f66c130786a1a05e4731f71a3c5f172"),
    (np.arange(3, dtype="int8"), "b95f67f61ebb03619622d798f45fc2d3"),
]

finite = st.floats(allow_nan=False, allow_infinity=False)
sig_figs = st.integers(min_value=1, max_value=17)


@pytest.mark.parametrize(("combo", "name"), COMBOS)
def test_a_combination_of_parameters_has_the_name_that_it_always_had(combo, name):
    assert combo2fname(combo) == Path(name)


@pytest.mark.parametrize(
    ("folder", "ext", "name"),
    [
        (None, ".pickle", "a_0.1__b_1.pickle"),
        ("", ".pickle", "a_0.1__b_1.pickle"),
        ("f/g", ".tar.gz", "f/g/a_0.1__b_1.tar.gz"),
        (Path("/abs"), "", "/abs/a_0.1__b_1"),
    ],
)
def test_folder_and_ending_go_around_the_name(folder, ext, name):
    assert combo2fname({"b": 1, "a": 0.1}, folder, ext) == Path(name)


def test_names_are_rounded_to_as_many_figures_as_one_says():
    assert combo2fname({"x": 1.23456, "z": 1.23456 + 0j}, sig_figs=2) == Path(
        "x_1.2__z_(1.2+0j).pickle"
    )


@given(st.dictionaries(st.text("abc", min_size=1), st.integers() | finite), st.randoms())
def test_the_order_of_the_parameters_does_not_matter(combo, random):
    items = list(combo.items())
    random.shuffle(items)
    assert combo2fname(dict(items)) == combo2fname(combo)


@given(finite, sig_figs)
def test_noise_in_the_last_digits_does_not_change_a_name(x, figures):
    rounded = round_sigfigs(x, figures)
    assert combo2fname({"x": rounded}, sig_figs=figures) == combo2fname({"x": x}, sig_figs=figures)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers()))
def test_the_parameters_can_be_read_from_a_name(combo):
    name = combo2fname(combo, ext="").name
    pairs = [pair.rsplit("_", 1) for pair in name.split("__")] if name else []
    assert {key: int(value) for key, value in pairs} == combo


def test_old_names_are_neither_sorted_nor_rounded():
    with pytest.warns(DeprecationWarning, match="combo2fname"):
        name = combo_to_fname({"b": 1, "a": 1 / 3}, "folder", ".x")
    assert name == Path("folder/b_1__a_0.3333333333333333.x")


@pytest.mark.parametrize(
    ("combo", "constant", "old", "new"),
    [
        ({"a": 1, "c": 3}, {"b": 2.123456789123}, "a_1__c_3", "a_1__b_2.1234568__c_3"),
        ({"a": 1, "b": 2, "c": 3}, {"b": 2}, "a_1__c_3", "a_1__b_2__c_3"),
        ({"a": 1, "c": 3}, {"a": 2}, "c_3", "a_2__c_3"),
        ({"a": 1}, {}, "a_1", "a_1"),
    ],
)
def test_a_constant_becomes_a_parameter(combo, constant, old, new):
    before = dict(combo)
    names = add_constant_to_fname(combo, constant, folder="f", ext=".x")
    assert names == (Path(f"f/{old}.x"), Path(f"f/{new}.x"))
    assert combo == before


@pytest.mark.parametrize(("value", "expected"), HASHES)
def test_a_value_has_the_hash_that_it_always_had(value, expected):
    assert hash_anything(value) == expected


@pytest.mark.system
def test_a_hash_is_the_same_in_another_process():
    values = "[{'a': (1, 2.5)}, 'text', {'k': {'l': None}}]"
    code = (
        "from adaptive_scheduler.learners.paths import hash_anything;"
        f"print(hash_anything({values}))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == hash_anything([{"a": (1, 2.5)}, "text", {"k": {"l": None}}])


def test_the_hash_of_an_array_of_objects_is_that_of_the_objects():
    def make():
        return np.array([{"a": 1.5}, "text"], dtype=object)

    assert hash_anything(make()) == hash_anything(make())


def test_a_part_of_an_array_can_be_hashed_although_its_bytes_are_scattered():
    array = np.arange(10.0)
    assert hash_anything(array[::2]) == hash_anything(np.arange(10.0)[::2])


def test_what_cannot_be_hashed_is_named():
    with pytest.raises(UnpicklableError, match="function"):
        hash_anything(lambda x: x)


@pytest.mark.parametrize(
    ("num", "figures", "rounded"),
    [
        (123456.789, 2, 120000.0),
        (-0.00123456, 3, -0.00123),
        (9.99, 2, 10.0),
        (7, 1, 7.0),
        (0, 3, 0.0),
        (1234.5, 20, 1234.5),
        (math.inf, 3, math.inf),
        (sys.float_info.max, 2, sys.float_info.max),
    ],
)
def test_rounding_to_significant_figures(num, figures, rounded):
    assert round_sigfigs(num, figures) == rounded


@given(finite, sig_figs)
def test_rounding_twice_is_rounding_once(x, figures):
    once = round_sigfigs(x, figures)
    assert round_sigfigs(once, figures) == once


@given(st.floats(min_value=1e-300, max_value=1e300), st.integers(1, 15))
def test_rounding_changes_a_number_by_half_of_its_last_figure_at_most(x, figures):
    assert abs(round_sigfigs(x, figures) - x) <= 0.5000001 * 10 ** (1 - figures) * x


@given(st.integers() | st.text() | st.none() | st.booleans() | st.lists(finite), sig_figs)
def test_what_is_no_float_is_not_rounded(x, figures):
    assert maybe_round(x, figures) is x


@given(st.complex_numbers(allow_nan=False, allow_infinity=False), sig_figs)
def test_both_parts_of_a_complex_number_are_rounded(z, figures):
    rounded = maybe_round(z, figures)
    assert rounded == complex(round_sigfigs(z.real, figures), round_sigfigs(z.imag, figures))


def test_a_complex_number_with_an_infinite_part_stays_what_it_is():
    z = complex(1.23456, math.inf)
    assert maybe_round(z, 2) == z


def test_a_project_that_was_moved_is_itself_among_what_lies_in_it():
    project = Project(Path("/new/place"), Path("/old"))
    assert project.path("/old") == project.path(".") == Path("/new/place")
    assert project.path("/older") == Path("/older")
    assert project.holds(Path("/new/place"))
    assert project.name("/old") == project.name("/new/place") == "."
