"""Settings of Sphinx."""

from __future__ import annotations

import logging
from importlib.metadata import version as version_of

project = "adaptive_scheduler"
author = "The adaptive-scheduler developers"
copyright = author  # noqa: A001  the name that Sphinx reads
version = release = version_of("adaptive-scheduler")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
# Names in docstrings are links where they can be.
default_role = "py:obj"

html_theme = "furo"
html_title = "adaptive scheduler"
html_static_path = ["_static"]
html_css_files = ["style.css"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# The examples of these pages run among the tests, where they can start jobs.
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
# Shown as they are written; what they stand for fills the page.
_ALIASES = ["EXECUTOR_TYPES", "FnameTypes", "FnamesTypes", "GoalTypes", "PerLearner"]
autodoc_type_aliases = {name: name for name in _ALIASES}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_use_rtype = False
# Several names that are described together stay together.
napoleon_custom_sections = [("Attributes", "params_style")]

# It tells, as news, how many threads it will use.
logging.getLogger("numexpr").setLevel(logging.WARNING)

# A prompt or a result is not what somebody wants to copy.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
