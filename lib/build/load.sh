# shellcheck shell=bash
# Loads all parts of a build, for bin/compile and bin/build.

lib=${BASH_SOURCE[0]%/*}
# shellcheck source=lib/build/output.sh
. "$lib/output.sh"
# shellcheck source=lib/build/settings.sh
. "$lib/settings.sh"
# shellcheck source=lib/build/download.sh
. "$lib/download.sh"
# shellcheck source=lib/build/signature.sh
. "$lib/signature.sh"
# shellcheck source=lib/build/tailscale.sh
. "$lib/tailscale.sh"
# shellcheck source=lib/build/rust.sh
. "$lib/rust.sh"
# shellcheck source=lib/build/tailchain.sh
. "$lib/tailchain.sh"
# shellcheck source=lib/build/dyno.sh
. "$lib/dyno.sh"
# shellcheck source=lib/build/sbom.sh
. "$lib/sbom.sh"
unset lib
