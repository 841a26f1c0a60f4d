# What people do with a checkout. Everything lives in .venv and .cache; deleting both undoes it all.
# Recipes are for any POSIX shell, and a path with a space in it works.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
# A stamp is newer than what it was made from, so that a second `make` does no work at all.
RUN_STAMP := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test
BENCH_STAMP := $(VENV)/.installed-bench
RECIPES_STAMP := $(VENV)/.installed-recipes
RECIPE := pyproject.toml constraints.txt
# How many processes share the tests; and more for `vizcore app`, as in make run ARGS="--port 8600".
WORKERS ?= 2
ARGS ?=
# Tatoeba's pairs (English, tab, Chinese), from which three of the bundled models are made.
DATA ?= ../shared/data/tatoeba-cmn-eng.tsv
TATOEBA := tatoeba-translator tatoeba-lm tatoeba-mlm
PIP := $(PYTHON) -m pip --disable-pip-version-check
TYPESCRIPT := 7.0.2
TSC := .cache/typescript-$(TYPESCRIPT)/node_modules/typescript/bin/tsc

.NOTPARALLEL:
.PHONY: help run test models check check-types-js bench browser conformance bundle $(TATOEBA) induction clean

help: ## Say what can be made.
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

run: $(RUN_STAMP) ## Set everything up (first time: some minutes) and open the app in the browser.
	@echo "Starting the app; stop it with Ctrl-C."
	@$(PYTHON) -m vizcore.cli app $(ARGS)

test: $(TEST_STAMP) $(TSC) browser models ## Get what the tests need, a browser and models included, and run every test.
	@echo "Running every test on $(WORKERS) workers …"
	@$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile --durations 10

models: $(RUN_STAMP) ## Fetch the catalogue's models, verify and convert them (once; they stay in your cache).
	@$(PYTHON) -m vizcore.cli fetch --all

check: $(TEST_STAMP) $(TSC) ## Check style, types (Python and JavaScript) and the project's own rules.
	@echo "ruff: style and likely mistakes"
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@echo "mypy: strict types in vizcore"
	@$(PYTHON) -m mypy
	@echo "tsc: the types in the views' JavaScript"
	@$(PYTHON) tests/support/javascript.py $(TSC)
	@echo "guards: the project's own rules"
	@$(PYTHON) -m pytest -q tests/guards

bench: $(BENCH_STAMP) browser models ## Measure cost and speed, side by side with other ways, and print the tables.
	@$(PYTHON) tests/support/benchmarks.py

conformance: $(TEST_STAMP) ## Try every text architecture of transformers and write docs/conformance.md (minutes).
	@OMP_NUM_THREADS=1 $(PYTHON) -m tests.conformance.sweep

bundle: $(TATOEBA) induction ## Train the bundled models again, from DATA=pairs.tsv (hours; a stopped one goes on).

$(TATOEBA): $(RECIPES_STAMP)
	@$(PYTHON) -m vizcore.recipes $@ --data "$(DATA)"

induction: $(RECIPES_STAMP)
	@$(PYTHON) -m vizcore.recipes $@

browser: $(TEST_STAMP)
	@$(PYTHON) tests/support/browser.py

clean: ## Remove the environment and all that was cached in this folder.
	rm -rf $(VENV) .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- How it is done -----------------------------------------------------------------------------

$(PYTHON):
	@sh tests/support/venv.sh $(VENV)

$(RUN_STAMP): $(RECIPE) | $(PYTHON)
	@echo "Installing what the app needs, in the versions that constraints.txt names."
	@echo "The first time this downloads about 500 MB (several GB where PyTorch comes with CUDA) …"
	@$(PIP) --version >/dev/null 2>&1 || sh tests/support/venv.sh $(VENV)
	@$(PIP) install --editable . --constraint constraints.txt
	@touch $@

# All that the app needs is among what the tests need, so one installation serves both.
$(TEST_STAMP): $(RECIPE) | $(PYTHON)
	@echo "Installing what the app, the tests and the checks need, in the versions of constraints.txt."
	@echo "The first time this downloads about 650 MB (several GB where PyTorch comes with CUDA) …"
	@$(PIP) --version >/dev/null 2>&1 || sh tests/support/venv.sh $(VENV)
	@$(PIP) install --editable '.[test]' --constraint constraints.txt
	@touch $(RUN_STAMP) $@

$(BENCH_STAMP): $(TEST_STAMP)
	@echo "Installing what the benchmarks compare with (about 60 MB the first time) …"
	@$(PIP) install --quiet --editable '.[test,bench]' --constraint constraints.txt
	@# Without what BertViz asks for to fetch old models, which wants a python-dateutil of its own.
	@$(PIP) install --quiet --no-deps --constraint constraints.txt bertviz circuitsvis
	@touch $@

$(RECIPES_STAMP): $(RUN_STAMP)
	@echo "Installing what the bundled models are made and measured with (about 20 MB the first time) …"
	@$(PIP) install --quiet --editable '.[recipes]' --constraint constraints.txt
	@touch $@

$(TSC): | $(TEST_STAMP)
	@echo "Getting TypeScript $(TYPESCRIPT), which checks the JavaScript's types …"
	@$(PYTHON) tests/support/javascript.py --install $(TYPESCRIPT) .cache/typescript-$(TYPESCRIPT)
