# shellcheck shell=bash
# Sourced by every dyno's shell: where things are.

export PATH="$HOME/vendor/proxychains-ng/bin:$HOME/vendor/tailscale/bin:$HOME/vendor/tailscale:$PATH"
export TAILSCALE_DIR="$HOME/vendor/tailscale"
export TAILSCALE_SOCKET="$HOME/.local/share/tailscale/tailscaled.sock"
# Certificates end up below it, in certs.
export TAILSCALE_STATE_DIR="$HOME/.local/share/tailscale"

# Without a key there is no tailnet, and proxychains4 starts the program as if it were not there: a release phase, a
# review app and CI can share one Procfile.
if [ -z "${TAILSCALE_AUTH_KEY:-}" ] && [ -z "${TS_AUTHKEY:-}" ]; then
    export TAILCHAIN_BYPASS="TAILSCALE_AUTH_KEY is not set"
fi

# ALL_PROXY is not exported on purpose. Programs that honour it would send everything to the tailnet, downloads
# and the platform's own services included; proxychains4 in the Procfile says which programs are meant.
