# What can be done here: `make help`.

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
SYSCONFDIR ?= $(PREFIX)/etc
MANDIR     ?= $(PREFIX)/share/man
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d
DESTDIR    ?=

CARGO      ?= cargo
PYTHON     ?= python3
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR

# The launcher looks for the library, and both look for a config, in these directories last.
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
	@echo "make demo       build, and let curl connect through the embedded proxy"
	@echo "make check      formatting, clippy, unit tests: a minute or two, no root, nothing installed"
	@echo "make test       unit tests, black-box tests, each fuzz target for a moment (installs what they need)"
	@echo "make models     model-check the name table, the lock and the pending connects"
	@echo "make packages   the packages of a release: .deb, wheel, npm package, the buildpack's archive; ARCHITECTURES=\"x86_64 aarch64\""
	@echo "make test-packages  install these packages on Debian's releases (and with UBUNTU=1 on Ubuntu's); musl programs; an emulated aarch64 build (needs root)"
	@echo "make musl       the library for programs that run on musl; make test-musl tries it"
	@echo "make test-tailnet  only what needs a real tailnet, tailscaled on loopback: programs and dynos (needs Go)"
	@echo "make suites     other projects' test suites, bare and through the launcher: an hour; SUITES=cpython for some"
	@echo "make bench      what it costs, beside its peers: minutes; with QUICK=1 to see that it works,"
	@echo "                with PLOT=docs/bench.svg to draw it"
	@echo "make soak       real clients through failing proxies for SECONDS=3600; memory and fds must not grow"
	@echo "make fuzz       each parser of untrusted bytes for SECONDS=60, on one core; TARGETS= for some of them"
	@echo "make install    into PREFIX=$(PREFIX), below DESTDIR=$(DESTDIR)"
	@echo "make archive    a release for the buildpack, and its checksum"
	@echo "make uninstall  the reverse; a config stays"
	@echo "make header     regenerate include/tailchain.h from src/api.rs"
	@echo "make generated  regenerate the shipped config and the documents' tables from the code"
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

# The quick loop: no root, nothing installed.
.PHONY: check
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --workspace --all-targets -- --$(WARNINGS) warnings
	$(CARGO) test --quiet --workspace

# Tests spend most of their time waiting. Each worker has daemons of its own: more than a few do not pay.
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))

.PHONY: test
test: build $(VENV)/ready
	tests/install-tools
	tests/tailnet/build
	tests/lifecycle/build
	$(CARGO) test --workspace
	fuzz/run --runs $(FUZZ_RUNS)
	$(VENV)/bin/pytest tests --numprocesses $(WORKERS) --dist loadgroup $(PYTEST)

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
	tests/install-tools cc static-libc microsocks setpriv unshare strace valgrind readelf initdb postgres pgbench redis-server \
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

# The newest Rust whose lints this code is clean of. What a newer one adds is shown, and fails nothing. The buildpack
# installs this release: RUST_VERSION of lib/build/rust.sh.
LINTED_RUST = 1.99
RUST = $(shell $(CARGO) -vV | sed -n 's/^release: \([0-9]*\.[0-9]*\).*/\1/p')
WARNINGS = $(if $(filter $(RUST),$(shell printf '%s\n' $(RUST) $(LINTED_RUST) | sort -V | head -n 1)),deny,warn)

PYTHON_SOURCES = tests bench soak
MUSL = $(shell uname -m)-unknown-linux-musl

.PHONY: lint
lint: $(VENV)/ready
	tests/install-tools c++
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --$(WARNINGS) warnings
	@if rustup target add $(MUSL) >/dev/null 2>&1; then \
		RUSTFLAGS="-C target-feature=-crt-static" $(CARGO) clippy --package tailchain --target $(MUSL) \
			--target-dir $(CARGO_TARGET_DIR)/musl -- --$(WARNINGS) warnings; \
	else echo "the library for musl is not linted: rustup cannot fetch $(MUSL)"; fi
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

# The shipped config and the tables of the documents, from the directives and options in the code. Their tests write them.
.PHONY: generated
generated:
	TAILCHAIN_WRITE_GENERATED=1 $(CARGO) test --quiet --package tailchain-cli generate

# Where a config would be found; the first comes before the others, so one of ours there would put them out of use.
CONFIGS = $(SYSCONFDIR)/proxychains.conf /etc/proxychains.conf /etc/proxychains4.conf

