import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.learners.dict_columns import expand_dict_columns


def columns(df):
    return {name: df[name].tolist() for name in df.columns}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"y": [{"a": 1}, {"a": 2}], "x": [1, 2]}, {"x": [1, 2], "y.a": [1, 2]}),
        ({"y": [{"z": {"c": 1}, "y": 2}]}, {"y.y": [2], "y.z.c": [1]}),
        (
            {"y": [{"z": {"c": {"q": 1}, "d": 4}, "y": 2}], "u": [{"v": 1}]},
            {"y.y": [2], "y.z.c.q": [1], "y.z.d": [4], "u.v": [1]},
        ),
        ({"y": [{1: "a"}]}, {"y.1": ["a"]}),
        ({"y": [{"a": [{"b": 1}]}]}, {"y.a": [[{"b": 1}]]}),
        ({"x": [1, 2], "y": [{}, {}]}, {"x": [1, 2]}),
    ],
)
def test_values_get_columns_of_their_own_after_the_others(before, after):
    expanded = expand_dict_columns(pd.DataFrame(before))
    assert columns(expanded) == after
    assert list(expanded.columns) == list(after)


@pytest.mark.parametrize("hole", [None, float("nan"), pd.NA])
def test_a_missing_dictionary_has_missing_values(hole):
    expanded = expand_dict_columns(pd.DataFrame({"y": [{"a": 1, "b": "s"}, hole, {"a": 2}]}))
    assert expanded["y.a"].isna().tolist() == [False, True, False]
    assert expanded["y.b"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    "before",
    [
        {"y": [{"a": 1}, 3]},
        {"y": [3, {"a": 1}]},
        {"y": [None, {"a": 1}]},
        {"y": [{"a": 1}, [1, 2]]},
        {"y": [{"a": 1}], "y.a": [2]},
        {"y": ["text"], "z": [np.array([1, 2])]},
        {"y": []},
    ],
)
def test_other_columns_stay_what_they_are(before):
    df = pd.DataFrame(before)
    assert expand_dict_columns(df).equals(df)


def test_columns_of_one_name_stay_what_they_are():
    df = pd.DataFrame([[{"a": 1}, {"a": 2}]], columns=["y", "y"])
    assert expand_dict_columns(df).equals(df)


def test_index_and_attributes_are_kept():
    df = pd.DataFrame({"y": [{"a": 1}, {"a": 2}]}, index=[5, 7])
    df.attrs["output"] = "y"
    expanded = expand_dict_columns(df)
    assert list(expanded.index) == [5, 7]
    assert expanded.attrs == {"output": "y"}


def test_the_dataframe_itself_does_not_change():
    df = pd.DataFrame({"x": [1], "y": [{"a": 1}]})
    expand_dict_columns(df)
    assert columns(df) == {"x": [1], "y": [{"a": 1}]}


# Beside a missing value, pandas holds integers as floats.
integers = st.integers(-(2**53), 2**53)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), integers), min_size=1))
def test_no_value_is_lost(dicts):
    expanded = expand_dict_columns(pd.DataFrame({"y": pd.Series(dicts, dtype=object)}))
    for i, values in enumerate(dicts):
        row = expanded.iloc[i].dropna()
        assert {name.removeprefix("y."): int(value) for name, value in row.items()} == values
