# make only wraps. Once `make compiler` has run, plain `cargo run` and `cargo test --workspace` do the same.
# Everything that is fetched or made here goes into build/ and target/; nothing is installed, no root is needed, but for `make chromium`.

CARGO ?= cargo
# `--locked` in CI: there a Cargo.lock that does not fit is a mistake.
LOCKED ?=
TOOLS := $(CURDIR)/build/tools
CARGO_DENY_VERSION := 0.20.2

.DEFAULT_GOAL := help
.PHONY: help compiler demo test test-sled bench chromium cargo-deny clean-compiler

help:
	@echo "make compiler         fetch the pinned C compiler that the JS engine is built with (into build/)"
	@echo "make demo             build in release mode, then a session that survives kill -9"
	@echo "make test             all tests of the workspace, doctests included"
	@echo "make test-sled        the tests of the store with the feature sled; they run over all three libraries"
	@echo "make bench            the benchmarks, as a table; BENCH=\"--quick warm\" chooses among them"
	@echo "make chromium         a browser for the test of a web page, where apt-get is there and we are root"
	@echo "make cargo-deny       the program that checks licences and advisories, unless it is installed"
	@echo "make clean-compiler   remove the fetched compiler"
	@echo ".ci/run               every check: tests, format, clippy, documentation, dependencies"

# --- the compiler of the JS engine ------------------------------------------------------------------------
# A C compiler that knows wasm32, pinned by hash: the engine that it builds is the reference engine, byte for byte.

PYTHON ?= python3
ZIG := build/ziglang/ziglang/zig

compiler: $(ZIG)

$(ZIG): containers/engine/compiler.txt
	@echo "compiler: fetching ziglang 0.15.2 with pip into build/ziglang: the C compiler of the JS engine"
	@echo "compiler: a download of 93 MB, 400 MB unpacked; 1 to 3 minutes; nothing is installed outside this folder"
	@rm -rf build/ziglang && mkdir -p build
	@if $(PYTHON) -m pip --version >/dev/null 2>&1; then pip="$(PYTHON) -m pip"; \
	elif $(PYTHON) -m venv build/python >/dev/null 2>&1; then pip=build/python/bin/pip; \
	else echo "compiler: Python 3 with pip or venv is needed (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; fi; \
	PIP_ROOT_USER_ACTION=ignore $$pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
		--target build/ziglang --requirement containers/engine/compiler.txt
	@touch $@

# --- what one runs ----------------------------------------------------------------------------------------

demo: compiler
	@echo "demo: building everturn in release mode (the first time about 6 minutes on 2 cores: wasmtime is large)"
	$(CARGO) build --release $(LOCKED)
	scripts/demo.sh

test: compiler
	@echo "test: building and running all tests (the first time about 8 minutes on 2 cores)"
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		echo "test: with cargo-nextest"; \
		$(CARGO) nextest run --workspace $(LOCKED); \
	else \
		echo "test: with cargo test (cargo-nextest, where it is installed, runs the crates side by side)"; \
		$(CARGO) test --workspace --lib --bins --tests --no-fail-fast $(LOCKED); \
	fi
	@echo "test: the examples in the documentation (about 1 minute)"
	$(CARGO) test --workspace --doc $(LOCKED)

# The crate of the store alone, so that nothing large is built a second time. One test after the other: a process that one of them starts
# holds, for an instant, the lock of another one's folder.
test-sled:
	@echo "test-sled: building and running the tests of the store with the feature sled (the first time about 5 minutes)"
	$(CARGO) test -p everturn-dag --features sled $(LOCKED) -- --test-threads=1

# What is measured: docs/benchmarks.md. Quiet machine, a real disk under target/.
BENCH ?=

bench: compiler
	@echo "bench: building everturn and its benchmarks in release mode (the first time about 7 minutes on 2 cores)"
	$(CARGO) build --release $(LOCKED) -p everturn-cli -p everturn-bench
	$${CARGO_TARGET_DIR:-target}/release/everturn-bench $(BENCH)

# --- tools ------------------------------------------------------------------------------------------------

# The browser of one test, which says so where there is none. Never a failure: what cannot be had here is left out.
chromium:
	@if command -v chromium >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1 || [ "$$(id -u)" != 0 ]; then exit 0; fi; \
	echo "chromium: installing it with apt-get (a download of some 100 MB, at most 3 minutes)"; \
	timeout 180 sh -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium' \
		>/dev/null 2>&1 </dev/null || echo "chromium: it cannot be had here; its test will say that it was not run"

# Not optimised: it runs for four seconds.
cargo-deny:
	@if command -v cargo-deny >/dev/null 2>&1; then \
		echo "cargo-deny: found $$(command -v cargo-deny)"; \
	elif [ -x "$(TOOLS)/bin/cargo-deny" ]; then \
		echo "cargo-deny: found in build/tools"; \
	else \
		echo "cargo-deny: building $(CARGO_DENY_VERSION) into build/tools to check licences and advisories (about 2 minutes)"; \
		$(CARGO) install --debug cargo-deny --version $(CARGO_DENY_VERSION) --locked --root "$(TOOLS)"; \
	fi

clean-compiler:
	@echo "clean-compiler: removing build/ziglang; make compiler fetches it again"
	rm -rf build/ziglang
