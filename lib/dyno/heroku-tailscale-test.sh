#!/bin/bash
# heroku-tailscale-test.sh [URL]: fetches a page from the tailnet, by default from hello.ts.net.
set -euo pipefail

url=${1:-http://hello.ts.net}
config="$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")/proxychains-ng/conf/proxychains.conf"

if [[ -n ${TAILCHAIN_BYPASS:-} ]]; then
    echo " !     $TAILCHAIN_BYPASS: there is no tailnet to test." >&2
    exit 1
fi
echo "-----> What this dyno sees of the tailnet"
tailscale status
echo "-----> Fetching $url through proxychains4"
if ! proxychains4 -f "$config" curl --fail --silent --show-error --max-time 60 "$url"; then
    echo " !     $url cannot be reached. Is it in the tailnet, and do the ACLs let this node's tags reach it?" >&2
    exit 1
fi
echo "-----> The tailnet can be reached"
