# shellcheck shell=bash
# Sourced by the shell of every dyno, before the app starts.

TAILSCALE_VENDOR=${TAILSCALE_VENDOR:-$HOME/vendor}
export PATH="$TAILSCALE_VENDOR/proxychains-ng/bin:$TAILSCALE_VENDOR/tailscale/bin:$TAILSCALE_VENDOR/tailscale:$PATH"

# For LD_PRELOAD=libproxychains4.so without a path: the loader ignores a library that it does not find, and the app
# would bypass the proxy. The directory has no other library.
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$TAILSCALE_VENDOR/proxychains-ng/lib"

# tailscaled's own default is a system directory. Certificates are in `certs` below the second one. The state is there
# only with TAILSCALE_STATE_DIR: a dyno's disk does not outlive the dyno.
export TAILSCALE_SOCKET="${TAILSCALE_SOCKET:-${TS_SOCKET:-$HOME/.local/share/tailscale/tailscaled.sock}}"
export TAILSCALE_FILES_DIR="${TAILSCALE_STATE_DIR:-${TS_STATE_DIR:-$HOME/.local/share/tailscale}}"

# Not 127.0.0.1: peers of the tailnet that connect to the dyno's own address arrive there. A config with 127.0.0.1 and
# tailscaled's port is taken to mean this address.
if [[ -n ${TS_SOCKS5_SERVER:-} && -z ${TAILSCALE_SOCKS5_HOST:-} ]]; then
    # [HOST]:PORT, as for Tailscale's container; without a host it means every address.
    export TAILSCALE_SOCKS5_PORT="${TAILSCALE_SOCKS5_PORT:-${TS_SOCKS5_SERVER##*:}}"
    TAILSCALE_SOCKS5_HOST="${TS_SOCKS5_SERVER%:*}"
    TAILSCALE_SOCKS5_HOST="${TAILSCALE_SOCKS5_HOST//[\[\]]/}"
    TAILSCALE_SOCKS5_HOST="${TAILSCALE_SOCKS5_HOST:-0.0.0.0}"
fi
export TAILSCALE_SOCKS5_HOST="${TAILSCALE_SOCKS5_HOST:-127.0.0.2}"

# Here and not in the start script, which the user may exclude: one Procfile serves dynos with and without a key.
tailscale_credentials="${TAILSCALE_AUTH_KEY:-}${TS_AUTHKEY:-}${TS_AUTH_KEY:-}${TAILSCALE_CLIENT_ID:-}${TS_CLIENT_ID:-}"
tailscale_credentials+="${TAILSCALE_CLIENT_SECRET:-}${TS_CLIENT_SECRET:-}"
if [[ -z $tailscale_credentials${TAILCHAIN_BYPASS:-} ]]; then
    export TAILCHAIN_BYPASS="TAILSCALE_AUTH_KEY is not set"
fi
unset tailscale_credentials TAILSCALE_VENDOR
