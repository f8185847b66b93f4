# shellcheck shell=bash
# Verifies Tailscale's release signatures like `tailscale update`: a root key, which this buildpack contains, signs the
# current signing keys (distsign.pub), and one of those signs the release. So neither the server nor a machine in the
# middle can alter a release.

# The root keys, base64: Ed25519 (RFC 8032).
TAILSCALE_ROOTS="${BASH_SOURCE[0]%/*}/../tailscale-roots"

# can_verify: whether there is an openssl with the necessary algorithms.
can_verify() {
    openssl dgst -blake2s256 -binary </dev/null >/dev/null 2>&1 && openssl pkeyutl -help 2>&1 | grep -q -- -rawin
}

# verify_release URL FILE BASE DIRECTORY: verifies the signature of FILE, downloaded from URL; distsign.pub is below
# BASE, our own files go to DIRECTORY. Returns 0 if it is valid, 1 if not, 2 if there is no signature (FETCH_ERROR has
# the reason).
verify_release() {
    local message="$4/message"
    fetch "$3/distsign.pub" "$4/keys" && fetch "$3/distsign.pub.sig" "$4/keys.sig" && fetch "$1.sig" "$4/sig" || return 2
    signed_by_any "$TAILSCALE_ROOTS" "$4/keys" "$4/keys.sig" || return 1
    # The signed message is a hash, then the length as eight bytes, little-endian.
    openssl dgst -blake2s256 -binary "$2" >"$message" || return 1
    little_endian "$(stat --format=%s "$2")" >>"$message"
    grep -v -e '^---' "$4/keys" >"$4/keys.base64" || true
    signed_by_any "$4/keys.base64" "$message" "$4/sig"
}

# signed_by_any KEYS FILE SIGNATURE: KEYS has one base64 key per line.
signed_by_any() {
    local key
    while read -r key; do
        signed_by "$key" "$2" "$3" && return
    done <"$1"
    return 1
}

# This prefix makes the key a DER structure that openssl reads (RFC 8410 section 4).
signed_by() {
    local public="$2.key"
    {
        printf '\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00'
        base64 --decode <<<"$1" 2>/dev/null
    } >"$public"
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$public" -rawin -in "$2" -sigfile "$3" >/dev/null 2>&1
}

little_endian() {
    local number=$1 octet
    for _ in {1..8}; do
        printf -v octet '\\x%02x' $((number & 255))
        printf '%b' "$octet"
        number=$((number >> 8))
    done
}
