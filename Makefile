# Everything runs from .venv, which the first target that needs it makes. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt lint types arch docs bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

$(STAMP): pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

setup: $(STAMP) ## make the virtual environment

demo: $(STAMP) ## translate two CUDA kernels to llvm and cuda, verified, and time them
	$(BIN)/python examples/demo.py

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest -n 2

check: $(STAMP) lint types arch test ## all that a change must pass

fmt: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix -q .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

arch: $(STAMP)
	$(BIN)/lint-imports

docs: $(STAMP) ## build the documentation to build/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

bench: $(STAMP) ## time the stages and the translated kernels
	$(BIN)/python benchmarks/stages.py examples/kernels/manifest.toml

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
