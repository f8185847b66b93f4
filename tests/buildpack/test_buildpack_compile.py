"""bin/compile as Heroku calls it, with a mirror on loopback."""

import base64
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import time

import pytest

from support import paths
from support.buildpack import ARCHIVE, PROFILE, STARTS, Build, release, untouched_after_failure
from support.mirror import mirror
from support.need import need
from support.run import clean_environment


@pytest.fixture
def build(tmp_path):
    with mirror() as shelf:
        release(shelf, tmp_path, "1.2.3")
        build = Build(tmp_path, shelf)
        url, checksum = shelf.archive(ARCHIVE)
        build.set(TAILCHAIN_BUILD_ARCHIVE_URL=url, TAILCHAIN_BUILD_ARCHIVE_SHA256=checksum)
        yield build


def installed(build):
    return subprocess.run([build.app / "vendor/tailscale/tailscaled"], capture_output=True, text=True).stdout.strip()


def test_detect_and_release_say_what_heroku_wants():
    said = [
        subprocess.run([paths.ROOT / "bin" / name], capture_output=True, text=True) for name in ["detect", "release"]
    ]
    assert [(one.returncode, one.stdout) for one in said] == [(0, "Tailscale\n"), (0, "--- {}\n")]


def test_the_paths_of_the_old_buildpack_are_all_there(build):
    out = build.ok()
    assert [line for line in out.splitlines() if not line.startswith(("-----> ", "       "))] == []
    assert build.files() == sorted(
        [
            "Procfile",
            PROFILE,
            "vendor/proxychains-ng/bin/proxychains4",
            "vendor/proxychains-ng/bin/tailchain",
            "vendor/proxychains-ng/conf/proxychains.conf",
            "vendor/proxychains-ng/lib/libproxychains4.so",
            "vendor/proxychains-ng/lib/libtailchain.so",
            "vendor/tailscale/bin/tailscale",
            "vendor/tailscale/heroku-tailscale-admin-web.sh",
            "vendor/tailscale/heroku-tailscale-start.sh",
            "vendor/tailscale/heroku-tailscale-test.sh",
            "vendor/tailscale/tailscale",
            "vendor/tailscale/tailscaled",
        ]
    )


def test_the_shipped_config_has_the_address_that_peers_do_not_reach(build):
    build.ok()
    conf = (build.app / "vendor/proxychains-ng/conf/proxychains.conf").read_text()
    assert [line for line in conf.splitlines() if line.startswith("socks5 ")] == ["socks5 127.0.0.2 1055"]


def test_the_launcher_finds_its_library_in_the_app(build):
    build.ok()
    vendor = build.app / "vendor/proxychains-ng"
    words = [vendor / "bin/proxychains4", "-f", vendor / "conf/proxychains.conf", "true"]
    said = subprocess.run(words, capture_output=True, text=True, env=clean_environment())
    assert said.returncode == 0
    assert f"[proxychains] preloading {vendor}/lib/libtailchain.so" in said.stderr


# -- config vars


def test_the_newest_version_is_the_default(build, tmp_path):
    build.ok()
    assert installed(build) == "1.2.3 amd64"
    release(build.shelf, tmp_path, "1.2.4")
    build.ok()
    assert installed(build) == "1.2.4 amd64"


@pytest.mark.parametrize("version", ["1.2.3", "v1.2.3"])
def test_TAILSCALE_BUILD_TS_VERSION(build, tmp_path, version):
    release(build.shelf, tmp_path, "1.2.4")
    build.set(TAILSCALE_BUILD_TS_VERSION=version)
    build.ok()
    assert installed(build) == "1.2.3 amd64"
    assert "/?mode=json" not in build.shelf.asked


def test_settings_are_taken_from_the_environment_too(build, tmp_path):
    """Where a build gets no env directory of config vars, or a mirror is set for all builds. The config var wins."""
    release(build.shelf, tmp_path, "1.2.4")
    assert build.run(TAILSCALE_BUILD_TS_VERSION="1.2.3").returncode == 0
    assert installed(build) == "1.2.3 amd64"
    build.set(TAILSCALE_BUILD_TS_VERSION="1.2.4")
    assert build.run(TAILSCALE_BUILD_TS_VERSION="1.2.3").returncode == 0
    assert installed(build) == "1.2.4 amd64"


