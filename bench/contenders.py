"""The contenders, and how each is given the proxy: a config file and environment variables."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from support import paths

from .harness import CannotDo

BARE = "bare"
HAND_WRITTEN = "hand-written client"
TAILCHAIN = "tailchain"
PROXYCHAINS = "proxychains-ng"
TORSOCKS = "torsocks"
DANTE = "dante"

# tailchain's directive that sends greeting and request together.
ONE_SEGMENT = "proxy_pipeline"


@dataclass(frozen=True)
class Setting:
    """The content of a config."""

    proxies: tuple  # ports of loopback, in the order of the chain
    names: bool = False  # the proxy resolves names
    direct: str = ""  # a network that is reached without the proxy
    one_segment: bool = False  # greeting and request go out together


class Contender:
    """One way to send a program's connections through a proxy."""

    name = ""
    library = None  # the library that LD_PRELOAD names
    launcher = None  # the command that a user would start the program with

    def present(self):
        return True

    def variables(self, setting, directory):
        """The environment of a proxied program, except LD_PRELOAD."""
        raise NotImplementedError

    def environment(self, setting, directory):
        """The whole environment of a proxied program."""
        preload = {"LD_PRELOAD": str(self.library)} if self.library else {}
        return {**self.variables(setting, directory), **preload}

    def start(self):
        """The words before a program that the launcher starts."""
        return [self.launcher] if self.launcher else []

    def write(self, directory, text):
        """A config file with this text."""
        path = directory / f"{self.name.replace(' ', '-')}-{abs(hash(text))}.conf"
        path.write_text(text)
        return str(path)


class Bare(Contender):
    """The upper bound: no proxy at all."""

    name = BARE

    def variables(self, setting, directory):
        return {}


class ByHand(Contender):
    """A client that speaks SOCKS5 itself, in the fewest system calls: the least that a proxied connection can cost."""

    name = HAND_WRITTEN

    def variables(self, setting, directory):
        if len(setting.proxies) != 1:
            raise CannotDo("one proxy only")
        option = {"SOCKS_ONE_SEGMENT": "1"} if setting.one_segment else {}
        return {"SOCKS_PORT": str(setting.proxies[0]), **option}


class Proxychains(Contender):
    """A contender that reads proxychains-ng's config."""

    def lines(self, setting):
        lines = ["strict_chain", "quiet_mode"]
        lines += ["proxy_dns"] if setting.names else []
        lines += [f"localnet {setting.direct}"] if setting.direct else []
        return [
            *lines,
            *self.further(setting),
            "[ProxyList]",
            *(f"socks5 127.0.0.1 {port}" for port in setting.proxies),
        ]

    def further(self, setting):
        if setting.one_segment:
            raise CannotDo("has no such option")
        return []

    def variables(self, setting, directory):
        config = self.write(directory, "\n".join([*self.lines(setting), ""]))
        # The name table is below XDG_RUNTIME_DIR: `directory` is this run's own, so no name is known before.
        return {"PROXYCHAINS_CONF_FILE": config, "PROXYCHAINS_QUIET_MODE": "1", "XDG_RUNTIME_DIR": str(directory)}

    def start(self):
        return [self.launcher, "-q"]


class Tailchain(Proxychains):
    name = TAILCHAIN
    library = paths.LIBRARY
    launcher = str(paths.LAUNCHER)

    def further(self, setting):
        return [ONE_SEGMENT] if setting.one_segment else []


class DebianProxychains(Proxychains):
    name = PROXYCHAINS

    def __init__(self):
        self.library = _library("libproxychains.so.4")
        self.launcher = "/usr/bin/proxychains4"

    def present(self):
        return bool(self.library) and Path(self.launcher).exists()


class Torsocks(Contender):
    name = TORSOCKS

    def __init__(self):
        self.library = _library("torsocks/libtorsocks.so")
        self.launcher = shutil.which("torsocks")

    def present(self):
        return bool(self.library and self.launcher)

    def variables(self, setting, directory):
        if len(setting.proxies) != 1:
            raise CannotDo("one proxy only")
        if setting.names:
            raise CannotDo("resolves by a command of Tor's own")
        lines = ["TorAddress 127.0.0.1", f"TorPort {setting.proxies[0]}"]
        lines += ["AllowOutboundLocalhost 1"] if setting.direct else []
        return {"TORSOCKS_CONF_FILE": self.write(directory, "\n".join([*lines, ""]))}


class Dante(Contender):
    name = DANTE

    def __init__(self):
        self.library = _library("libdsocksd.so.0")
        self.launcher = shutil.which("socksify")

    def present(self):
        return bool(self.library and self.launcher)

    def variables(self, setting, directory):
        if len(setting.proxies) != 1:
            raise CannotDo("one proxy only")
        lines = ["logoutput: /dev/null"]
        lines += ["resolveprotocol: fake"] if setting.names else []
        lines += [f"route {{ from: 0.0.0.0/0 to: {setting.direct} via: direct }}"] if setting.direct else []
        lines += ["route {", f"from: 0.0.0.0/0 to: 0.0.0.0/0 via: 127.0.0.1 port = {setting.proxies[0]}"]
        lines += ["proxyprotocol: socks_v5", "command: connect", "method: none", "}"]
        config = self.write(directory, "\n".join([*lines, ""]))
        # Otherwise it connects directly to the machine's own networks.
        return {"SOCKS_CONF": config, "SOCKS_AUTOADD_LANROUTES": "no"}


def _library(name):
    """Where Debian installs a library, whatever the machine's architecture."""
    return next((str(path) for path in sorted(Path("/usr/lib").glob(f"*-linux-gnu*/{name}"))), None)


def everybody():
    """All contenders that are installed here, in the table's order."""
    known = [Bare(), ByHand(), Tailchain(), DebianProxychains(), Torsocks(), Dante()]
    return [contender for contender in known if contender.present()]
