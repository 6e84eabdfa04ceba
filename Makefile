# The whole daily routine. Every path is relative, so the folder may have any name.
HOST ?= 127.0.0.1
PORT ?= 8000
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
    "$$p" $(NEW_ENOUGH) 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# torch's build: cpu, cuda, or what fits the machine. Given by hand, it is looked at again.
export TORCH TORCH_INDEX
ANEW := $(if $(TORCH),anew)

.DEFAULT_GOAL := help
.PHONY: help serve test check format reference bench clean anew

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(VENV)/.serve  ## set up what is missing and serve on http://$(HOST):$(PORT)
	$(BIN)/python -m app serve --host $(HOST) --port $(PORT)

test: $(VENV)/.dev  ## set up what is missing and run the whole test suite
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.dev  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(VENV)/.dev  ## write docs/reference.md anew: settings, routes, problems, metrics, commands
	$(BIN)/python -m docs.reference

bench: $(VENV)/.bench  ## measure engines and service beside their peers: tables, and a chart in build/benchmarks
	$(BIN)/python -m benchmarks.engines
	$(BIN)/python -m benchmarks.sizes
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.fairness
	$(BIN)/python -m benchmarks.chart

clean:  ## remove the virtual environment and every cache
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@"$(or $(PYTHON),false)" $(NEW_ENOUGH) || { \
	  echo "Impasto needs Python 3.11 or newer: install it, or name one with make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.serve: pyproject.toml $(ANEW) | $(BIN)/python
	@echo "Installing Impasto into $(VENV) (a few minutes the first time: torch is large)"
	$(BIN)/python tools/install.py .
	@touch $@

$(VENV)/.dev: pyproject.toml $(ANEW) | $(BIN)/python
	@echo "Installing Impasto and its test tools into $(VENV) (a few minutes the first time)"
	$(BIN)/python tools/install.py '.[dev]'
	@touch $@ $(VENV)/.serve

anew:

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[bench]'
	@touch $@
