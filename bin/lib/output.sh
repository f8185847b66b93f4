# shellcheck shell=bash
# Output as Heroku's buildpacks have it.

step() { echo "-----> $*"; }
detail() { echo "       $*"; }

# fail WHAT WHAT-TO-DO…: one line each, and the build is over.
fail() {
    printf ' !     %s\n' "$@" >&2
    exit 1
}