def test_TAILSCALE_BUILD_TS_TARGETARCH(build, tmp_path):
    release(build.shelf, tmp_path, "1.2.3", arch="riscv64")
    build.set(TAILSCALE_BUILD_TS_TARGETARCH="riscv64")
    build.ok()
    assert installed(build) == "1.2.3 riscv64"


@pytest.mark.parametrize("value, starts", [("true", False), ("1", False), ("false", True), ("", True)])
def test_TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D(build, value, starts):
    build.set(TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D=value)
    build.ok()
    assert (build.app / PROFILE).read_text().endswith(STARTS) == starts
    assert "vendor/tailscale/heroku-tailscale-start.sh" in build.files()


def test_a_setting_that_is_neither_true_nor_false_is_named(build):
    build.set(TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D="perhaps")
    done = build.run()
    assert done.returncode == 1
    assert "TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D is `perhaps`: set it to true or false." in done.stderr


def test_TAILSCALE_BUILD_PROXYCHAINS_REPO(build, tmp_path):
    """A build from source. Even if a proxychains-ng is named, it installs tailchain; unchanged, it is built only
    once."""
    repository = tmp_path / "proxychains-ng"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", repository]
    subprocess.run(["git", "init", "--quiet", repository], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "empty"], check=True)
    build.set(TAILCHAIN_BUILD_ARCHIVE_URL=None, TAILSCALE_BUILD_PROXYCHAINS_REPO=f"file://{repository}")
    # The result of an earlier run of this test saves time.
    done = build.run(TAILCHAIN_BUILD_TARGET_DIR=paths.TARGET / "buildpack")
    assert done.returncode == 0, done.stderr
    assert f"file://{repository} (TAILSCALE_BUILD_PROXYCHAINS_REPO) is not used: it is not tailchain" in done.stderr
    assert (build.app / "vendor/proxychains-ng/lib/libtailchain.so").stat().st_size > 100_000
    assert build.ok().count("from the build cache") == 2


# -- failures


@pytest.mark.parametrize("built_before", [False, True])
def test_a_download_that_breaks_off_leaves_the_app_as_it_was(build, tmp_path, built_before):
    if built_before:
        build.ok()
        release(build.shelf, tmp_path, "1.2.4")
    version = "1.2.4" if built_before else "1.2.3"
    path = f"/tailscale_{version}_amd64.tgz"
    build.shelf.cut.add(path)
    assert f"Cannot download {build.shelf.url}{path}" in untouched_after_failure(build)
    build.shelf.cut.clear()
    build.ok()
    assert installed(build) == f"{version} amd64"


def stopped(build, number, path):
    """Kills a build with a signal while it waits for `path`; returns its output."""
    build.shelf.held.add(path)
    process = subprocess.Popen(
        build.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment(), start_new_session=True
    )
    deadline = time.monotonic() + 60
    while path not in build.shelf.asked and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == -number, said
    build.shelf.held.clear()


@pytest.mark.parametrize("built_before", [False, True])
def test_a_build_that_is_stopped_leaves_the_app_as_it_was(build, tmp_path, built_before):
    if built_before:
        build.ok()
        release(build.shelf, tmp_path, "1.2.4")
    before = build.files()
    stopped(build, signal.SIGTERM, f"/tailscale_{'1.2.4' if built_before else '1.2.3'}_amd64.tgz")
    assert build.files() == before
    assert list(build.app.glob(".tailchain*")) == []
    build.ok()


def test_what_a_build_that_was_killed_left_is_swept_by_the_next(build, tmp_path):
    stopped(build, signal.SIGKILL, "/tailscale_1.2.3_amd64.tgz")
    (left,) = build.app.glob(".tailchain*")
    (left / "file").write_text("")
    elsewhere = tmp_path / "elsewhere"
    for directory in [
        elsewhere,
        build.app / ".tailchain.short",
        build.app / ".tailchain.longer7",
        build.app / ".tailchain.a-b_c.",
    ]:
        directory.mkdir()
        (directory / "of the app").write_text("")
    (build.app / ".tailchain.aLink0").symlink_to(elsewhere)
    (build.app / ".tailchain.aFile0").write_text("")
    build.ok()
    kept = {".tailchain.short", ".tailchain.longer7", ".tailchain.a-b_c.", ".tailchain.aLink0", ".tailchain.aFile0"}
    assert {path.name for path in build.app.glob(".tailchain*")} == kept
    assert (elsewhere / "of the app").exists()


