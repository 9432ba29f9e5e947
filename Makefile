# `make setup` once, then `make check`: what a change must pass.
BIN ?= .venv/bin

.PHONY: setup check lint types test format api tables

setup:
	python3 -m venv .venv
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'

check: lint types test

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

# The same commands as in the README; the doctests are among the tests.
test:
	$(BIN)/pytest -n 2
	$(BIN)/pytest -n 2 -m slow

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# After a wanted change of the public surface.
api:
	$(BIN)/python tests/test_api.py
