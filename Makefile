# One command each; `make help` lists them. Every target sets up what it needs: Rust and a CPython are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Build output of the extension for the tests: debug assertions, overflow checks and the test hooks.
DEVELOP := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --locked --quiet --profile dev --features test-hooks
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-full test-rust test-python test-wheel test-avx512 test-qemu test-asan test-valgrind \
	fuzz accuracy bench bench-engine bench-network bench-sweep lint format wheel docs clean

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: wheel ## Build, install and run the demonstration on real data
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	$(BIN)/python -m ironprop demo

test: lint test-rust test-python test-wheel ## All quick checks
	@echo "make test: all checks passed"

test-full: test accuracy test-avx512 test-qemu test-asan test-valgrind fuzz ## The slow checks too
	$(DEVELOP)
	IRONPROP_TEST_HOOKS=1 $(BIN)/python -m pytest -m slow --timeout 1800

test-rust: ## The core, without Python
	cargo test --locked

test-python: $(VENV)/tools ## The package, built with debug assertions
	$(DEVELOP)
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy benchmarks
	cd python && ../$(BIN)/python -m mypy.stubtest ironprop._core --allowlist ../tests/stubtest-allowlist.txt
	IRONPROP_TEST_HOOKS=1 $(BIN)/python -m pytest -m "not slow"

test-wheel: wheel ## The release wheel, in a clean environment of every CPython of this machine
	$(BIN)/python tests/check_wheel.py dist/*.whl

test-avx512: ## The kernels' tests at the level avx512, in an emulator where the CPU lacks it
	bash tests/emulated/avx512.sh

test-qemu: ## Trainings on emulated CPUs without and with AVX2: the hashes of this one
	bash tests/emulated/qemu.sh

test-asan: ## The core's tests under AddressSanitizer, and faults that it must find
	bash tests/checkers/asan.sh

test-valgrind: ## The core's tests under valgrind's memcheck, and faults that it must find
	bash tests/checkers/valgrind.sh

fuzz: ## Fuzz the kernels for SECONDS_TO_RUN (60)
	bash fuzz/run.sh

accuracy: ## Activations on all 2^32 float32 numbers (10 to 20 minutes), or one: ACTIVATION=tanh
	IRONPROP_ALL_INPUTS=1 cargo test --locked --release --test core accuracy::$(ACTIVATION) -- --nocapture --test-threads 1

bench: wheel ## Time the package against its peers
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	$(BIN)/python benchmarks/notebook_tier.py --record

bench-engine: wheel ## Race `train` against the peers that are installed
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	$(BIN)/python benchmarks/engine.py --record

bench-network: wheel ## What the options of `Network` cost beside the plain step
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	$(BIN)/python benchmarks/network_tier.py --record

bench-sweep: wheel ## Time `train` over a grid of sizes, in search of cliffs
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	$(BIN)/python benchmarks/sweep.py --record

lint: $(VENV)/tools ## Formatting and lints of both languages
	cargo fmt --check
	cargo clippy --locked --quiet --all-targets -- -D warnings
	cargo clippy --locked --quiet --features test-hooks -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/tools ## Format both languages
	cargo fmt
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

wheel: $(VENV)/tools ## Build the release wheel into dist/
	rm -rf dist
	$(BIN)/maturin build --locked --release --quiet --out dist --interpreter $(BIN)/python

docs: ## The Rust documentation
	cargo doc --locked --no-deps

clean: ## Remove what was built
	rm -rf target dist $(VENV)

$(VENV)/tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group bench --group build --group lint --group test
	touch $@
