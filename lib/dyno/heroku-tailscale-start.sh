#!/bin/bash
# Starts Tailscale on a dyno and waits until its proxy is ready; a failure ends the dyno.
#
# To be sourced, by .profile.d or an app's .profile. Executed, it also works for the shell that called it, but cannot
# change that shell's variables. No `set -e`: it would persist in the shell that sources this.
#
# ALL_PROXY is not exported. The programs that honour it (curl, pip, requests) would send all traffic through
# tailscaled, which connects to the rest of the internet itself: that works, but is a detour. proxychains4 uses its
# config instead.

tailscale_start() {
    local watch=$1 bypass="TAILSCALE_AUTH_KEY is not set" credentials hidden
    credentials="${TAILSCALE_AUTH_KEY:-}${TS_AUTHKEY:-}${TS_AUTH_KEY:-}${TAILSCALE_CLIENT_ID:-}${TS_CLIENT_ID:-}"
    credentials+="${TAILSCALE_CLIENT_SECRET:-}${TS_CLIENT_SECRET:-}"

    if [[ -z $credentials ]]; then
        echo "-----> Skipping Tailscale: $bypass" >&2
        export TAILCHAIN_BYPASS="${TAILCHAIN_BYPASS:-$bypass}"
        return 0
    fi
    # A .profile may have set the key after .profile.d had found none.
    if [[ ${TAILCHAIN_BYPASS:-} == "$bypass" ]]; then
        unset TAILCHAIN_BYPASS
        [[ $watch == "${TAILSCALE_WATCH:-$$}" ]] || {
            echo " !     The key was set after the dyno's shell had started: source this script instead of" >&2
            echo " !     executing it, or proxychains4 goes on without a proxy." >&2
        }
    fi
    # Earlier start scripts read the name without the S.
    if [[ -n ${TAILSCALE_ADVERTISE_EXIT_NODE:-} && -z ${TAILSCALE_ADVERTISE_EXIT_NODES:-} ]]; then
        export TAILSCALE_ADVERTISE_EXIT_NODES="$TAILSCALE_ADVERTISE_EXIT_NODE"
    fi

    # Certificates and tailscaled's socket, which gives full control of it, are only for this user.
    (umask 077 && mkdir -p "$TAILSCALE_FILES_DIR" "${TAILSCALE_SOCKET%/*}")
    echo "-----> Starting Tailscale" >&2
    tailchain tailscale up --watch "$watch" || return
    # From here on the app's shell, and so the app, has placeholders instead of the secrets.
    hidden=$(tailchain tailscale hide) || return
    eval "$hidden"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    tailscale_start "$PPID" || exit 1
else
    tailscale_start "${TAILSCALE_WATCH:-$$}" || exit 1
    unset -f tailscale_start
fi
