# make demo   builds the sample models, serves bundle, viewer and relay, prints the address; HTTPS=1 for headsets
# make release   builds wheel and npm package and checks both in empty environments
# make soak   the tests that take minutes
# make test   linters, types, unit tests, and end-to-end tests in Chromium
SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: demo setup installed test soak check check-python check-viewer loops-from-start loops-from-end release format lock system samples bench-pipeline bench-viewer bench-pictures bench-publish bench-relay lab clean

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := .cache/stamps
VIEWER_SOURCES := $(shell find viewer/src -type f) viewer/index.html viewer/build.mjs viewer/package-lock.json
VIEWER := viewer/dist/index.html
RELAY_PORT ?= 8787
COMPANY ?= 8
ARGS ?=

demo: setup
	@exec $(PY) scripts/demo.py $(if $(HTTPS),--https) $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) \
	  --relay-port $(RELAY_PORT) --company $(COMPANY)

# Python and Node packages are installed beside each other.
setup:
	@$(MAKE) --no-print-directory -j2 installed

installed: $(STAMPS)/python $(VIEWER)

test: setup
	@scripts/system-deps.sh test
	@$(MAKE) --no-print-directory -j2 check-python check-viewer loops-from-start loops-from-end
	@$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

# The long tests: thousands of mutated models. ARGS=--models=DIR mutates the models below DIR too.
soak: setup
	@$(PY) -m pytest -m soak $(ARGS)

check: setup
	@$(MAKE) --no-print-directory -j2 check-python check-viewer

check-python:
	@$(PY) scripts/version.py
	@$(PY) scripts/import_graph.py >/dev/null
	@$(VENV)/bin/ruff check -q .
	@$(VENV)/bin/ruff format --check -q .
	@$(VENV)/bin/mypy pipeline relay
	@MYPYPATH=models $(VENV)/bin/mypy models/make_samples.py models/samples

check-viewer:
	@cd viewer && npm run --silent types && npm run --silent lint && npm run --silent test

# Two processes compile the mesh loops, so that no test does.
loops-from-start:
	@$(PY) -m streamxr.pipeline.warm_up

loops-from-end:
	@$(PY) -m streamxr.pipeline.warm_up --from-end

# Builds wheel and npm package into .cache/release/ and checks both in empty environments.
release: setup
	@$(PY) scripts/release.py

format: setup
	@$(VENV)/bin/ruff check --fix -q . && $(VENV)/bin/ruff format -q .
	@cd viewer && npm run --silent format

samples: setup
	@$(PY) models/make_samples.py

# MODELS: a folder with DamagedHelmet.glb and pirate.obj; ARGS=--quick for a look at it
MODELS ?= models/src
bench-pipeline: setup
	@cd benchmarks/pipeline && npm ci --loglevel=error
	@$(PY) benchmarks/pipeline --models $(MODELS) $(ARGS)

# MODEL: such as DamagedHelmet.glb, whose material has all five maps; ARGS=--quick for one run of each
MODEL ?= models/src/DamagedHelmet.glb
bench-viewer: setup
	@scripts/system-deps.sh test
	@cd benchmarks/viewer && npm ci --loglevel=error
	@$(PY) benchmarks/viewer --model $(MODEL) $(ARGS)

# MODELS: a folder of models; ARGS=--quick for the bases beside gltfpack alone
bench-pictures: setup $(STAMPS)/pictures
	@scripts/system-deps.sh test
	@$(PY) benchmarks/pictures run --models $(MODELS) $(ARGS)

# Beside aws and rclone, if they are installed; ARGS=--quick for a look at it
bench-publish: setup
	@scripts/system-deps.sh test
	@$(PY) benchmarks/publish $(ARGS)

# ARGS=--quick for a look at it
bench-relay: setup
	@cd benchmarks/relay && npm ci --loglevel=error
	@$(PY) benchmarks/relay $(ARGS)

# Heads × networks × policies in virtual time; ARGS='--only room --policy ours' for a part of it.
lab: setup
	@$(PY) scripts/lab_bundle.py .cache/lab
	@cd viewer && node lab.mjs --bundle ../.cache/lab/bundle --traces lab/traces --html ../.cache/lab/report.html $(ARGS)
	@echo "plots: .cache/lab/report.html"

system:
	@PYTHON=$(PYTHON) scripts/system-deps.sh

$(PY): | system
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	@$(PYTHON) -m venv $(VENV)

# The viewer's folder exists before the editable install looks for it.
$(STAMPS)/python: requirements.lock pyproject.toml | $(PY)
	@echo "installing Python packages" >&2
	@mkdir -p $(STAMPS) viewer/dist
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/node: viewer/package-lock.json viewer/package.json | system
	@echo "installing Node packages" >&2
	@mkdir -p $(STAMPS)
	@cd viewer && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# The renderer and the other tools of benchmarks/pictures; Python packages have the versions of requirements.lock.
$(STAMPS)/pictures: benchmarks/pictures/package-lock.json benchmarks/pictures/requirements.txt | $(STAMPS)/python
	@cd benchmarks/pictures && npm ci --loglevel=error
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r benchmarks/pictures/requirements.txt
	@touch $@

$(VIEWER): $(STAMPS)/node $(VIEWER_SOURCES)
	@cd viewer && npm run --silent build
	@touch $@

# Needs uv (pip install uv). The lock records hashes and no registry.
lock:
	uv pip compile pyproject.toml --extra pipeline --extra publish --extra relay --group dev --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements.lock
	uv pip compile pyproject.toml --extra relay --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q -c requirements.lock -o deploy/relay.lock
	uv pip compile benchmarks/pictures/requirements.in --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q -c requirements.lock -o benchmarks/pictures/requirements.txt
	rm -rf viewer/node_modules $(STAMPS)/node  # or npm leaves the other platforms' packages out
	cd viewer && npm install --package-lock-only --no-audit --no-fund

clean:
	rm -rf $(VENV) .cache viewer/node_modules viewer/dist
