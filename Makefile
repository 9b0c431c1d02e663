# make setup   a virtual environment in .venv with all that development needs
# make up      three brokers and a coordinator on this machine, until Ctrl-C
# make demo    a small social network on a cluster, with a page to watch and break both
# make test    lint, types, import rules and the tests that take less than three minutes
# make bench   Ottla and Apache Kafka side by side, for an hour and more; needs Java 17 and Maven
# make lint    ruff, mypy and the import rules alone
# make clean   remove everything that the other targets made (not ottla-data, not ottla-demo)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := broker chaos client commands coordinator examples protocol registry schemas simulation cli.py

.PHONY: setup up demo test bench lint clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "make: Python 3.11 or newer is needed as $(PYTHON); install it, or name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "make: $(PYTHON) cannot make virtual environments; install its venv package (Debian: apt install python3-venv)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m compileall -q $(SOURCES)
	@touch $(STAMP)

up: setup
	@$(BIN)/ottla up

demo: setup
	@$(BIN)/ottla demo

test: lint
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 -m "not interop and not chaos and not zookeeper and not slow"

bench: setup
	@command -v java >/dev/null && command -v mvn >/dev/null || \
	    { echo "make: Apache Kafka needs Java 17, and Maven to fetch it (Debian: apt install openjdk-17-jre-headless maven)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,interop,bench]'
	@mvn -q -B -f tests/interop/java/pom.xml dependency:copy-dependencies -DoutputDirectory=target/jars
	@$(BIN)/python -m bench --json docs/performance/results.json --report

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "make: run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >.lint-imports.out 2>&1 || { cat .lint-imports.out; rm -f .lint-imports.out; exit 1; }
	@rm -f .lint-imports.out

clean:
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(SOURCES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
