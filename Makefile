# Everything a newcomer or a machine types. `make help` lists the targets.
#
# The virtual environment is made once and again whenever pyproject.toml changes.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
# Machines differ in what they call Python: the first of these that is there.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3) python3)
WORKERS ?= 2
# Bytecode is kept, also where an image says not to: the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install peers azurite demo test suite faults check lint docs site bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 10

install: $(STAMP) ## make the virtual environment and install everything into it

$(STAMP): pyproject.toml Makefile hatch_build.py .ci/compile_loops.py recsys/index/kernel.c recsys/index/plain_list.c
	@PYTHON="$(PYTHON)" bash .ci/system-packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python .ci/compile_loops.py
	@touch $@

peers: $(PEERS_STAMP) ## make the environment of RecTools, which needs another NumPy, and of an MLflow server

$(PEERS_STAMP): benchmarks/peers.txt
	@PYTHON="$(PYTHON)" bash .ci/system-packages
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

azurite: .azurite/node_modules ## install Azurite by npm, 190 MB: what the tests of abfs:// talk to

.azurite/node_modules:
	npm install --silent --no-audit --no-fund --omit=optional --prefix .azurite azurite

demo: $(STAMP) ## train on the bundled log and print recommendations
	$(BIN)/python pipelines/demo.py

test: $(STAMP) $(PEERS_STAMP) ## run everything that proves it works
	$(MAKE) --jobs=2 lint suite

# Beside `lint`, as the tests wait for a quarter of their time: for other processes, mostly.
suite: site
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --doctest-modules recsys tests --ignore=recsys/cuda/card.py

faults: $(STAMP) ## kill nights at 200 random moments, send 500 signals to each command, fill the disk, flip bits; hours
	RECSYS_SIGNALS=500 RECSYS_KILLS=200 RECSYS_FULL=1000 RECSYS_PARTS=10 RECSYS_PUBLISHED=200 RECSYS_BITS=0.05 RECSYS_OBJECT_KILLS=all $(BIN)/python -m pytest -n $(WORKERS) tests/faults tests/objects tests/store/test_faults.py tests/store/test_verify.py tests/store/test_flipped_bits.py

check: lint ## style, types, import order
	$(BIN)/python -m pytest tests/test_rooms.py

# What `make check` checks beside it is among the tests, and runs once.
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: site ## make the site in build/site; a broken link or snippet, or a name without docstring, is an error
	$(BIN)/python -m pytest -n $(WORKERS) tests/test_docs.py tests/test_site.py tests/test_tour.py

# What `make docs` checks beside the site is among the tests, and runs once.
site: $(STAMP)
	$(BIN)/python -m docs.site

bench: $(STAMP) ## compare with the peers, minutes
	$(BIN)/python -m benchmarks.real_logs
	$(BIN)/python -m benchmarks.ingest

clean: ## remove what the targets above made
	rm -rf $(VENV) $(PEERS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
