# shellcheck shell=bash
# Installs the scripts that run on a dyno, and moves everything into the slug.

PROFILE_SCRIPT=heroku-tailscale-buildpack.sh

# install_scripts DIRECTORY SCRIPTS: those that a running app needs, beside Tailscale's programs.
install_scripts() {
    step "Installing the start script"
    install -m 755 "$2"/heroku-tailscale-*.sh "$1/"
    install -D -m 755 "$2/tailscale" "$1/bin/tailscale"
}

# install_dyno_scripts STAGE SCRIPTS
install_dyno_scripts() {
    install_scripts "$1/tailscale" "$2"
    install -D -m 644 "$2/profile.sh" "$1/$PROFILE_SCRIPT"
    if is_on TAILSCALE_BUILD_EXCLUDE_START_SCRIPT_FROM_PROFILE_D; then
        note "dynos do not run it by themselves: source vendor/tailscale/heroku-tailscale-start.sh in .profile"
    else
        # shellcheck disable=SC2016 # $HOME is expanded on the dyno.
        echo '. "$HOME/vendor/tailscale/heroku-tailscale-start.sh"' >>"$1/$PROFILE_SCRIPT"
    fi
}

# move_into_place STAGE BUILD
move_into_place() {
    local directory
    mkdir -p "$2/vendor" "$2/.profile.d"
    for directory in tailscale proxychains-ng; do
        rm -rf "$2/vendor/$directory"
        mv "$1/$directory" "$2/vendor/$directory"
    done
    mv -f "$1/$PROFILE_SCRIPT" "$2/.profile.d/$PROFILE_SCRIPT"
}