def test_a_version_that_does_not_exist_is_named_by_its_url(build):
    build.set(TAILSCALE_BUILD_TS_VERSION="9.9.9")
    assert f"{build.shelf.url}/tailscale_9.9.9_amd64.tgz" in untouched_after_failure(build)


def test_a_wrong_checksum_installs_nothing(build):
    build.shelf.files["/tailscale_1.2.3_amd64.tgz.sha256"] = b"0" * 64
    said = untouched_after_failure(build)
    assert f"Wrong SHA-256 of {build.shelf.url}/tailscale_1.2.3_amd64.tgz" in said and "0" * 64 in said


@pytest.mark.parametrize("answer", [None, b"<html>Sign in</html>"])
def test_a_release_without_a_checksum_is_not_installed(build, answer):
    path = "/tailscale_1.2.3_amd64.tgz.sha256"
    if answer is None:
        del build.shelf.files[path]
    else:
        build.shelf.files[path] = answer
    assert f"{build.shelf.url}{path}" in untouched_after_failure(build)
    assert path.removesuffix(".sha256") not in build.shelf.asked


# -- Tailscale's signature


def openssl(*words, stdin=None):
    return subprocess.run([need("openssl"), *map(str, words)], input=stdin, capture_output=True, check=True).stdout


class Signer:
    """A key that signs as Tailscale does (clientupdate/distsign of its source)."""

    def __init__(self, directory, name):
        self.path = directory / f"{name}.key"
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.path)
        # The last 32 bytes are the key itself.
        der = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        self.public = base64.b64encode(der[-32:]).decode()

    def sign(self, message):
        file = self.path.with_suffix(".message")
        file.write_bytes(message)
        return openssl("pkeyutl", "-sign", "-inkey", self.path, "-rawin", "-in", file)

    def release(self, content):
        return self.sign(hashlib.blake2s(content).digest() + len(content).to_bytes(8, "little"))


def pem(*keys):
    lines = [f"-----BEGIN SIGNING PUBLIC KEY-----\n{key}\n-----END SIGNING PUBLIC KEY-----\n" for key in keys]
    return "".join(lines).encode()


RELEASE = "/tailscale_1.2.3_amd64.tgz"


@pytest.fixture
def signed(build, tmp_path):
    """A buildpack that trusts a root key of this test and takes our mirror for Tailscale's own server; and the
    signers."""
    root, old, key = (Signer(tmp_path, name) for name in ["root", "old", "key"])
    buildpack = tmp_path / "buildpack"
    for directory in ["bin", "lib", "conf"]:
        shutil.copytree(paths.ROOT / directory, buildpack / directory)
    # Tailscale has several of both, too.
    (buildpack / "lib/tailscale-roots").write_text(f"{old.public}\n{root.public}\n")
    script = buildpack / "lib/build/tailscale.sh"
    server = "TAILSCALE_RELEASES=https://pkgs.tailscale.com/stable"
    assert server in script.read_text()
    script.write_text(script.read_text().replace(server, f"TAILSCALE_RELEASES={build.shelf.url}"))
    build.buildpack = buildpack
    build.set(TAILSCALE_BUILD_MIRROR=None)
    bundle = pem(old.public, key.public)
    build.shelf.files["/distsign.pub"] = bundle
    build.shelf.files["/distsign.pub.sig"] = root.sign(bundle)
    build.shelf.files[f"{RELEASE}.sig"] = key.release(build.shelf.files[RELEASE])
    return build, root, key


def test_a_release_is_installed_because_tailscale_signed_it(signed):
    build, *_ = signed
    assert "       signed by Tailscale\n" in build.ok()
    assert installed(build) == "1.2.3 amd64"


def replace_release(build, tmp_path):
    """What an attacker who controls the server can do: another release, with its own checksum."""
    (tmp_path / "tailscaled").write_text("#!/bin/sh\necho evil\n")
    build.shelf.release("1.2.3", [tmp_path / "tailscale", tmp_path / "tailscaled"])


def test_a_release_of_somebody_else_is_not_installed(signed, tmp_path):
    build, *_ = signed
    replace_release(build, tmp_path)
    assert "is not signed by Tailscale." in untouched_after_failure(build)