# Man pages and completions, by the command itself.
GENERATED = $(CARGO_TARGET_DIR)/generated

.PHONY: install
install: build
	install -D -m 755 $(RELEASE)/proxychains4 $(DESTDIR)$(BINDIR)/proxychains4
	install -D -m 755 $(RELEASE)/tailchain $(DESTDIR)$(BINDIR)/tailchain
	install -D -m 755 $(RELEASE)/$(LIBRARY) $(DESTDIR)$(LIBDIR)/$(LIBRARY)
	ln -sf $(LIBRARY) $(DESTDIR)$(LIBDIR)/$(COMPATIBLE)
	install -D -m 644 include/tailchain.h $(DESTDIR)$(INCLUDEDIR)/tailchain.h
	rm -rf $(GENERATED)
	$(RELEASE)/tailchain generate $(GENERATED)
	install -d $(addprefix $(DESTDIR),$(MANDIR)/man1 $(MANDIR)/man5 $(BASHDIR) $(ZSHDIR) $(FISHDIR))
	install -m 644 $(GENERATED)/man1/* $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(GENERATED)/man5/* $(DESTDIR)$(MANDIR)/man5
	for name in tailchain proxychains4; do \
		install -m 644 $(GENERATED)/bash/$$name.bash $(DESTDIR)$(BASHDIR)/$$name || exit; done
	install -m 644 $(GENERATED)/zsh/* $(DESTDIR)$(ZSHDIR)
	install -m 644 $(GENERATED)/fish/* $(DESTDIR)$(FISHDIR)
	@for there in $(CONFIGS); do \
		if test -e $(DESTDIR)$$there; then echo "no config is installed: $(DESTDIR)$$there stays in use"; exit; fi; \
	done; install -D -m 644 conf/proxychains.conf $(DESTDIR)$(SYSCONFDIR)/proxychains.conf

# For whom: this machine, or "x86_64 aarch64".
ARCHITECTURES ?= $(shell uname -m)

.PHONY: packages
packages:
	packaging/build $(ARCHITECTURES)

# For TAILCHAIN_BUILD_ARCHIVE_URL of the buildpack.
.PHONY: archive
archive:
	packaging/build --archive $(ARCHITECTURES)

UBUNTU ?=

.PHONY: test-packages
test-packages: build $(VENV)/ready
	tests/install-tools debootstrap debian-keys lintian npm curl nm readelf git unshare
	packaging/build
	$(VENV)/bin/pip install --quiet auditwheel
	TAILCHAIN_UBUNTU=$(UBUNTU) $(VENV)/bin/pytest tests/packages --ignore tests/packages/test_musl.py $(PYTEST)
	$(MAKE) test-musl
	$(MAKE) test-aarch64

# The library for programs that run on musl, beside the other and with the commands: as a package has them.
WITH_MUSL = $(CARGO_TARGET_DIR)/musl/installed

.PHONY: musl
musl: build
	rustup target add $(MUSL)
	RUSTFLAGS="-C target-feature=-crt-static" $(CARGO) build --release --package tailchain --target $(MUSL) \
		--target-dir $(CARGO_TARGET_DIR)/musl
	install -D -m 755 -t $(WITH_MUSL)/bin $(RELEASE)/proxychains4 $(RELEASE)/tailchain
	packaging/libraries.sh $(WITH_MUSL)/lib $(RELEASE)/$(LIBRARY) $(CARGO_TARGET_DIR)/musl/$(MUSL)/release/$(LIBRARY)

# Probes and real programs that run on musl. Not: what musl has no function for (dlvsym, getaddrinfo_a, close_range and
# closefrom, which the probes do past libc there), what the tests know of glibc's answers alone (IDN, aliases, numbers
# that only one of gethostbyname and getaddrinfo takes), what preloads the library into programs of this machine, what
# musl 1.2.3 does by itself, preloaded or not (dup3 takes any flags, fork blocks SIGCHLD, sendmmsg writes to constant
# headers), and what depends on chance (docs/limits.md: clone(2) as a bare system call).
MUSL_TESTS = $(foreach name,errors protocols names chains api own_socket which_sockets \
	lookups datagrams nonblocking processes,$(wildcard tests/*/test_$(name).py))
