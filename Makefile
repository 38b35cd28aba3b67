# Everything a newcomer or a machine types. `make help` lists the targets.
#
# The virtual environment is made once and again whenever pyproject.toml changes.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Rooms of fresh machines differ in what their interpreter is called.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3) python3)
WORKERS ?= 2

.PHONY: help install demo test check bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 10

install: $(STAMP) ## make the virtual environment and install everything into it

$(STAMP): pyproject.toml Makefile hatch_build.py recsys/index/kernel.c
	@PYTHON="$(PYTHON)" bash .ci/system-packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## train on the bundled log and print recommendations
	$(BIN)/python pipelines/demo.py

test: $(STAMP) check ## run everything that proves it works
	$(BIN)/python -m pytest -n $(WORKERS) --doctest-modules recsys tests

check: $(STAMP) ## style, types, import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_rooms.py

bench: $(STAMP) ## compare with the peers, minutes
	$(BIN)/python -m benchmarks.real_logs
	$(BIN)/python -m benchmarks.ingest

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
