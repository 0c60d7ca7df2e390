"""DOC."""

from __future__ import annotations

import os
import pickle
import pwd
import subprocess
import sys
import zipfile
from pathlib import Path

import adaptive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import InvalidInputError, MissingPackageError
from adaptive_scheduler.learners.dataframes import (
    check_format,
    expand_dict_columns,
    fname_to_dataframe,
    load_dataframes,
    save_dataframe,
)

PACKAGES = {"excel": "openpyxl", "feather": "pyarrow", "hdf": "tables", "parquet": "pyarrow"}
FORMATS = ["csv", "excel", "feather", "hdf", "json", "parquet", "pickle"]


def square(x, scale=2):
    return scale * x**2


def with_details(x):
    return {"y": 2 * x, "details": {"steps": 3}}


def line(n=3, function=square):
    learner = adaptive.Learner1D(function, (0, 1))
    for x in np.linspace(0, 1, n):
        learner.tell(float(x), function(float(x)))
    return learner


def sequence(function=square, n=3):
    learner = adaptive.SequenceLearner(function, list(range(n)))
    for i in range(n):
        learner.tell((i, i), function(i))
    return learner


@pytest.mark.parametrize(
    ("fname", "name"),
    [
        ("a.pickle", "dataframe.a.pickle"),
        (Path("x/a.pickle"), "x/dataframe.a.pickle"),
        ("a", "dataframe.a.pickle"),
        ("a.b.c", "dataframe.a.b.pickle"),
        ("x.d/a.pickle", "x.d/dataframe.a.pickle"),
        ("/abs/a_0.1__b_3.5.pickle", "/abs/dataframe.a_0.1__b_3.5.pickle"),
        (["x/a.pickle", "x/b.pickle"], "x/dataframe.a.pickle"),
        ([Path("x/a.pickle")], "x/dataframe.a.pickle"),
    ],
)
def test_a_dataframe_lies_beside_the_data(fname, name):
    assert fname_to_dataframe(fname) == Path(name)


def test_the_ending_is_that_of_the_format():
    endings = {fmt: fname_to_dataframe("a.pickle", fmt).suffix for fmt in FORMATS}
    assert endings == {**{fmt: f".{fmt}" for fmt in FORMATS}, "excel": ".xlsx"}


@pytest.mark.parametrize("fname", ["", [], "/"])
def test_a_dataframe_needs_a_name(fname):
    with pytest.raises(InvalidInputError, match="names no file"):
        fname_to_dataframe(fname)


@pytest.mark.parametrize(
    "use",
    [
        lambda: fname_to_dataframe("a.pickle", "xml"),
        lambda: save_dataframe("a.pickle", format="xml"),
        lambda: load_dataframes([], format="xml"),
        lambda: check_format("xml"),
    ],
)
def test_the_known_formats_are_listed_when_one_is_unknown(use):
    with pytest.raises(InvalidInputError, match=r"'xml'.*csv.*pickle"):
        use()


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_what_was_saved_is_loaded_in_every_format(folder, fmt):
    if fmt in PACKAGES:
        pytest.importorskip(PACKAGES[fmt])
    save_dataframe("data/a.pickle", format=fmt)(sequence())
    df = load_dataframes(["data/a.pickle"], format=fmt)
    index = ["Unnamed: 0"] if fmt in {"csv", "excel"} else []
    assert list(df.columns) == [*index, "i", "x", "y", "function.scale", "fname"]
    assert df["y"].tolist() == [0, 2, 8]
    assert df["fname"].tolist() == ["data/a.pickle"] * 3


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_format_that_cannot_be_written_here_is_known_before(monkeypatch, fmt):
    monkeypatch.setattr("adaptive_scheduler.learners.dataframes.find_spec", lambda _: None)
    if fmt not in PACKAGES:
        check_format(fmt)
        return
    with pytest.raises(MissingPackageError, match=f"pip install {PACKAGES[fmt]}"):
        check_format(fmt)


def test_the_saving_function_can_travel(folder):
    save = pickle.loads(pickle.dumps(save_dataframe("a.pickle", index_name="number")))
    save(sequence())
    assert "number" in load_dataframes(["a.pickle"])


def test_a_dataframe_that_cannot_be_written_leaves_the_older_one(folder):
    save_dataframe("a.pickle")(line(3))
    with pytest.raises(ValueError, match="nonsense"):
        save_dataframe("a.pickle", save_kwargs={"compression": "nonsense"})(line(5))
    assert len(load_dataframes(["a.pickle"])) == 3
    assert [path.name for path in folder.iterdir()] == ["dataframe.a.pickle"]


def test_a_dataframe_can_be_written_in_its_place(folder):
    save_dataframe("data/a.pickle", atomically=False)(line(3))
    assert len(load_dataframes(["data/a.pickle"])) == 3


@pytest.mark.parametrize("atomically", [True, False])
def test_a_file_can_be_in_the_home_folder(folder, monkeypatch, atomically):
    monkeypatch.setenv("HOME", str(folder / "home"))
    save_dataframe("~/data/a.pickle", atomically=atomically)(line(3))
    assert (folder / "home/data/dataframe.a.pickle").exists()
    assert len(load_dataframes(["~/data/a.pickle"])) == 3


