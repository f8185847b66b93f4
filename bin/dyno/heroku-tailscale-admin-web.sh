#!/bin/bash
# Serves an app to the tailnet only, by HTTPS under a name of its own:
#
#   admin_web: heroku-tailscale-admin-web.sh uvicorn --host 127.0.0.1 --port 8000 project.asgi:application
#
# TAILSCALE_ADMIN_HOSTNAME  the name, without the tailnet's domain; required
# TAILSCALE_ADMIN_PORT      where COMMAND listens on 127.0.0.1; 8000
# TAILSCALE_CERTS_RESTORE   shell command that fills the folder $CERTS, and
# TAILSCALE_CERTS_STORE     one that keeps it: Let's Encrypt gives a name five certificates a week, and a dyno's files
#                           are gone when it ends
# TAILSCALE_API_KEY         to remove the machine that had the name before; without it that machine keeps the name until
#                           it is gone, and this one gets NAME-1
set -euo pipefail

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

(($#)) || fail "name the command that serves the app, after this script"
name=${TAILSCALE_ADMIN_HOSTNAME:?is not set: the name under which the tailnet sees the app}
port=${TAILSCALE_ADMIN_PORT:-8000}
export CERTS=$TAILSCALE_STATE_DIR/certs
[[ -z ${TAILCHAIN_BYPASS:-} ]] || fail "there is no tailnet to serve the app to: $TAILCHAIN_BYPASS"
command -v jq >/dev/null || fail "jq is not installed; add it with the apt buildpack"

own() { tailscale status --json | jq -r "$1"; }

mkdir -p "$CERTS"
[[ -z ${TAILSCALE_CERTS_RESTORE:-} ]] || bash -c "$TAILSCALE_CERTS_RESTORE"

if [[ -n ${TAILSCALE_API_KEY:-} ]]; then
    own ".Peer[]? | select(.HostName == \"$name\") | .ID" | while read -r machine; do
        # By standard input, since a command line can be seen by others.
        curl --fail --silent --show-error --request DELETE --config - \
            "${TAILSCALE_API:-https://api.tailscale.com}/api/v2/device/$machine" <<<"user = \"$TAILSCALE_API_KEY:\""
    done
fi

tailscale set --hostname="$name"
domain=$(own '.Self.DNSName | rtrimstr(".")')
# It makes a certificate only if the one that was restored does not do.
tailscale cert --cert-file=- --key-file=- "$domain" >/dev/null
[[ -z ${TAILSCALE_CERTS_STORE:-} ]] || bash -c "$TAILSCALE_CERTS_STORE"

tailscale serve --bg "http://127.0.0.1:$port"
tailscale serve status
exec proxychains4 -f "${PROXYCHAINS_CONF_FILE:-$HOME/vendor/proxychains-ng/conf/proxychains.conf}" "$@"
