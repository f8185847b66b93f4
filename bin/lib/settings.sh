# shellcheck shell=bash
# The config vars of the app that are meant for the build. Heroku puts each into a file of the folder ENV.

BUILD_SETTINGS=(
    TAILSCALE_BUILD_TS_VERSION
    TAILSCALE_BUILD_TS_TARGETARCH
    TAILSCALE_BUILD_MIRROR
    TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D
    TAILSCALE_BUILD_PROXYCHAINS_REPO
    TAILCHAIN_BUILD_ARCHIVE_URL
    TAILCHAIN_BUILD_ARCHIVE_SHA256
)

# read_settings FOLDER: into shell variables of the same names; empty is as not set. What the environment itself says
# counts where there is no file.
read_settings() {
    local name
    for name in "${BUILD_SETTINGS[@]}"; do
        if [[ -n $1 && -f $1/$name ]]; then
            printf -v "$name" %s "$(<"$1/$name")"
        else
            printf -v "$name" %s "${!name:-}"
        fi
    done
}

# is_yes NAME: whether a setting says yes; fails on what is neither yes nor no.
is_yes() {
    case ${!1,,} in
        true | 1 | yes | on) return 0 ;;
        '' | false | 0 | no | off) return 1 ;;
        *) fail "$1 is \`${!1}\`." "Set it to true or false." ;;
    esac
}
