#!/bin/bash
# Starts Tailscale and waits until its proxy can be used. Sourced from .profile.d by a dyno's shell, or called, from
# .profile for example; Tailscale then runs for as long as that shell, or what it has become, does.

if [ -n "${TAILCHAIN_BYPASS:-}" ]; then
    echo "Tailscale is not started: $TAILCHAIN_BYPASS" >&2
elif [ "${BASH_SOURCE[0]}" = "$0" ]; then
    exec tailchain tailscale up --watch "$PPID"
elif ! tailchain tailscale up --watch "$$"; then
    # The reason is above. A program without its tailnet would only fail later, and less clearly.
    exit 1
fi
