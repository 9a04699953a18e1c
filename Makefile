# Every target sets up what it needs: `make demo`, `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
INSTALLED_DOCS := $(VENV)/installed-docs
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4
# Tests start many processes, and each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test coverage slow lint docs wheel clean help

help:
	@echo "make demo   transcribe and score the sample recordings with the shipped checkpoint"
	@echo "make test   run the tests (slow ones: make slow; lines covered: make coverage)"
	@echo "make lint   style and types"
	@echo "make docs   write the guides and the reference as pages into build/docs"
	@echo "make wheel  build the package into dist/, with the checkpoint english"
	@echo "make setup  only create $(VENV) and install into it"
	@echo "make clean  remove $(VENV) and caches"

setup: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || \
	  { echo "No $(PYTHON) here: install Python 3.11 or newer, or name one: make PYTHON=python3 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python -m recipes.english.demo

test: $(INSTALLED)
	$(PYTEST)

# Tracing the lines makes the tests take a third longer.
coverage: $(INSTALLED)
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=95

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED_DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

docs: $(INSTALLED_DOCS)
	$(BIN)/python -m docs.commands
	$(BIN)/python -m sphinx --quiet --fail-on-warning --fresh-env docs build/docs
	@echo "the pages begin at build/docs/index.html"

# What an earlier build left would find its way into this one.
wheel: $(INSTALLED)
	rm -rf build/lib build/bdist.* dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
