#!/bin/bash
# Asks Tailscale's test machine for a page: https://tailscale.com/kb/1073/hello. It has to be shared with the tailnet.
set -euo pipefail
exec proxychains4 -f "$HOME/vendor/proxychains-ng/conf/proxychains.conf" \
    curl --silent --show-error --max-time 60 "${1:-http://hello.ts.net}"
