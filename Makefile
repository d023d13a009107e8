# A thin front over the CMake presets (CMakePresets.json). `make help` lists what it does; CONTRIBUTING.md says when to use what.
# ARGS goes to the test runner: make test-unit ARGS="-R rpc", make test-e2e ARGS="-k console -x".
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := all

PREFIX ?= /usr
DESTDIR ?=
GROUPS ?=
ARGS ?=
SECONDS_EACH ?= 60
JOBS := $(shell nproc)
PYTEST := /usr/bin/python3 -m pytest -p no:cacheprovider --color=auto
SUITES := house unit integration qtest smoke e2e fault box
# The programs of build $(1), each with its own results in a folder of suite $(2).
unit_tests = rm -rf build/results/$(2) && mkdir -p build/results/$(2) && GTEST_OUTPUT=xml:$(CURDIR)/build/results/$(2)/ \
  ctest --preset $(1) -L unit -j$(JOBS) --output-junit $(CURDIR)/build/results/$(2).xml $(ARGS)
sources = $$(find src tests bench -name '*.h' -o -name '*.cc')

build/%/build.ninja:
	@tools/setup --check build $(if $(filter asan tsan fuzz,$*),test)
	@echo "== configuring build/$*"
	@cmake --preset $*

.PHONY: all
all: build/release/build.ninja ## Build the programs, optimised, into build/release/bin
	@cmake --build --preset release --target programs

.PHONY: setup
setup: ## Install what is missing of the packages in packaging/apt-dependencies (GROUPS="build run", else all)
	@tools/setup $(GROUPS)

.PHONY: demo
demo: ## Install, build and watch virsh drive a real guest
	@tools/setup build run guest
	@$(MAKE) --no-print-directory all
	@tests/guest/build build/guest/x86_64
	@tools/demo

.PHONY: demo-kvm
demo-kvm: ## The same on this tree's own monitor and a KVM in software, on any machine
	@tools/setup build run guest
	@$(MAKE) --no-print-directory all
	@tests/guest/build build/guest/x86_64
	@tools/demo-kvm

.PHONY: test
test: ## Install what tests need, then run all of them; the last line is the count
	@tools/setup
	@rm -rf build/results
	@$(MAKE) --no-print-directory --keep-going $(SUITES:%=test-%) && status=0 || status=$$?; \
	  $(MAKE) --no-print-directory count; exit $$status

.PHONY: count
count: # What the last `make test` counted
	@tools/count build/results $(SUITES)

.PHONY: test-unit
test-unit: build/release/build.ninja ## Unit tests of the optimised build
	@cmake --build --preset release
	@$(call unit_tests,release,unit)

.PHONY: test-integration
test-integration: build/release/build.ninja ## What the pieces make is tried on the real programs they make it for
	@tools/setup --check build run test
	@cmake --build --preset release
	@mkdir -p build/results
	@ctest --preset release -L integration --output-junit $(CURDIR)/build/results/integration.xml $(ARGS)

.PHONY: test-asan test-tsan
test-asan: ## Unit tests under the address and undefined behaviour sanitizers
test-tsan: ## Unit tests under the thread sanitizer
test-asan test-tsan: test-%: build/%/build.ninja
	@cmake --build --preset $*
	@$(call unit_tests,$*,$*)

.PHONY: test-qtest
test-qtest: all ## The machine monitor's devices, driven with no processor; ARGS="--vmm qemu-system-x86_64" tries the tests on QEMU
	@tools/setup --check build test
	@mkdir -p build/results
	@$(PYTEST) tests/qtest --junit-xml build/results/qtest.xml $(ARGS)

.PHONY: test-smoke
test-smoke: all ## One walk through the front door: virsh, the daemon, a real guest
	@tools/setup --check run guest test
	@tests/guest/build build/guest/x86_64
	@mkdir -p build/results
	@$(PYTEST) tests/smoke --junit-xml build/results/smoke.xml $(ARGS)

.PHONY: test-box
test-box: all ## A real guest on the monitor, in a box with KVM in software
	@tools/setup --check build run guest test
	@mkdir -p build/results
	@$(PYTEST) tests/guest_kvm --junit-xml build/results/box.xml $(ARGS)

.PHONY: test-e2e
test-e2e: all ## Stock virsh and its bindings against the daemon
	@tools/setup --check run guest test
	@mkdir -p build/results
	@$(PYTEST) tests/e2e --junit-xml build/results/e2e.xml $(ARGS)

.PHONY: test-box-e2e
test-box-e2e: all ## The same with machines of type kvm, on this tree's monitor in the box; ARGS="test_console.py -k login"
	@tools/setup --check build run guest test
	@tests/guest/build build/guest/x86_64
	@tests/e2e/in-box $(ARGS)

.PHONY: test-fault
test-fault: all ## The daemon under fire, in the short form; ARGS="-k kill --rounds 50 --seed 7"
	@tools/setup --check run guest test
	@mkdir -p build/results
	@$(PYTEST) tests/fault --junit-xml build/results/fault.xml $(ARGS)

.PHONY: soak
soak: all ## The same in full, half an hour; writes docs/reliability.md
	@tools/setup --check run guest test
	@$(PYTEST) tests/fault --soak --table docs/reliability.md $(ARGS)
	@$(PYTEST) tests/e2e/test_mangled.py --mangled-seconds 600 --mangled-seed $$(date +%s)

.PHONY: test-house
test-house: all ## The quick half of lint, and tests of the tools and the packaging
	@mkdir -p build/results
	@tools/setup --check build lint test
	@$(PYTEST) tests/house --junit-xml build/results/house.xml $(ARGS)

.PHONY: lint
lint: build/release/build.ninja ## Everything a machine can say about the sources; what passed once is not looked at again
	@tools/setup --check build lint
	@tools/lint

.PHONY: format
format: ## Format every source
	@clang-format-19 -i $(sources)

.PHONY: bench
bench: all ## Measure the daemon beside libvirtd and the monitor beside QEMU
	@cmake --build --preset release --target canned_server
	@bench/run $(ARGS)

.PHONY: fuzz
fuzz: build/fuzz/build.ninja ## Fuzz each body for SECONDS_EACH=60 (only those matching ARGS)
	@cmake --build --preset fuzz --target fuzzers
	@for program in build/fuzz/bin/*$(ARGS)*_fuzz; do \
	  name=$$(basename $$program _fuzz); echo "== fuzzing $$name"; mkdir -p build/fuzz/corpus/$$name; \
	  $$program -max_total_time=$(SECONDS_EACH) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$name- build/fuzz/corpus/$$name tests/data/fuzz/$$name; done

.PHONY: install
install: ## Install under DESTDIR and PREFIX=/usr
	@cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	@$(MAKE) --no-print-directory all
	@DESTDIR=$(DESTDIR) cmake --install build/release --strip

.PHONY: clean
clean: ## Remove everything built
	@rm -rf build

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile
