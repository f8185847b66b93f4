#!/bin/bash
# heroku-tailscale-admin-web.sh COMMAND…: serves an app to the tailnet only, over HTTPS and under its own name.
#
#   TAILSCALE_ADMIN_HOSTNAME   the machine's name in the tailnet
#   TAILSCALE_ADMIN_PORT       where COMMAND listens on 127.0.0.1 (8000)
# TAILSCALE_CERT_RESTORE     a shell command that restores $TAILSCALE_CERT_DIR from storage
#   TAILSCALE_CERT_STORE       a shell command that stores $TAILSCALE_CERT_DIR
# TAILSCALE_API_KEY          to remove older machines of that name
# TAILSCALE_API_URL          Tailscale's API, by default the public one
#
# Let's Encrypt issues only a few certificates a week for one name, and a dyno's disk is empty at each start: without
# the two CERT commands a few restarts exhaust that limit.
set -euo pipefail

say() {
    echo "-----> $*" >&2
}

fail() {
    printf ' !     %s\n' "$@" >&2
    exit 1
}

# self FIELD: a field of the node's own status.
self() {
    tailscale status --json --peers=false | jq --raw-output ".Self.$1"
}

# api METHOD PATH. The key is passed through an fd: arguments are visible to other processes.
api() {
    curl --fail --silent --show-error --max-time 30 --request "$1" \
        --config <(printf 'user = "%s:"\n' "$TAILSCALE_API_KEY") \
        "${TAILSCALE_API_URL:-https://api.tailscale.com/api/v2}/$2"
}

# Free the name: two machines cannot share it, and the later one would be called NAME-1.
remove_previous() {
    local own devices id
    own=$(self ID)
    devices=$(api GET "tailnet/-/devices") ||
        fail "The machines of the tailnet cannot be listed. May TAILSCALE_API_KEY do that, and is it still valid?"
    for id in $(jq --raw-output --arg name "$hostname" --arg own "$own" \
        '.devices[] | select(.nodeId != $own and (.name | split(".")[0]) == $name) | .nodeId' <<<"$devices"); do
        say "Removing the machine $id, which had the name $hostname"
        api DELETE "device/$id" >/dev/null ||
            fail "The machine $id, which has the name $hostname, cannot be removed. Remove it by hand."
    done
}

# A new name reaches this node through the control server.
wait_for_name() {
    local domain
    for _ in {1..60}; do
        domain=$(self DNSName)
        if [[ $domain == "$hostname".* ]]; then
            echo "${domain%.}"
            return
        fi
        sleep 0.5
    done
    fail "The tailnet gave this machine the name ${domain%.}, not $hostname." \
        "Remove the machine that has it (or set TAILSCALE_API_KEY), and check that MagicDNS is on."
}

hostname=${TAILSCALE_ADMIN_HOSTNAME:-}
port=${TAILSCALE_ADMIN_PORT:-8000}
[[ -n $hostname ]] || fail "TAILSCALE_ADMIN_HOSTNAME is not set: under which name is the app to be served?"
[[ -z ${TAILCHAIN_BYPASS:-} ]] || fail "$TAILCHAIN_BYPASS: there is no tailnet to serve."
(($#)) || fail "usage: $0 COMMAND…, where COMMAND listens on 127.0.0.1:$port"
command -v jq >/dev/null || fail "jq is not installed: add it with an apt buildpack."

export TAILSCALE_CERT_DIR="$TAILSCALE_FILES_DIR/certs"
mkdir -p "$TAILSCALE_CERT_DIR"
chmod 700 "$TAILSCALE_CERT_DIR"

if [[ -n ${TAILSCALE_CERT_RESTORE:-} ]]; then
    say "Restoring certificates"
    # The very first start has nothing to restore; a new certificate is issued then.
    bash -c "$TAILSCALE_CERT_RESTORE" || say "Nothing was restored (exit status $?)"
fi
[[ -z ${TAILSCALE_API_KEY:-} ]] || remove_previous
say "Taking the name $hostname"
tailscale set --hostname="$hostname"
domain=$(wait_for_name)

say "Checking the certificate of $domain"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# tailscaled uses the certificate in TAILSCALE_CERT_DIR while it is valid; else it gets a new one and stores it there.
tailscale cert --cert-file="$scratch/crt" --key-file="$scratch/key" "$domain" ||
    fail "There is no certificate for $domain. Is HTTPS enabled in the tailnet's DNS settings?"
rm -rf "$scratch"
if [[ -n ${TAILSCALE_CERT_STORE:-} ]]; then
    say "Storing certificates"
    bash -c "$TAILSCALE_CERT_STORE" || fail "TAILSCALE_CERT_STORE failed; the next start would ask for another certificate."
fi

tailscale serve --bg --https=443 "http://127.0.0.1:$port" >&2
tailscale serve status >&2
# A secret that the app does not need.
unset TAILSCALE_API_KEY
vendor=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
exec proxychains4 -f "$vendor/proxychains-ng/conf/proxychains.conf" "$@"