def test_what_pandas_is_told_is_passed_on(folder):
    save_dataframe("a.pickle", format="csv", save_kwargs={"index": False, "sep": ";"})(line(2))
    df = load_dataframes(["a.pickle"], format="csv", read_kwargs={"sep": ";"})
    assert list(df.columns) == ["x", "y", "function.scale", "fname"]


def test_what_the_learner_is_told_is_passed_on(folder):
    save = save_dataframe("a.pickle", with_default_function_args=False, y_name="result")
    save(sequence())
    assert list(load_dataframes(["a.pickle"]).columns) == ["i", "x", "result", "fname"]


def test_dictionaries_become_columns_unless_one_says_no(folder):
    save_dataframe("a.pickle")(sequence(with_details))
    save_dataframe("b.pickle", expand_dicts=False)(sequence(with_details))
    expanded, as_it_is = load_dataframes(["a.pickle", "b.pickle"], concat=False)
    assert list(expanded.columns) == ["i", "x", "y.y", "y.details.steps", "fname"]
    assert as_it_is["y"][1] == {"y": 2, "details": {"steps": 3}}


def test_a_balancing_learner_has_one_dataframe(folder):
    learner = adaptive.BalancingLearner([line(2), line(3)])
    fnames = ["a.pickle", "b.pickle"]
    save_dataframe(fnames)(learner)
    df = load_dataframes([fnames])
    assert df["learner_index"].tolist() == [0, 0, 1, 1, 1]
    assert df["fname"].tolist() == [fnames] * 5


def test_dataframes_are_joined_and_keep_what_belongs_to_them(folder):
    save_dataframe("a.pickle")(line(2))
    save_dataframe("b.pickle")(line(3))
    df = load_dataframes(["a.pickle", Path("b.pickle")])
    assert df["fname"].tolist() == ["a.pickle"] * 2 + [Path("b.pickle")] * 3
    assert df.index.tolist() == [0, 1, 0, 1, 2]
    assert df.attrs == {"inputs": ["x"], "output": "y"}


def test_dataframes_that_are_not_there_yet_are_left_out_with_one_warning(folder):
    save_dataframe("a.pickle")(line(2))
    fnames = ["a.pickle", *(f"missing_{i}.pickle" for i in range(5))]
    with pytest.warns(
        UserWarning, match=r"5 of 6 .*missing_0.*missing_2\.pickle and 2 more"
    ) as said:
        df = load_dataframes(fnames)
    assert len(df) == 2
    assert len(said) == 1
    assert said[0].filename == __file__


@pytest.mark.parametrize("content", [b"", b"\x80\x04nonsense", b"PK\x03\x04"])
def test_dataframes_that_cannot_be_read_are_left_out_and_named(folder, content):
    save_dataframe("a.pickle")(line(2))
    Path("dataframe.b.pickle").write_bytes(content)
    with pytest.warns(UserWarning, match=r"1 of 2 .*can't be read.*dataframe\.b\.pickle \(\w+"):
        df = load_dataframes(["a.pickle", "b.pickle"])
    assert len(df) == 2


def test_nothing_loaded_is_an_empty_dataframe(folder):
    assert load_dataframes([]).empty
    assert load_dataframes([], concat=False) == []


def test_a_single_file_is_not_taken_for_a_list():
    with pytest.raises(InvalidInputError, match=r"use \['a.pickle'\]"):
        load_dataframes("a.pickle")


@pytest.mark.parametrize("fmt", PACKAGES)
def test_a_package_that_is_not_installed_is_named(folder, fmt, monkeypatch):
    package = PACKAGES[fmt]
    loaded = [name for name in sys.modules if name.split(".")[0] == package]
    for name in (package, "fastparquet", *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        save_dataframe("a.pickle", format=fmt)(line(2))
    with zipfile.ZipFile(fname_to_dataframe("a.pickle", fmt), "w") as file:
        file.writestr("xl/workbook.xml", "")
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        load_dataframes(["a.pickle"], format=fmt)


@pytest.mark.system
def test_pandas_is_not_loaded_before_it_is_needed():
    code = (
        "import sys; from adaptive_scheduler.learners import dataframes;"
        "dataframes.save_dataframe('a.pickle'); print('pandas' in sys.modules)"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout == "False\n"


def test_loaded_dataframes_are_those_of_the_learner(folder):
    learner = line(4)
    save_dataframe("a.pickle")(learner)
    loaded = load_dataframes(["a.pickle"]).drop(columns="fname")
    pd.testing.assert_frame_equal(loaded, learner.to_dataframe())


class _NotOfNumbers(adaptive.SequenceLearner):
    def to_dataframe(self):
        return pd.DataFrame({"y": [{"a": 1}, [2]]})


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
@pytest.mark.parametrize("fmt", ["pickle", "hdf"])
def test_dataframes_of_another_user_that_are_unpickled_are_told(folder, fmt):
    if os.geteuid() != 0:
        pytest.skip("Only root can give files away.")
    learner = _NotOfNumbers(abs, range(3))
    for fname in ("a", "b"):
        save_dataframe(fname, format=fmt, expand_dicts=False)(learner)
    path = fname_to_dataframe("a", fmt)
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.warns(UserWarning, match="others may have written") as said:
        df = load_dataframes(["a", "b"], format=fmt)
    (warning,) = said
    assert f"{path} (nobody)" in str(warning.message)
    assert "dataframe.b" not in str(warning.message)
    assert list(df["y"]) == [{"a": 1}, [2]] * 2


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
