# What can be done here: `make help`.

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
SYSCONFDIR ?= $(PREFIX)/etc
DESTDIR    ?=

CARGO      ?= cargo
PYTHON     ?= python3
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR

# The launcher looks for the library, and both look for a config, in these folders at last.
export TAILCHAIN_LIBDIR = $(LIBDIR)
export TAILCHAIN_SYSCONFDIR = $(SYSCONFDIR)

RELEASE = $(CARGO_TARGET_DIR)/release
VENV    = $(CARGO_TARGET_DIR)/venv
LIBRARY = libtailchain.so
# The name by which an LD_PRELOAD line of proxychains-ng knows it.
COMPATIBLE = libproxychains4.so
# A workspace of its own: models/Cargo.toml.
MODELS  = cd models && CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/models $(CARGO)

.PHONY: help
help:
	@echo "make demo       build, and watch curl go through a proxy of our own"
	@echo "make test       unit tests, black-box tests, each fuzz target for a moment (installs what they need)"
	@echo "make models     threads in every order: the names table, the lock and the pending connects, model-checked"
	@echo "make test-tailnet  only what needs a real tailnet, tailscaled on loopback: programs and dynos (needs Go)"
	@echo "make suites     other projects' test suites, bare and through the launcher: an hour; SUITES=cpython for some"
	@echo "make bench      what it costs, beside its peers: minutes; with QUICK=1 to see that it works,"
	@echo "                with PLOT=docs/bench.svg to draw it"
	@echo "make soak       real clients through failing proxies for SECONDS=3600; memory and descriptors must not grow"
	@echo "make fuzz       each parser of bytes that others wrote for SECONDS=60, on one core; TARGETS= for some of them"
	@echo "make install    into PREFIX=$(PREFIX), below DESTDIR=$(DESTDIR)"
	@echo "make archive    a release for the buildpack, and its checksum"
	@echo "make uninstall  the reverse; a config stays"
	@echo "make header     write include/tailchain.h anew from src/api.rs"
	@echo "make sanitize   unit tests of the core under the address sanitizer (needs the nightly toolchain)"
	@echo "make lint       formatting and clippy"
	@echo "make toolchains builds with the oldest and the newest Rust, as far as rustup has them"
	@echo "make clean      remove what was built"

.PHONY: build
build:
	$(CARGO) build --release

.PHONY: demo
demo: build
	tests/install-tools curl
	$(RELEASE)/tailchain demo

.PHONY: test
test: build $(VENV)/ready
	tests/install-tools
	tests/tailnet/build
	tests/lifecycle/build
	$(CARGO) test --workspace
	fuzz/run --runs $(FUZZ_RUNS)
	$(VENV)/bin/pytest tests $(PYTEST)

# models/lock, models/names, models/pending: the shipped files under a model checker, which is built for this alone.
# A part of a model's name runs that one: make models MODEL="second connect".
MODEL ?=

.PHONY: models
models:
	$(MODELS) build --quiet --release --locked
	for part in lock names pending; do $(CARGO_TARGET_DIR)/models/release/$$part $(if $(MODEL),"$(MODEL)") || exit; done

# Half a minute for all targets together.
FUZZ_RUNS = 50000

.PHONY: test-tailnet
test-tailnet: build $(VENV)/ready
	tests/install-tools
	tests/tailnet/build
	tests/lifecycle/build
	$(VENV)/bin/pytest tests -m tailnet $(PYTEST)

$(VENV)/ready: tests/requirements.txt
	tests/install-tools python
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement tests/requirements.txt
	touch $@

# tests/suites/README.md
SUITES ?=

.PHONY: suites
suites: build $(VENV)/ready
	tests/install-tools cpython-tests unshare setpriv npm postgres initdb redis-server
	PYTHONPATH=tests $(VENV)/bin/python -m suites $(SUITES)

.PHONY: bench
bench: build $(VENV)/ready
	tests/install-tools cc microsocks setpriv unshare strace valgrind readelf initdb postgres pgbench \
		proxychains4 torsocks socksify
	PYTHONPATH=tests $(VENV)/bin/python -m bench $(if $(QUICK),--quick) $(if $(PLOT),--plot $(PLOT))

.PHONY: soak
soak: SECONDS ?= 3600
soak: build $(VENV)/ready
	tests/install-tools microsocks setpriv psql postgres initdb redis-server curl node
	PYTHONPATH=tests $(VENV)/bin/python soak/soak.py $(SECONDS)