def test_a_key_that_the_root_did_not_sign_signs_nothing(signed, tmp_path):
    build, _, key = signed
    other = Signer(tmp_path, "other")
    replace_release(build, tmp_path)
    build.shelf.files[f"{RELEASE}.sig"] = other.release(build.shelf.files[RELEASE])
    for keys, signature in [(pem(other.public), None), (pem(other.public), other.sign(pem(other.public)))]:
        build.shelf.files["/distsign.pub"] = keys
        if signature:
            build.shelf.files["/distsign.pub.sig"] = signature
        assert "is not signed by Tailscale." in untouched_after_failure(build)


@pytest.mark.parametrize("path", ["/distsign.pub", "/distsign.pub.sig", f"{RELEASE}.sig"])
def test_the_newest_release_without_a_signature_is_not_installed(signed, path):
    build, *_ = signed
    del build.shelf.files[path]
    said = untouched_after_failure(build)
    assert f"There is no signature of {build.shelf.url}{RELEASE}" in said and "TAILSCALE_BUILD_TS_SHA256" in said


@pytest.mark.parametrize("setting", ["TAILSCALE_BUILD_TS_VERSION", "TAILSCALE_BUILD_MIRROR"])
def test_an_old_release_and_a_mirror_may_have_none_and_that_is_said(signed, setting):
    build, *_ = signed
    del build.shelf.files[f"{RELEASE}.sig"]
    build.set(**{setting: {"TAILSCALE_BUILD_TS_VERSION": "1.2.3"}.get(setting, build.shelf.url)})
    assert "not signed there: trusting its own checksum (TAILSCALE_BUILD_TS_SHA256 sets one)" in build.ok()


def test_TAILSCALE_BUILD_TS_SHA256(signed, tmp_path):
    """A checksum from another source needs neither a signature nor the server's checksum."""
    build, *_ = signed
    right = hashlib.sha256(build.shelf.files[RELEASE]).hexdigest()
    for name in ["/distsign.pub", f"{RELEASE}.sha256"]:
        del build.shelf.files[name]
    build.set(TAILSCALE_BUILD_TS_SHA256=right.upper())
    build.ok()
    assert installed(build) == "1.2.3 amd64"
    build.set(TAILSCALE_BUILD_TS_SHA256="0" * 64)
    assert f"Wrong SHA-256 of {build.shelf.url}{RELEASE}" in untouched_after_failure(build)
    build.set(TAILSCALE_BUILD_TS_SHA256="abc")
    assert "TAILSCALE_BUILD_TS_SHA256 is `abc`" in untouched_after_failure(build)


