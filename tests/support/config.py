"""Config files for a test."""


def config_text(proxies, *directives, chain="strict_chain"):
    """The text of a config: `proxies` are proxy lines, or things that have a `line()`."""
    lines = [proxy if isinstance(proxy, str) else proxy.line() for proxy in proxies]
    return "\n".join([chain, *directives, "[ProxyList]", *lines, ""])


class Configs:
    """Writes configs into a directory of the test."""

    def __init__(self, directory):
        self.directory = directory
        self.count = 0

    def __call__(self, proxies, *directives, chain="strict_chain"):
        self.count += 1
        path = self.directory / f"proxychains-{self.count}.conf"
        path.write_text(config_text(proxies, *directives, chain=chain))
        return path
