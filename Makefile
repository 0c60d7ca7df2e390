# `make` lists what there is. All of it runs in a virtual environment of its own.

ifeq ($(wildcard adaptive_scheduler/__init__.py),)
$(error Run make in the folder of this Makefile, or name that folder: make -C FOLDER)
endif

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One step after the other, and all of them, even when one fails: the tests come last.
.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --keep-going --no-print-directory

PYTHON ?= python3
VENV := .venv
# Exact versions of all that is installed; empty for the newest of everything.
LOCK := requirements.lock
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
# What builds the package, which pip would else install by itself, as new as it is.
BUILD := 'hatchling>=1.26' 'editables>=0.5'
RUN := $(VENV)/bin/python -m
# Most tests wait for other processes most of their time, so that more of them than there are cores run at once.
PYTEST := pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder
PYTEST_ARGS ?=
SOAK_ARGS ?=

CHECK_PYTHON := import sys; sys.exit(sys.version_info < (3, 11) and \
    "adaptive_scheduler needs Python 3.11 or newer, and this is %s.\n" % sys.version.split()[0] + \
    "Name a newer one: make PYTHON=/path/to/python3.11 ...")

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

# The environment. A stamp is newer than pyproject.toml and the lock when what it stands for
# is installed.

INSTALL = $(PIP) $(if $(LOCK),--constraint $(LOCK)) $(BUILD) && \
    $(PIP) $(if $(LOCK),--constraint $(LOCK)) --no-build-isolation --editable

$(VENV)/bin/python:
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml $(LOCK) $(VENV)/bin/python
	$(INSTALL) . 'matplotlib>=3.8'
	@touch $@

$(VENV)/installed-for-tests: pyproject.toml $(LOCK) $(VENV)/bin/python
	$(INSTALL) '.[test,docs]'
	@touch $@ $(VENV)/installed

.PHONY: demo
demo: $(VENV)/installed  ## watch 20 learners run on this machine, and see a picture of them
	@mkdir -p build/demo
	@cd build/demo && "$(CURDIR)"/$(VENV)/bin/python ../../examples/demo.py

.PHONY: test
test: lint docs pytest  ## install what the tests need, and run all of them

.PHONY: test-newest
test-newest:  ## run all tests with the newest version of everything
	rm -rf .venv-newest
	$(MAKE) test VENV=.venv-newest LOCK=

.PHONY: test-lowest
test-lowest: build/lowest.txt  ## run all tests with the oldest versions that pyproject.toml allows
	rm -rf .venv-lowest
	$(MAKE) docs pytest VENV=.venv-lowest LOCK=build/lowest.txt  # no lint: no user runs our linters

.PHONY: lint
lint: $(VENV)/installed-for-tests  ## look for mistakes without running anything
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

.PHONY: format
format: $(VENV)/installed-for-tests  ## repair what can be repaired without thinking
	$(RUN) ruff check --fix
	$(RUN) ruff format

.PHONY: docs
docs: $(VENV)/installed-for-tests  ## build the documentation
	$(RUN) sphinx -W --keep-going --quiet -b html docs build/docs
	@echo "The documentation is in build/docs/index.html"

.PHONY: pytest
pytest: $(VENV)/installed-for-tests  ## run the tests: make pytest PYTEST_ARGS="-k journal"
	-@$(RUN) tests.cluster.packages
	$(RUN) $(PYTEST) $(PYTEST_ARGS)

.PHONY: unit
unit: $(VENV)/installed-for-tests  ## run the tests that start no process, within a minute
	$(RUN) pytest --numprocesses=auto -m unit $(PYTEST_ARGS)

.PHONY: soak
soak: $(VENV)/installed-for-tests  ## have random faults strike a run: make soak SOAK_ARGS="--scheduler pbs --faults 200"
	-@$(RUN) tests.cluster.packages
	$(RUN) tests.soak $(SOAK_ARGS)

.PHONY: bench
bench: $(VENV)/installed  ## measure speed beside release 2.17.2 (10 minutes, more on a busy machine)
	@for name in handshake job run evaluations slurm; do \
	    $(VENV)/bin/python benchmarks/$$name.py --json build/benchmarks/$$name.json $(BENCH_ARGS); \
	done

.PHONY: develop
develop: $(VENV)/installed-for-tests  ## check each commit, and keep results out of its notebooks
	$(RUN) pre_commit install
	$(VENV)/bin/python ipynb_filter.py

# Versions. Packages that are only needed by others are new in both: what is asked of them is
# for those others to say.

COMPILE = printf '%s\n' $(BUILD) | $(RUN) uv pip compile --quiet --no-annotate \
    --extra test --extra docs --custom-compile-command 'make lock' pyproject.toml -

.PHONY: lock
lock: $(VENV)/bin/python  ## write the newest versions into requirements.lock, for `make test`
	$(PIP) 'uv>=0.5'
	$(COMPILE) --upgrade --universal --python-version 3.11 --output-file requirements.lock

# Only what has wheels: sources that are years old may not compile any more.
build/lowest.txt: pyproject.toml $(VENV)/bin/python
	$(PIP) 'uv>=0.5'
	@mkdir -p build
	$(COMPILE) --upgrade --resolution lowest-direct --only-binary :all: --output-file $@

.PHONY: clean
clean:  ## remove the environments and all that was built
	rm -rf $(VENV) .venv-newest .venv-lowest build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