NOT_MUSL = vdefault or vnext or vmain or vlibc or foreign_function or another_library or replaces_connect \
	or takes_other_things or getaddrinfo_a or encoded or bit_for_bit or hostents or has_one_address or erange \
	or as_dns_messages or other_types or no_query or ipv6_only or name_back or looked_up \
	or needs_is_not_closed or closefrom_spares or takes_the_place_of_the_programs or still_sleeps_needs_is_not \
	or pending[close_range] or connecting[close_range or flags-EINVAL or ends_at_once \
	or kernel[constant] or goes_on[clone]
# For children and tools of this machine too, which run on glibc.
MUSL_LIBRARY = $(WITH_MUSL)/lib/by-libc/$$LIB/$(LIBRARY)

.PHONY: test-musl
test-musl: musl
	tests/install-tools musl-gcc nm readelf
	CARGO_TARGET_$(shell echo $(MUSL) | tr a-z- A-Z_)_LINKER=musl-gcc RUSTFLAGS="-C target-feature=-crt-static" \
		$(CARGO) build --release --package tailchain-cli --example tokio_echo --target $(MUSL) \
		--target-dir $(CARGO_TARGET_DIR)/musl
	$(VENV)/bin/pytest tests/packages/test_musl.py $(PYTEST)
	TAILCHAIN_LIBRARY='$(MUSL_LIBRARY)' TAILCHAIN_LAUNCHER=$(WITH_MUSL)/bin/proxychains4 \
		TAILCHAIN_PROBE_CC=musl-gcc $(VENV)/bin/pytest $(MUSL_TESTS) -k "not ($(NOT_MUSL))" $(PYTEST)

# What qemu-user carries of the tests. It knows neither SO_COOKIE (getpeername, sockets that were replaced, EISCONN from a
# second connect) nor the cancellation of threads, and starts no program of its kind.
CROSS = aarch64-unknown-linux-gnu
QEMU  = qemu-aarch64 -L /usr/aarch64-linux-gnu
EMULATED_TESTS = $(foreach name,errors protocols names chains api own_socket which_sockets,$(wildcard tests/*/test_$(name).py))
NOT_EMULATED = cancelled or getpeername or fd_of_a_socket or made_before_connect or next_try or unix_socket or mptcp \
	or ipv6_proxy or bad_pointer or pointer or second_connect

# Nor rt_sigprocmask without a request, TCP_INFO and MADV_WIPEONFORK.
NOT_EMULATED_UNITS = sys::readable:: sys::socket:: sys::wipe_on_fork::

.PHONY: test-aarch64
test-aarch64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER = aarch64-linux-gnu-gcc
test-aarch64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER = $(QEMU)
test-aarch64: build $(VENV)/ready
	tests/install-tools aarch64-linux-gnu-gcc aarch64-libc qemu-aarch64
	rustup target add $(CROSS)
	$(CARGO) test --target $(CROSS) --package tailchain-preflight
	$(CARGO) test --target $(CROSS) --package tailchain-core --lib -- $(addprefix --skip ,$(NOT_EMULATED_UNITS))
	$(CARGO) build --release --package tailchain --target $(CROSS)
	TAILCHAIN_LIBRARY=$(CARGO_TARGET_DIR)/$(CROSS)/release/$(LIBRARY) TAILCHAIN_EMULATOR="$(QEMU)" \
		TAILCHAIN_PROBE_CC=aarch64-linux-gnu-gcc TAILCHAIN_NO_SKIP= \
		$(VENV)/bin/pytest $(EMULATED_TESTS) -k "not ($(NOT_EMULATED))" $(PYTEST)

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/proxychains4 $(DESTDIR)$(BINDIR)/tailchain
	rm -f $(DESTDIR)$(LIBDIR)/$(COMPATIBLE) $(DESTDIR)$(LIBDIR)/$(LIBRARY)
	rm -f $(DESTDIR)$(INCLUDEDIR)/tailchain.h
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man1/,proxychains4.1 tailchain.1 tailchain-*.1)
	rm -f $(DESTDIR)$(MANDIR)/man5/proxychains.conf.5
	rm -f $(foreach name,proxychains4 tailchain,$(addprefix $(DESTDIR),$(BASHDIR)/$(name) $(ZSHDIR)/_$(name) \
		$(FISHDIR)/$(name).fish))

.PHONY: clean
clean:
	$(CARGO) clean
