# `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

EXAMPLE ?= ocr
BUILD_PACKAGES := libsqlite3-dev libsystemd-dev
RUN_PACKAGES := $(BUILD_PACKAGES) curl python3 tesseract-ocr
TEST_PACKAGES := $(BUILD_PACKAGES) curl e2fsprogs python3 python3-venv tesseract-ocr util-linux
SWIFT_SOURCES := Package.swift Sources Tests
VENV := .build/venv

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: run
run: ## install what is missing, build, and show the main job on a scanned page
	packaging/install-deps.sh $(RUN_PACKAGES)
	swift build -c release --product inferq
	INFERQ=.build/release/inferq examples/run.sh --example $(EXAMPLE)

.PHONY: test
test: test-setup test-unit test-daemon ## install what is missing, build, and run all tests

.PHONY: test-setup
test-setup:
	packaging/install-deps.sh $(TEST_PACKAGES)

.PHONY: test-unit
test-unit:
	swift build --build-tests
	swift test --skip-build

# The built binary from outside.
.PHONY: test-daemon
test-daemon: $(VENV)/ready
	swift build --product inferq
	INFERQ_BIN=.build/debug/inferq $(VENV)/bin/python -m pytest -q Tests/DaemonTests

$(VENV)/ready: Tests/DaemonTests/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: check
check: lint test ## format, imports, warnings as errors, all tests: what every commit passes

.PHONY: lint
lint: ## look at the format, and at what is never written
	swift format lint --strict --recursive --parallel $(SWIFT_SOURCES)
	packaging/check-sources.sh

.PHONY: format
format: ## put the sources into their format
	swift format --in-place --recursive --parallel $(SWIFT_SOURCES)

.PHONY: clean
clean: ## remove what was built
	rm -rf .build dist
