"""Installed as a new user of a release would do it, used for a moment, and removed."""

import platform

import pytest

from support.roots import UBUNTU

DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())

# From the oldest release that still gets updates to the newest. Heroku's stacks are Ubuntu's jammy and noble.
releases = pytest.mark.parametrize("release", ["bullseye", "bookworm", "testing", *UBUNTU])

COMPLETE = """
. /usr/share/bash-completion/bash_completion
for words in "tailchain ch" "proxychains4 --st" "proxychains4 -q tailch"; do
    COMP_WORDS=($words) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$words COMP_POINT=${#words} COMPREPLY=()
    { _completion_loader "${COMP_WORDS[0]}" || _comp_load "${COMP_WORDS[0]}"; } 2>/dev/null
    function=$(complete -p "${COMP_WORDS[0]}" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    $function "${COMP_WORDS[0]}" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
    echo "${COMPREPLY[0]}"
done
"""


@releases
def test_the_debian_package(release, make_root, package, proxy, web_port):
    root = make_root(release)
    deb = root.put(package(f"tailchain_*_{DEBIAN}.deb"))
    root.run("apt-get purge -y proxychains4 libproxychains4")
    before = root.files()
    root.run(f"apt-get install -y {deb}")

    said = root.run("proxychains4 true")
    assert "config file found: /etc/proxychains4.conf" in said and "warning" not in said
    first_use(root, proxy, web_port)
    assert root.run(COMPLETE).splitlines() == ["check", "--strict", "tailchain"]
    # An LD_PRELOAD line for Debian's proxychains-ng.
    proxied = f"curl -fsS http://127.0.0.1:{web_port}/"
    root.run(f"LD_PRELOAD=$(echo /usr/lib/*/libproxychains.so.4) {proxied}", PROXYCHAINS_CONF_FILE="/root/mine.conf")
    assert proxy.targets == [("127.0.0.1", web_port)] * 2

    root.run("apt-get remove -y tailchain")
    assert root.files() - before == {"etc/proxychains4.conf"}
    root.run("apt-get purge -y tailchain")
    assert root.files() == before


def test_the_package_replaces_proxychains4_and_keeps_its_config(make_root, package):
    root = make_root("bookworm")
    root.write("/etc/proxychains4.conf", "strict_chain\n# mine\n[ProxyList]\nsocks5 127.0.0.1 9\n")
    deb = root.put(package(f"tailchain_*_{DEBIAN}.deb"))
    root.run(f"apt-get install -y -o Dpkg::Options::=--force-confold {deb}")
    assert "# mine" in root.run("cat /etc/proxychains4.conf")
    assert root.run("dpkg-query -W -f '${Status}' proxychains4", check=False).startswith("deinstall")
    assert "tailchain" in root.run("proxychains4 --version")


@releases
def test_the_wheel(release, make_root, package, proxy, web_port):
    root = make_root(release)
    root.run("apt-get purge -y proxychains4 libproxychains4")
    wheel = root.put(package(f"tailchain-*manylinux*_{platform.machine()}.whl"))
    root.run("python3 -m venv /venv")
    before = root.files()
    root.run(f"/venv/bin/pip install --no-index {wheel}")
    first_use(root, proxy, web_port, path="/venv/bin:/usr/bin:/bin", manual="/venv/share/man")
    root.run("/venv/bin/pip uninstall -y tailchain")
    assert root.files() == before


def first_use(root, proxy, web_port, path=None, manual=None):
    """The README's commands for a new user."""
    environment = {**({"PATH": path} if path else {}), **({"MANPATH": manual} if manual else {})}
    there = len(proxy.targets)
    root.run(f"proxychains4 -x socks5://127.0.0.1:{proxy.port} curl -fsS http://127.0.0.1:{web_port}/", **environment)
    assert proxy.targets[there:] == [("127.0.0.1", web_port)]

    for page in ["proxychains4", "tailchain", "proxychains.conf"]:
        assert "DESCRIPTION" in root.run(f"man {page} | cat", **environment)

    conf = root.write("/root/mine.conf", f"strict_chain\nproxy_dns\n[ProxyList]\nsocks5 127.0.0.1 {proxy.port}\n")
    root.run(f"tailchain doctor -f {conf} curl", **environment)
