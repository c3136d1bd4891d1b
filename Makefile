# Each target sets up what it needs; a second run finds that done. Required beforehand: Python 3.11 and git.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
DATA := ../shared/data
RECIPE := t2-lesion
# Programs of the environment come first (Node among them, where the machine has none).
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
NPM_CI := npm ci --no-audit --no-fund --loglevel=error
SITE_SOURCES := $(shell find static/src static/scripts static/public -type f 2>/dev/null) \
	$(wildcard static/*.html static/*.json static/vite.config.ts)

.PHONY: help serve test test-long evaluate-models evaluate-report train-recipe check check-python check-site kernel bench bench-full bench-train gpu-report gpu-bundle screenshot build wheels package release docs clean system

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-16s %s\n", $$1, $$2 }'

serve: $(VENV)/.base static/dist/index.html .models/.stamp ## set up, build and serve the site on http://127.0.0.1:8000 (ARGS="--port 9000")
	$(VENV)/bin/meshnet-serve $(ARGS)

# WORKERS processes take one test file after the other, in the order of tests/helpers/order.py. A file stays in one
# process, so that its fixtures are made once. WORKERS=0 runs every test in this process.
WORKERS ?= 2
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: check kernel static/dist/index.html .models/.stamp bench/node_modules/.stamp system ## every check and test (minutes; installs Chromium where apt is there)
	$(VENV)/bin/python -m pytest -m "not long" $(SIDE_BY_SIDE) --timeout 900 --durations 15

test-long: $(VENV)/.full kernel static/dist/index.html .models/.stamp bench/node_modules/.stamp system ## the tests marked long (minutes to hours)
	$(VENV)/bin/python -m pytest -m long

evaluate-models: $(VENV)/.full kernel .models/.stamp system ## our models on held-out cases, the table of the README (an hour or more; ARGS="--only tissue")
	$(VENV)/bin/python -m meshnet.lab.evaluate_models --data $(DATA) $(ARGS)

evaluate-report: $(VENV)/.full kernel .models/.stamp system ## lesion models on all scans with a reference, docs/lab/shipped-models.md (hours; ARGS="--groups M2265 oms")
	$(VENV)/bin/python -m meshnet.lab.reference_report --data $(DATA) --page docs/lab/shipped-models.md $(ARGS)

train-recipe: $(VENV)/.full system ## a shipped model from nothing, or what is left of it (hours; RECIPE=tissue, ARGS="jobs=2 out=models/tissue")
	$(VENV)/bin/meshnet-train recipe=$(RECIPE) data.lesions=[$(DATA)/lesions/soop,$(DATA)/lesions/lesymap] data.anatomies=$(DATA)/anatomy/synthseg $(ARGS)

check: $(VENV)/.full static/node_modules/.stamp ## linters, formatters, types, and the units of the site
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target check-python check-site

check-python:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

check-site:
	cd static && npm run --silent check
	cd static && npm run --silent test

kernel: $(VENV)/.base ## the CPU kernel of meshnet-predict, built again where its C has changed
	$(VENV)/bin/python -m meshnet.infer.kernel.build

BENCH_NEEDS := $(VENV)/.full kernel static/dist/index.html .models/.stamp bench/node_modules/.stamp .bench-venv/.stamp system

bench: $(BENCH_NEEDS) ## our engines beside other runtimes, one table (hours; ARGS="--sizes 64 --channels 5" for minutes)
	$(VENV)/bin/python -m bench $(ARGS)

bench-full: $(BENCH_NEEDS) ## bench without a cap, with the 25-layer and the 30-channel model (days)
	$(VENV)/bin/python -m bench --full $(ARGS)

gpu-report: $(VENV)/.full static/node_modules/.stamp bench/node_modules/.stamp system ## what this machine's GPU does with the networks, in gpu-report/ (8 minutes; without a GPU a small run in software)
	cd static && npx vite build --config vite.engine.config.ts --logLevel error
	$(VENV)/bin/python -m bench.gpu $(ARGS)

gpu-bundle: $(VENV)/.full static/node_modules/.stamp bench/node_modules/.stamp ## all that a machine with PyTorch and a GPU needs to train, test and measure without a network, in gpu-bundle/ (docs/bench.md)
	cd static && npx vite build --config vite.engine.config.ts --logLevel error
	$(VENV)/bin/python -m bench.bundle --data $(DATA) $(ARGS)

bench-train: $(VENV)/.full ## seconds, memory and GFLOP/s of a training step of every network (ARGS="--size 128")
	$(VENV)/bin/python -m meshnet.lab.bench_train $(ARGS)

screenshot: $(VENV)/.full static/dist/index.html system ## take docs/screenshot.png again, of a scan in ../shared/data (a minute)
	$(VENV)/bin/python -m tests.helpers.browser.screenshot --data $(DATA) $(ARGS)

build: $(VENV)/.base ## wheel and source archive in dist/, with the built site and the models inside
	$(PIP) build
	$(VENV)/bin/python -m build --no-isolation --outdir dist

WHEELS := linux-x86_64 linux-aarch64 darwin-x86_64 darwin-arm64 win32-AMD64 any

release: $(VENV)/.full static/dist/index.html package docs ## everything to publish, checked, in dist/release/ (docs/releasing.md)
	rm -rf dist/release && mkdir -p dist/release && cp dist/meshnet-*.tgz dist/release/ && cp -r dist/docs dist/release/
	for wheel in $(WHEELS); do \
		MESHNET_WHEEL=$$wheel MESHNET_SITE_BUILT=1 $(VENV)/bin/python -m build --wheel --no-isolation --outdir dist/release || exit; done
	$(VENV)/bin/python -m build --sdist --no-isolation --outdir dist/release
	$(VENV)/bin/twine check --strict dist/release/*.whl dist/release/*.tar.gz

docs: $(VENV)/.full ## the pages and the Python reference as a site, in dist/docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

wheels: $(VENV)/.base ## wheels in dist/wheels/ for installing on a machine without a network
	rm -rf dist/wheels
	$(VENV)/bin/python -m pip --disable-pip-version-check wheel --quiet --no-build-isolation -c constraints.txt -w dist/wheels .

package: static/node_modules/.stamp ## the npm package in dist/ (docs/javascript.md)
	mkdir -p dist && rm -f dist/meshnet-*.tgz
	cd static && PYTHON="$(CURDIR)/$(VENV)/bin/python" npm run --silent package && cd dist-package && npm pack --silent --pack-destination ../../dist

clean: ## remove everything built and installed, imported models too
	rm -rf $(VENV) meshnet/infer/kernel/_kernel.* .bench-venv static/dist-engine static/dist-package static/dist-models static/node_modules static/dist bench/node_modules dist build .models .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Packages for serving, without torch and TensorFlow. Without build isolation, so that the pins hold for build tools too.
$(VENV)/.base: pyproject.toml constraints.txt hatch_build.py | $(VENV)/bin/python
	$(PIP) hatchling editables
	$(PIP) $$($(VENV)/bin/python hatch_build.py)
	$(PIP) --no-build-isolation -e .
	touch $@

# Without build isolation, this setuptools builds packages that come as source only (Hydra's antlr4); an older one can't.
$(VENV)/.full: $(VENV)/.base
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e '.[train,export,tfjs,dicom,formats,bids,notebook,test,docs]'
	touch $@

static/node_modules/.stamp: static/package-lock.json $(VENV)/.base
	cd static && $(NPM_CI)
	touch $@

# Other runtimes, for comparison in tests; the site ships none of them.
bench/node_modules/.stamp: bench/package-lock.json $(VENV)/.base
	cd bench && $(NPM_CI)
	touch $@

# brainchop's Python package needs a separate environment; where its installation fails, its rows of the table say so.
# tinygrad runs on the CPU through a program named clang: the one inside the C compiler from PyPI.
.bench-venv/.stamp: bench/brainchop-requirements.txt | $(VENV)/bin/python
	rm -rf .bench-venv
	-$(PYTHON) -m venv .bench-venv && \
		.bench-venv/bin/python -m pip --disable-pip-version-check install --quiet -r bench/brainchop-requirements.txt && \
		printf '#!/bin/sh\nexec "%s" -m ziglang clang "$$@"\n' "$(CURDIR)/.bench-venv/bin/python" > .bench-venv/bin/clang && \
		chmod +x .bench-venv/bin/clang || rm -rf .bench-venv/bin
	mkdir -p .bench-venv && touch $@

static/dist/index.html: static/node_modules/.stamp $(SITE_SOURCES)
	cd static && PYTHON="$(CURDIR)/$(VENV)/bin/python" npm run --silent build
	touch $@

# Published models, imported where the data folder lies beside the project.
.models/.stamp: $(wildcard export/*.py export/importers/*.py $(DATA)/models) $(VENV)/.base
	mkdir -p .models
	if [ -d $(DATA) ]; then $(VENV)/bin/python -m export.published $(DATA) .models; fi
	touch $@

# A browser, software graphics, a checker of DICOM and an emulated CPU for the tests; the Colin27 head for training.
system:
	@if [ -x /usr/bin/chromium ] && [ -x /usr/bin/dciodvfy ] && [ -x /usr/bin/qemu-x86_64 ] && [ -d /usr/share/mricron/templates ] && ls /usr/share/vulkan/icd.d/lvp_icd* >/dev/null 2>&1; then \
		true; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
			chromium mesa-vulkan-drivers mricron-data dicom3tools qemu-user; \
	else \
		echo "make: the tests need chromium, mesa-vulkan-drivers, mricron-data, dicom3tools and qemu-user; install them with your package manager" >&2; \
	fi
