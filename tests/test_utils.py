import subprocess
import sys
from importlib import import_module

import pytest

from adaptive_scheduler import utils


@pytest.mark.parametrize("name", utils.__all__)
def test_a_name_is_that_of_its_module(name):
    home = import_module(utils._HOME[name])
    assert getattr(utils, name) is getattr(home, name)


def test_the_lists_of_names_agree():
    assert sorted(utils.__all__) == sorted(name for name in utils._HOME if name[0] != "_")
    assert dir(utils) == sorted(utils.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = utils.nonsense


def test_the_formats_of_dataframes_can_be_asked_for():
    assert set(utils._DATAFRAME_FORMATS.__args__) == {
        *("csv", "excel", "feather", "hdf", "json", "parquet", "pickle")
    }


#: Modules that take long to load.
SLOW = {"IPython", "adaptive", "ipyparallel", "ipywidgets", "numpy", "pandas", "rich"}


def loaded_by(code):
    """Return which of the slow modules a process has loaded after `code`."""
    code += f"; import sys; print(*({SLOW} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_it_costs_nothing():
    assert loaded_by("import adaptive_scheduler.utils") == []


@pytest.mark.parametrize(
    "name",
    [
        "LRUCachedCallable",
        "WrappedFunction",
        "add_timing_to_object",
        "combo2fname",
        "log_exception",
        "shuffle_list",
        "track_file_creation_progress",
    ],
)
def test_names_that_are_not_about_learners_do_not_load_adaptive(name):
    assert loaded_by(f"from adaptive_scheduler.utils import {name}") == []
