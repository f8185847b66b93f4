# shellcheck shell=bash
# Config vars as a build gets them: one file each, in a directory. The build's own environment is not the app's.

BUILD_SETTINGS=(
    TAILSCALE_BUILD_TS_VERSION
    TAILSCALE_BUILD_TS_SHA256
    TAILSCALE_BUILD_TS_TARGETARCH
    TAILSCALE_BUILD_MIRROR
    TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D
    TAILSCALE_BUILD_PROXYCHAINS_REPO
    TAILCHAIN_BUILD_ARCHIVE_URL
    TAILCHAIN_BUILD_ARCHIVE_SHA256
    # rustup's own variables, for users who install Rust from a mirror.
    RUSTUP_UPDATE_ROOT
    RUSTUP_DIST_SERVER
)

# read_settings DIRECTORY: exports a variable for each setting, without surrounding blanks.
read_settings() {
    local name value
    for name in "${BUILD_SETTINGS[@]}"; do
        [[ -f "$1/$name" ]] || continue
        read -r value <"$1/$name" || true
        [[ -z $value ]] || export "$name=$value"
    done
}

# An invalid value ends the build now, not minutes later.
check_settings() {
    is_on TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D || true
    [[ ${TAILSCALE_BUILD_TS_SHA256:-0000} =~ ^([0-9a-fA-F]{64}|0000)$ ]] ||
        fail "TAILSCALE_BUILD_TS_SHA256 is \`$TAILSCALE_BUILD_TS_SHA256\`: set it to the SHA-256 checksum of the release's .tgz."
}

# is_on NAME: whether the variable NAME is true.
is_on() {
    local value=${!1:-}
    case ${value,,} in
        true | 1 | yes | on) return 0 ;;
        '' | false | 0 | no | off) return 1 ;;
        *) fail "$1 is \`$value\`: set it to true or false." ;;
    esac
}
