"""bin/compile when it builds tailchain from source: where Rust comes from, which source is taken, and when.

rustup and cargo are fakes, so that a build takes a moment; test_buildpack_compile.py has the real cargo."""

import hashlib
import os
import platform
import re
import subprocess

import pytest

from support import paths
from support.buildpack import Build, release, untouched_after_failure
from support.mirror import mirror
from support.need import need

OLD_CARGO = "#!/bin/sh\necho cargo 1.0.0\n"

# Installs a cargo, as rustup does. That cargo "builds" commands that print where they were built, and for which place.
RUSTUP = f"""#!/bin/sh
echo "rustup-init $*"
mkdir -p "$CARGO_HOME/bin" "$RUSTUP_HOME"
cat >"$CARGO_HOME/bin/cargo" <<'END'
#!/bin/sh
[ "$1" != --version ] || {{ echo cargo 9.0.0; exit; }}
if [ -e fails ]; then echo "error: it does not compile"; exit 101; fi
mkdir -p "$CARGO_TARGET_DIR/release"
cd "$CARGO_TARGET_DIR/release"
printf '#!/bin/sh\\necho %s %s %s\\n' "$OLDPWD" "$TAILCHAIN_LIBDIR" "$TAILCHAIN_SYSCONFDIR" >tailchain
cp tailchain proxychains4
cp {paths.LIBRARY} libtailchain.so
END
chmod +x "$CARGO_HOME/bin/cargo"
"""
INSTALLER = f"/dist/{platform.machine()}-unknown-linux-gnu/rustup-init"


def serve_rustup(shelf):
    shelf.files[INSTALLER] = RUSTUP.encode()
    shelf.files[INSTALLER + ".sha256"] = (hashlib.sha256(RUSTUP.encode()).hexdigest() + " *./rustup-init\n").encode()


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A build where the PATH has a cargo that is too old."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "cargo").write_text(OLD_CARGO)
    (old / "cargo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{old}:{os.environ['PATH']}")
    with mirror() as shelf:
        release(shelf, tmp_path, "1.2.3")
        serve_rustup(shelf)
        build = Build(tmp_path, shelf)
        build.set(RUSTUP_UPDATE_ROOT=shelf.url)
        yield build


@pytest.fixture
def repository(tmp_path):
    """repository(files): a git repository, by its URL."""

    def make(files):
        directory = tmp_path / "repository"
        for name, text in files.items():
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        git = [need("git"), "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", directory]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", "all"], check=True)
        return f"file://{directory}"

    return make


SOURCES = {
    "Cargo.toml": '[package]\nname = "tailchain"\nrust-version = "1.88"\n',
    "Cargo.lock": "",
    "build.rs": "",
    "cbindgen.toml": "",
    "src/lib.rs": "",
    "crates/core/src/lib.rs": "",
    "conf/proxychains.conf": "",
}


def built(build):
    """The output of the fake cargo: its directory, and the two directories that it was given."""
    command = build.app / "vendor/proxychains-ng/bin/tailchain"
    return subprocess.run([command], capture_output=True, text=True, check=True).stdout.split()


def test_without_a_rust_that_will_do_one_is_installed(build):
    assert "-----> Installing Rust" in build.ok()
    installation = "/app/vendor/proxychains-ng"
    assert built(build) == [str(paths.ROOT), f"{installation}/lib", f"{installation}/conf"]


def test_the_rust_that_is_installed_is_the_one_whose_lints_are_known(build):
    """The newest release may reject what the previous one compiled."""
    linted = re.search(r"^LINTED_RUST = (\S+)$", (paths.ROOT / "Makefile").read_text(), re.M)[1]
    assert re.search(rf"rustup-init .*--default-toolchain {re.escape(linted)}\.\d+$", build.ok(), re.M)


def in_cache(build):
    return sorted(str(path.relative_to(build.cache)) for path in build.cache.glob("*/*"))


