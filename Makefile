# Headrace: every verb makes its own virtual environment with what a fresh machine has; uv is used when it is there.
# PYTHON=python3.12 make setup   chooses another interpreter (3.11 or newer).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
MODEL ?=
TESTS ?= tests
PAGE := runtime/page/index.html

.PHONY: help setup setup-local web chromium screenshots demo serve test test-full check format bench evaluate docs lock clean

help: ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: $(VENV)/.ready ## make the virtual environment from requirements.lock

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headrace needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make setup PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) (two to five minutes the first time)"
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --editable . ; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . ; \
	fi
	@touch $@

setup-local: $(VENV)/.ready-local ## the same, with llama.cpp for --model local

$(VENV)/.ready-local: $(VENV)/.ready requirements-local.lock
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-local.lock; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-local.lock; \
	fi
	@touch $@

web: ## build the page at / into runtime/page; needs Node 20.19 or newer
	@sh web/build.sh

# What serves or tests the page builds it when its sources are newer, and goes on without it where there is no Node.
$(PAGE): $(shell find web -name node_modules -prune -o -type f -print)
	@sh web/build.sh --if-possible

chromium: ## Debian's Chromium for the tests of the page, where it is missing
	@sh tests/browser/chromium.sh

screenshots: setup web chromium ## the pictures of the page in docs/images
	HEADRACE_SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/python -m pytest -q tests/browser/test_screenshots.py

demo: setup $(PAGE) $(if $(filter local,$(MODEL)),setup-local) ## ask a question over documents and watch; Q="..." DOCS=... MODEL=offline|local|scripted|anthropic
	@Q="$(Q)" DOCS="$(DOCS)" MODEL="$(MODEL)" $(BIN)/python -m runtime.cli.demo

serve: setup $(PAGE) $(if $(findstring local,$(ARGS)),setup-local) ## keep the system running; ARGS="--port 8001 --model scripted"
	@$(BIN)/headrace serve $(ARGS)

test: setup $(PAGE) chromium ## the whole suite but the slow storms; TESTS=tests/llm for a part
	$(BIN)/python -m pytest -m "not slow" $(TESTS)

# The long tier. About four hours on two cores; TESTS=tests/simulation runs a part, and the report keeps the latest row of each.
FULL := SEEDS=50000 CUTS=2000 REPEATS=20 STORM_KILLS=80 STORM_EACH_POINT=20 STORM_RUNS=300 ZOMBIE_ROUNDS=5 CANCELS=200 \
        ROUNDS=20 OUTAGES=30/5/20 BLACKHOLE_S=60 READERS=100 RUNS=10 SCHEMATHESIS_CASES=10000

test-full: setup setup-local $(PAGE) chromium ## everything, with the long fault storms; writes docs/guarantees.md
	HEADRACE_REPORT=$(CURDIR)/docs/guarantees.jsonl HEADRACE_COMMIT=$$(git rev-parse --short HEAD) env $(FULL) $(BIN)/python -m pytest -s --timeout=10800 $(TESTS)
	$(BIN)/python -m tests.faults.report docs/guarantees.jsonl > docs/guarantees.md

check: setup ## lint, format, strict types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## put the code into its form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup ## measure, as ratios side by side; writes benchmarks/latest.json
	$(BIN)/python -m benchmarks $(ARGS)

evaluate: setup $(if $(filter local,$(MODEL)),setup-local) ## measure the built-in agents' answers; MODEL=offline|local|anthropic; writes docs/evaluation.md
	$(BIN)/python -m tests.evaluation $(MODEL) $(ARGS)

lock: setup ## write the lock files anew from pyproject.toml
	uv pip compile -q pyproject.toml --extra dev --generate-hashes --universal --python-version 3.11 --no-annotate --no-emit-index-url -o requirements.lock
	uv pip compile -q pyproject.toml --extra dev --extra local --generate-hashes --universal --python-version 3.11 --no-annotate --no-emit-index-url -c requirements.lock -o requirements-local.lock

clean: ## forget the virtual environment and all caches; .headrace stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache web/node_modules runtime/page
