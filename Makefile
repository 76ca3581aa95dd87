# Two commands for a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-slow test-engines engines check conformance node nginx orthanc postgres s3 test-s3 format docs clean

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

# Debian's nginx for the tests of docs/deploy.md; they start one of their own, so no service of it is.
nginx:
	test -x /usr/sbin/nginx || { apt-get update -q && \
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx; }

# Debian's database for the tests of docs/shared.md; they start one of their own, so no service of it is.
postgres:
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get update -q && \
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql; }

# A bucket's client and a server for it, in an environment of their own beside ours: botocore wants an older dateutil.
S3 := $(VENV)/s3
$(S3)/.ready: tests/s3.txt $(VENV)/.ready
	test -x $(S3)/bin/python || $(PYTHON) -m venv $(S3)
	$(S3)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/s3.txt
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$$($(S3)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth"
	touch $@

s3: $(S3)/.ready

test-s3: $(S3)/.ready
	PYTHONPATH=$$PWD/$(VENV)/types $(S3)/bin/python -m pytest tests/store/objects

conformance: $(VENV)/node/.ready
	$(BIN)/python -m pytest tests/conformance

# Engines of others, in an environment of their own beside ours, for the tests that run the real ones.
ENGINES := $(VENV)/engines
$(ENGINES)/.ready: tests/engines.txt $(VENV)/.ready
	test -x $(ENGINES)/bin/python || $(PYTHON) -m venv $(ENGINES)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$$($(ENGINES)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth"
	$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement tests/engines.txt
	touch $@

engines: $(ENGINES)/.ready

test-engines: $(ENGINES)/.ready
	$(BIN)/python -m pytest tests/models/external

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest tests

docs: $(VENV)/.ready
	$(BIN)/python -m ostensor.commands.pages.readme README.md
	$(BIN)/python -m ostensor.commands.pages.listed
	$(BIN)/python -m ostensor.commands.pages.tools docs/tools.md
	$(BIN)/python -m ostensor.commands.pages.backbones docs/backbones.md

# The 3-D view's program, in the repository as one file; see tools/viewer/niivue.
.PHONY: niivue chromium
niivue: $(VENV)/.ready
	rm -rf $(VENV)/niivue && mkdir -p $(VENV)/niivue && cp tools/viewer/niivue/*.js* $(VENV)/niivue/
	cd $(VENV)/niivue && rm niivue.js; PATH="$$PWD/../bin:$$PATH" npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel error
	cd $(VENV)/niivue && PATH="$$PWD/../bin:$$PATH" node_modules/.bin/esbuild entry.js --bundle --minify --format=iife --global-name=niivue \
		--target=es2022 --alias:zarrita=./nothing.js --log-level=error --outfile=niivue.js
	cp $(VENV)/niivue/niivue.js tools/viewer/niivue/niivue.js
	sha256sum tools/viewer/niivue/niivue.js

# Chromium for the tests that look at pages, where it is missing; Debian and its kin, as root.
chromium:
	command -v chromium || (apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium)

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo
