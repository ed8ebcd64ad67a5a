.DEFAULT_GOAL := help
BIN := .venv/bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## the environment with everything for development, in .venv
	python3 start.py setup

train: ## train the default embedder and print its table
	python3 start.py

test: ## the quick tests (make test ARGS="-k config" for some)
	python3 start.py test $(ARGS)

test-all: ## the slow tests too
	python3 start.py test -m ""

lint: ## ruff and mypy --strict, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

format: ## let ruff put everything in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: ## write the generated pages anew
	$(BIN)/python -c "from memshadow.cli._help import reference; print(reference(), end='')" > docs/configuration.tmp
	mv docs/configuration.tmp docs/configuration.md

lock: ## write requirements/lock.txt from what is installed
	$(BIN)/python requirements/lock.py > requirements/lock.tmp
	mv requirements/lock.tmp requirements/lock.txt

ci: ## everything that CI does
	.ci/run

clean: ## remove caches; runs, data and the environment stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: help setup train test test-all lint format docs lock ci clean