@pytest.mark.parametrize("fails", [False, True])
def test_the_cache_keeps_what_was_built_and_nothing_else(build, repository, tmp_path, monkeypatch, fails):
    """Rust takes 700 MB, cargo's leftovers 200 more. Those of earlier versions of this buildpack are removed."""
    for directory in ["cargo", "rustup", "target", "repository", "new"]:
        (build.cache / "tailchain" / directory / "of before").mkdir(parents=True)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    build.set(TAILSCALE_BUILD_PROXYCHAINS_REPO=repository({**SOURCES, **({"fails": ""} if fails else {})}))
    assert build.run().returncode == int(fails)
    kept = [name for name in in_cache(build) if name.startswith("tailchain/")]
    assert kept == ([] if fails else ["tailchain/built"])
    assert list(scratch.iterdir()) == []


def test_what_was_built_from_the_same_source_needs_no_rust(build):
    build.ok()
    build.shelf.asked.clear()
    said = build.ok()
    assert "building it" not in said and said.count("from the build cache") == 2
    assert INSTALLER not in build.shelf.asked


@pytest.mark.parametrize("fault", ["cut", "wrong", "missing"])
def test_a_rustup_that_did_not_arrive_as_it_was_is_not_run(build, fault):
    if fault == "cut":
        build.shelf.cut.add(INSTALLER)
    elif fault == "wrong":
        build.shelf.files[INSTALLER] += b"# and more\n"
    else:
        del build.shelf.files[INSTALLER]
    assert f"{build.shelf.url}{INSTALLER}" in untouched_after_failure(build)
    assert not (build.cache / "tailchain" / "cargo").exists()


def test_a_repository_of_tailchain_is_built_in_place_of_ours(build, repository):
    build.set(TAILSCALE_BUILD_PROXYCHAINS_REPO=repository(SOURCES))
    build.ok()
    assert built(build)[0].endswith("/repository")


def test_a_repository_that_cannot_be_cloned_ends_the_build(build, tmp_path):
    build.set(TAILSCALE_BUILD_PROXYCHAINS_REPO=f"file://{tmp_path}/nowhere")
    before = build.files()
    done = build.run()
    assert done.returncode == 1 and build.files() == before
    assert (
        f" !     Cannot clone file://{tmp_path}/nowhere, which TAILSCALE_BUILD_PROXYCHAINS_REPO names." in done.stderr
    )


def test_a_repository_without_all_sources_is_said(build, repository):
    build.set(TAILSCALE_BUILD_PROXYCHAINS_REPO=repository({"Cargo.toml": SOURCES["Cargo.toml"]}))
    done = build.run()
    assert done.returncode == 1 and "are not complete" in done.stderr
    assert "vendor" not in os.listdir(build.app)


def test_sources_that_do_not_compile_leave_the_app_as_it_was(build, repository):
    build.set(TAILSCALE_BUILD_PROXYCHAINS_REPO=repository({**SOURCES, "fails": ""}))
    before = build.files()
    done = build.run()
    assert done.returncode == 1 and build.files() == before
    assert "       error: it does not compile\n" in done.stdout
    assert " !     tailchain could not be built; the reason is above." in done.stderr


@pytest.mark.parametrize("changed", ["src/lib.rs", "conf/proxychains.conf"])
def test_a_changed_source_is_built_anew(build, repository, changed):
    """The command contains the shipped config."""
    build.set(TAILSCALE_BUILD_PROXYCHAINS_REPO=repository(SOURCES))
    build.ok()
    assert "building it" not in build.ok()
    repository({changed: "# more\n"})
    assert "building it" in build.ok()


def test_what_cargo_read_is_what_a_change_is_looked_for_in():
    """cargo's own list of the sources of the commands and the library."""
    script = f". {paths.ROOT}/lib/build/tailchain.sh; cd {paths.ROOT}; source_files | tr '\\0' '\\n'"
    known = subprocess.run([need("bash"), "-c", script], capture_output=True, text=True, check=True).stdout.split()
    for name in ["proxychains4", "tailchain", "libtailchain"]:
        _, _, read = (paths.RELEASE / f"{name}.d").read_text().partition(": ")
        used = {os.path.relpath(os.path.realpath(file), paths.ROOT) for file in read.split()}
        assert used and used - set(known) == set()


def test_a_setting_that_is_not_understood_ends_the_build_before_anything_is_fetched(build):
    build.set(TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D="perhaps")
    build.run()
    assert build.shelf.asked == []
