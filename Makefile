# make run    set everything up and start midlayer on examples/default.toml
# make test   set everything up and pass every tier
# make lint   ruff, mypy, import-linter
# make bench  ratios, measured in one run
# make fuzz   mutate what parses bytes from outside, ten seconds for each parser

PYTHON ?= python3
BIN := .venv/bin
BUILT_FROM := setup.py $(wildcard src/midlayer/frontends/nodes/preload/*)

.PHONY: run test lint unit bench fuzz clean

run: .venv/.runtime
	@exec $(BIN)/midlayer up --config examples/default.toml --show

test: .venv/.dev lint
	@$(BIN)/python -m tests.packages
	@$(BIN)/python -m pytest

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv/.dev
	$(BIN)/python -m pytest tests/unit tests/property

bench: .venv/.dev
	$(BIN)/python -m bench

.venv/bin/python:
	@$(PYTHON) -m venv .venv || { \
	  echo "make: this Python can not make a virtual environment; installing python3-venv"; \
	  rm -rf .venv; apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv .venv; }

.venv/.runtime: .venv/bin/python pyproject.toml $(BUILT_FROM)
	@echo "setting up .venv (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@$(BIN)/python -m compileall -q src
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml $(BUILT_FROM)
	@echo "setting up .venv for development (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m compileall -q src
	@touch $@ .venv/.runtime

fuzz: .venv/.dev
	@$(BIN)/python -m fuzz

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
