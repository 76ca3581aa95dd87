# Two commands for a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-slow check conformance node orthanc format docs clean

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	mkdir -p $(VENV)/types && ln -sfn ../.. $(VENV)/types/ostensor  # mypy finds the root as a package here
	touch $@

demo: $(VENV)/.ready
	$(BIN)/ostensor demo

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" tests

# Programs of others that judge the server: conformance suite, Inspector, TypeScript client.
$(VENV)/node/.ready: tests/node/package.json $(VENV)/.ready
	mkdir -p $(VENV)/node && cp tests/node/package.json $(VENV)/node/
	cd $(VENV)/node && PATH="$$PWD/../bin:$$PATH" npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel error
	touch $@

node: $(VENV)/node/.ready

# Debian's archive for the tests of docs/archives.md; it is started by them alone, so no service of it is.
orthanc:
	test -x /usr/sbin/Orthanc -a -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so || { apt-get update -q && \
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends orthanc orthanc-dicomweb; }

conformance: $(VENV)/node/.ready
	$(BIN)/python -m pytest tests/conformance

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest tests

docs: $(VENV)/.ready
	$(BIN)/python -m ostensor.commands.pages.readme README.md
	$(BIN)/python -m ostensor.commands.pages.listed
	$(BIN)/python -m ostensor.commands.pages.tools docs/tools.md

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo
