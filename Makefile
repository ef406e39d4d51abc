# `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

EXAMPLE ?= ocr
ROUNDS ?= 3
MINUTES ?= 60
BUILD_PACKAGES := libhiredis-dev libsqlite3-dev libsystemd-dev
RUN_PACKAGES := $(BUILD_PACKAGES) curl python3 $(if $(filter ocr,$(EXAMPLE)),tesseract-ocr)
TEST_PACKAGES := $(BUILD_PACKAGES) chromium curl e2fsprogs gcc iproute2 openssl python3 python3-venv redis-server strace \
	tesseract-ocr util-linux
BENCH_PACKAGES := $(BUILD_PACKAGES) gcc python3 strace wrk
DEB_PACKAGES := $(BUILD_PACKAGES) debhelper dpkg-dev lintian man-db
# With the Swift runtime linked in, as in the package: 29 MiB resident when idle in place of 40 (docs/performance.md).
RELEASE_BUILD := swift build -c release --static-swift-stdlib --product inferq
SWIFT_SOURCES := Package.swift Sources Tests $(wildcard Benchmarks/Micro*)
VENV := .build/venv
PYTEST := $(VENV)/bin/python -m pytest -q Tests/DaemonTests
# Test files that run at a time: three keep two cores busy.
WORKERS ?= 3
REFERENCE_VENV := .build/reference-venv

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: run
run: ## install what is missing, build, and show the main job; EXAMPLE=ocr (a scanned page) or flood (a map)
	packaging/install-deps.sh $(RUN_PACKAGES)
	packaging/build.sh --product inferq
	examples/run.sh --example $(EXAMPLE)

.PHONY: test
test: test-setup test-unit test-daemon ## install what is missing, build, and run all tests

.PHONY: test-setup
test-setup:
	packaging/install-deps.sh $(TEST_PACKAGES)

.PHONY: test-unit
test-unit:
	packaging/build.sh --build-tests
	swift test --skip-build

# The built binary from outside. Most tests wait most of the time, so several files run at a time; those that measure
# what the gateway costs come after them, alone.
.PHONY: test-daemon
test-daemon: $(VENV)/ready
	swift build --product inferq
	INFERQ_BIN=.build/debug/inferq $(PYTEST) -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m 'not alone'
	INFERQ_BIN=.build/debug/inferq $(PYTEST) -m alone

# The waits of Swift's libraries are shown to the sanitizer by a small library of our own.
.PHONY: test-threads
test-threads: test-setup ## run the unit tests under ThreadSanitizer, in a build of their own (20 minutes)
	swift build --build-tests --sanitize=thread --scratch-path .build-threads
	packaging/sanitizer/run.sh .build-threads

$(VENV)/ready: Tests/DaemonTests/requirements.txt Tests/DaemonTests/requirements-bare.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $(word 2,$^)
	touch $@

# Root, since strace looks at what is measured. RECORD=1 writes the table into docs/performance.md.
.PHONY: bench-setup
bench-setup:
	packaging/install-deps.sh $(BENCH_PACKAGES)
	$(RELEASE_BUILD)

.PHONY: bench
bench: bench-setup ## measure the release build beside the limit of this machine (root, 14 minutes); ROUNDS=3, RECORD=1
	python3 Benchmarks/bench.py --rounds $(ROUNDS) $(if $(RECORD),--record)
	python3 Benchmarks/streams.py --rounds $(ROUNDS) $(if $(RECORD),--record)
	python3 Benchmarks/calls.py --rounds $(ROUNDS) $(if $(RECORD),--record)

.PHONY: bench-scale
bench-scale: bench-setup ## a million jobs, 10,000 listeners, streams, and MINUTES=60 of short cycles (2 GiB of disk)
	for each in depth ended listeners away streams batches 'soak --minutes $(MINUTES)'; do \
		set -- $$each; one=$$1; shift; \
		python3 Benchmarks/$$one.py "$$@" $(if $(RECORD),--record) || exit; \
	done

.PHONY: bench-calls
bench-calls: bench-setup ## a call through the gateway beside the model server alone (2 minutes); RECORD=1
	python3 Benchmarks/calls.py $(if $(RECORD),--record)

.PHONY: bench-streams
bench-streams: bench-setup ## answers that come bit by bit: delay, CPU, bytes on disk, memory (8 minutes); ROUNDS=3, RECORD=1
	python3 Benchmarks/streams.py --rounds $(ROUNDS) $(if $(RECORD),--record)

.PHONY: bench-small-box
bench-small-box: bench-setup ## MINUTES=60 in one processor, 256 MiB and on a disk with slow syncs (root); RECORD=1
	python3 Benchmarks/small_box.py --minutes $(MINUTES) $(if $(RECORD),--record)