def test_no_redirect_leads_from_https_to_http(tmp_path):
    """The options that every download uses, depending on the URL's scheme."""
    (tmp_path / "curl").write_text('#!/bin/sh\necho "$*"\nexit 1\n')
    (tmp_path / "curl").chmod(0o755)
    script = f'. {paths.ROOT}/lib/build/download.sh; fetch "$1" {tmp_path}/file; echo "$FETCH_ERROR"'
    environment = clean_environment({"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    def options(url):
        words = ["bash", "-c", script, "bash", url]
        return subprocess.run(words, capture_output=True, text=True, env=environment).stdout

    assert "--proto =https " in options("https://x/y") and "http,file" not in options("https://x/y")
    assert "--proto =https,http,file --proto-redir =https,http" in options("http://x/y")


def test_a_release_without_tailscaled_is_named(build, tmp_path):
    build.shelf.release("1.2.3", [tmp_path / "tailscale"])
    assert "does not hold tailscale_1.2.3_amd64/tailscale and" in untouched_after_failure(build)


@pytest.fixture
def released(build, tmp_path):
    """released(checksum): a buildpack with an archive for this machine, and no config var for one."""
    build.buildpack = tmp_path / "released"
    build.buildpack.mkdir()
    for name in ["bin", "lib", "conf"]:
        (build.buildpack / name).symlink_to(paths.ROOT / name)
    url, right = build.shelf.archive(ARCHIVE)
    named = f"/tailchain-1.2.3-{platform.machine()}.tgz"
    build.shelf.files[named] = build.shelf.files["/tailchain.tgz"]
    build.set(TAILCHAIN_BUILD_ARCHIVE_URL=None, TAILCHAIN_BUILD_ARCHIVE_SHA256=None)

    def make(checksum=right):
        lines = f"{'0' * 64}  {build.shelf.url}/tailchain-1.2.3-sparc.tgz\n{checksum}  {build.shelf.url}{named}\n"
        (build.buildpack / "archives.sha256").write_text(lines)
        return named

    return make


def test_a_release_that_the_buildpack_names_is_installed(build, released):
    named = released()
    build.ok()
    assert named in build.shelf.asked
    build.shelf.asked.clear()
    assert build.ok().count("from the build cache") == 2
    assert named not in build.shelf.asked


def test_a_release_with_another_checksum_is_not_installed(build, released):
    released("1" * 64)
    assert "Wrong SHA-256 of" in untouched_after_failure(build)


def test_a_release_that_cannot_be_had_is_built_from_source(build, released):
    """There are no sources here: it gets as far as not finding them."""
    del build.shelf.files[released()]
    said = build.run().stderr
    assert "tailchain is built from source" in said and "are not complete" in said


def test_an_archive_of_tailchain_needs_its_checksum(build):
    build.set(TAILCHAIN_BUILD_ARCHIVE_SHA256=None)
    assert "TAILCHAIN_BUILD_ARCHIVE_SHA256" in untouched_after_failure(build)
    build.set(TAILCHAIN_BUILD_ARCHIVE_SHA256="0" * 64)
    assert f"Wrong SHA-256 of {build.shelf.url}/tailchain.tgz" in untouched_after_failure(build)


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("bin/tailchain", b"#!/bin/sh\necho version GLIBC_9.99 not found >&2\nexit 1\n", "GLIBC_9.99 not found"),
        ("lib/libtailchain.so", b"no library", "cannot be preloaded"),
    ],
)
def test_an_archive_that_does_not_run_here_is_not_installed(build, tmp_path, name, content, reason):
    """ld.so only warns about a library that it cannot load: the app would bypass the tailnet."""
    other = tmp_path / "other"
    other.write_bytes(content)
    url, checksum = build.shelf.archive({**ARCHIVE, name: other})
    build.set(TAILCHAIN_BUILD_ARCHIVE_URL=url, TAILCHAIN_BUILD_ARCHIVE_SHA256=checksum)
    said = untouched_after_failure(build)
    assert "tailchain does not run on" in said and reason in said
    assert re.search(rf"must be for {platform.machine()} and for glibc 2\.\d+: make it on a system with", said)


def test_the_cache_saves_the_downloads(build):
    build.ok()
    build.shelf.asked.clear()
    assert build.ok().count("from the build cache") == 2
    assert not [path for path in build.shelf.asked if path.endswith(".tgz")]


def test_the_cache_holds_one_release(build, tmp_path):
    build.ok()
    release(build.shelf, tmp_path, "1.2.4")
    build.ok()
    assert [path.name for path in (build.cache / "tailscale").glob("*.tgz")] == ["tailscale_1.2.4_amd64.tgz"]


def test_a_stale_cache_is_replaced(build):
    build.ok()
    (build.cache / "tailscale" / "tailscale_1.2.3_amd64.tgz").write_bytes(b"half a file")
    build.ok()
    assert installed(build) == "1.2.3 amd64"


def test_without_the_list_of_releases_the_cached_one_is_used_and_said(build):
    build.ok()
    del build.shelf.files["/?mode=json"]
    done = build.run()
    assert done.returncode == 0 and "using 1.2.3 of the last build" in done.stderr
    assert installed(build) == "1.2.3 amd64"


@pytest.mark.parametrize("answer", [b"<html>Sign in</html>", b""])
def test_an_invalid_list_of_releases_is_treated_as_missing(build, answer):
    build.ok()
    build.shelf.files["/?mode=json"] = answer
    done = build.run()
    assert done.returncode == 0 and "it names no version): using 1.2.3 of the last build" in done.stderr
    assert installed(build) == "1.2.3 amd64"


def test_without_the_list_of_releases_and_a_cache_the_build_ends(build):
    del build.shelf.files["/?mode=json"]
    said = untouched_after_failure(build)
    assert "Set TAILSCALE_BUILD_TS_VERSION" in said and "404" in said
