# shellcheck shell=bash
# Sourced by the shell of every dyno, before the app starts.

export PATH="$HOME/vendor/proxychains-ng/bin:$HOME/vendor/tailscale/bin:$HOME/vendor/tailscale:$PATH"

# tailscaled's own default is a folder of the system. Certificates are in `certs` below the second. The state is not in
# there unless TAILSCALE_STATE_DIR asks for it: a dyno's disk ends with the dyno.
export TAILSCALE_SOCKET="${TAILSCALE_SOCKET:-${TS_SOCKET:-$HOME/.local/share/tailscale/tailscaled.sock}}"
export TAILSCALE_FILES_DIR="${TAILSCALE_STATE_DIR:-${TS_STATE_DIR:-$HOME/.local/share/tailscale}}"

# Not 127.0.0.1: what peers of the tailnet send to the dyno's own address arrives there. A config that says 127.0.0.1 and
# the port of tailscaled is understood as this.
export TAILSCALE_SOCKS5_HOST="${TAILSCALE_SOCKS5_HOST:-127.0.0.2}"

# Here and not in the start script, which may be excluded: one Procfile serves dynos with a key and without.
if [[ -z ${TAILSCALE_AUTH_KEY:-}${TS_AUTHKEY:-}${TAILCHAIN_BYPASS:-} ]]; then
    export TAILCHAIN_BYPASS="TAILSCALE_AUTH_KEY is not set"
fi