.PHONY: bench-pages
bench-pages: bench-setup ## what a job on its own writes to the disk, page by page (1 minute); RECORD=1
	python3 Benchmarks/pages.py $(if $(RECORD),--record)

.PHONY: bench-redis
bench-redis: bench-setup ## the ring, a Redis on this host, and a worker beside it, in turn (3 minutes)
	packaging/install-deps.sh redis-server
	python3 Benchmarks/redis.py --rounds $(ROUNDS) $(if $(RECORD),--record)

.PHONY: bench-access
bench-access: bench-setup ## what keys cost a request, a flood of wrong keys, memory of a TLS listener (4 minutes); RECORD=1
	packaging/install-deps.sh openssl
	python3 Benchmarks/access.py $(if $(RECORD),--record)

# Its programs are targets of our own package that nothing else needs, so they stand in Package.swift only here.
.PHONY: bench-micro
bench-micro: bench-setup ## count the instructions of parts and of whole requests, against Benchmarks/counts.json; TIMES=1 shows times too
	packaging/install-deps.sh valgrind
	INFERQ_MICRO=1 swift build -c release --static-swift-stdlib --product MicroCount
	python3 Benchmarks/micro.py
	python3 Benchmarks/whole.py
	$(if $(TIMES),INFERQ_MICRO=1 swift package --allow-writing-to-package-directory benchmark --target MicroTime)

# The stack that inferq replaces, built from parts (Benchmarks/reference/README.md).
.PHONY: bench-reference
bench-reference: bench-setup $(REFERENCE_VENV)/ready ## measure it beside FastAPI, Celery, Redis and PostgreSQL (root, 8 minutes)
	packaging/install-deps.sh postgresql redis-server
	$(REFERENCE_VENV)/bin/python Benchmarks/bench.py --against reference --rounds $(ROUNDS) $(if $(RECORD),--record)

$(REFERENCE_VENV)/ready: Benchmarks/reference/requirements.txt
	python3 -m venv $(REFERENCE_VENV)
	$(REFERENCE_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: openapi
openapi: $(VENV)/ready ## after a change of docs/openapi.yaml: write the JSON that becomes part of the program
	$(VENV)/bin/python packaging/openapi.py

.PHONY: deb
deb: ## build the Debian package into dist/ and look at it with lintian
	packaging/install-deps.sh $(DEB_PACKAGES)
	mkdir -p dist
	rm -f dist/inferq_*.changes
	DIST=dist dpkg-buildpackage --build=binary --no-sign \
		--buildinfo-option=-udist --buildinfo-file=dist/inferq.buildinfo \
		--changes-option=-udist --changes-file=dist/inferq_$$(dpkg --print-architecture).changes
	lintian --allow-root --info --fail-on error,warning dist/inferq_*.changes

.PHONY: repo
repo: ## make a signed apt repository of the built package in dist/repo
	packaging/install-deps.sh apt-utils gnupg
	packaging/make-repo.sh dist/repo dist/inferq_*.deb

.PHONY: release
release: ## of a clean checkout: package, apt repository, tarball, SPDX list, notes and checksums in dist/release
	packaging/install-deps.sh apt-utils gnupg patchelf xz-utils
	packaging/release.sh

.PHONY: screenshot
screenshot: $(VENV)/ready ## take docs/page.png anew (15 minutes)
	packaging/install-deps.sh chromium
	packaging/build.sh --product inferq
	$(VENV)/bin/python packaging/screenshot.py

.PHONY: test-bed
test-bed: ## install the built package on a real systemd in a container, and try it there (root)
	packaging/bed/run.sh

.PHONY: test-reproducible
test-reproducible: ## build the last commit's package in two folders, and compare the bytes (20 minutes)
	packaging/check-reproducible.sh

.PHONY: check
check: lint test ## format, imports, warnings as errors, all tests: what every commit passes

.PHONY: lint
lint: ## look at the format, and at what is never written
	swift format lint --strict --recursive --parallel $(SWIFT_SOURCES)
	packaging/check-sources.sh
	packaging/file-cycles.py >/dev/null

.PHONY: format
format: ## put the sources into their format
	swift format --in-place --recursive --parallel $(SWIFT_SOURCES)

.PHONY: clean
clean: ## remove what was built
	rm -rf .build
	# But for the key that hosts trust, once there is a repository.
	[ ! -d dist ] || find dist -mindepth 1 -maxdepth 1 ! -name repo-key -exec rm -rf {} +
	$(MAKE) --silent --file=debian/rules clean-scratch