HOST = $(shell $(CARGO) -vV | sed -n 's/^host: //p')
.PHONY: sanitize
sanitize:
	RUSTFLAGS=-Zsanitizer=address $(CARGO) +nightly test --package tailchain-core --target $(HOST) \
		--target-dir $(CARGO_TARGET_DIR)/sanitize

.PHONY: fuzz
fuzz: SECONDS ?= 60
fuzz:
	tests/install-tools c++
	fuzz/run --seconds $(SECONDS) $(TARGETS)

# The newest Rust whose lints this code is clean of. What a newer one adds is shown, and fails nothing.
LINTED_RUST = 1.99
RUST = $(shell $(CARGO) -vV | sed -n 's/^release: \([0-9]*\.[0-9]*\).*/\1/p')
WARNINGS = $(if $(filter $(RUST),$(shell printf '%s\n' $(RUST) $(LINTED_RUST) | sort -V | head -n 1)),deny,warn)

PYTHON_SOURCES = tests bench soak

.PHONY: lint
lint: $(VENV)/ready
	tests/install-tools c++
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --$(WARNINGS) warnings
	$(MODELS) fmt --check
	$(MODELS) clippy --release --locked -- --$(WARNINGS) warnings
	cd fuzz && $(CARGO) fmt --check
	cd fuzz && $(CARGO) clippy --locked --all-targets --target-dir $(CARGO_TARGET_DIR)/fuzz -- --$(WARNINGS) warnings
	$(VENV)/bin/ruff format --check --quiet $(PYTHON_SOURCES)
	$(VENV)/bin/ruff check --quiet $(PYTHON_SOURCES)

# From the oldest Rust that Cargo.toml names to the newest stable one, each by rustup.
OLDEST_RUST = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: toolchains
toolchains:
	tests/toolchains $(OLDEST_RUST) stable

.PHONY: header
header:
	TAILCHAIN_WRITE_HEADER=1 $(CARGO) build --release

# Where a config would be found; the first comes before the others, so one of ours there would put them out of use.
CONFIGS = $(SYSCONFDIR)/proxychains.conf /etc/proxychains.conf /etc/proxychains4.conf

.PHONY: install
install: build
	install -D -m 755 $(RELEASE)/proxychains4 $(DESTDIR)$(BINDIR)/proxychains4
	install -D -m 755 $(RELEASE)/tailchain $(DESTDIR)$(BINDIR)/tailchain
	install -D -m 755 $(RELEASE)/$(LIBRARY) $(DESTDIR)$(LIBDIR)/$(LIBRARY)
	ln -sf $(LIBRARY) $(DESTDIR)$(LIBDIR)/$(COMPATIBLE)
	install -D -m 644 include/tailchain.h $(DESTDIR)$(INCLUDEDIR)/tailchain.h
	@for there in $(CONFIGS); do \
		if test -e $(DESTDIR)$$there; then echo "no config is installed: $(DESTDIR)$$there stays in use"; exit; fi; \
	done; install -D -m 644 conf/proxychains.conf $(DESTDIR)$(SYSCONFDIR)/proxychains.conf

# For TAILCHAIN_BUILD_ARCHIVE_URL of the buildpack: built for where a dyno has it.
ARCHIVE = $(CARGO_TARGET_DIR)/tailchain-$(shell uname -m).tgz

.PHONY: archive
archive: LIBDIR = /app/vendor/proxychains-ng/lib
archive: SYSCONFDIR = /app/vendor/proxychains-ng/conf
archive: build
	rm -rf $(CARGO_TARGET_DIR)/archive
	install -D -m 755 -t $(CARGO_TARGET_DIR)/archive/bin $(RELEASE)/proxychains4 $(RELEASE)/tailchain
	install -D -m 755 -t $(CARGO_TARGET_DIR)/archive/lib $(RELEASE)/$(LIBRARY)
	tar -czf $(ARCHIVE) --owner=0 --group=0 -C $(CARGO_TARGET_DIR)/archive bin lib
	sha256sum $(ARCHIVE)

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/proxychains4 $(DESTDIR)$(BINDIR)/tailchain
	rm -f $(DESTDIR)$(LIBDIR)/$(COMPATIBLE) $(DESTDIR)$(LIBDIR)/$(LIBRARY)
	rm -f $(DESTDIR)$(INCLUDEDIR)/tailchain.h

.PHONY: clean
clean:
	$(CARGO) clean
