# shellcheck shell=bash
# A build's output, in the format of Heroku's buildpacks.

step() {
    echo "-----> $*"
}

note() {
    echo "       $*"
}

# The output of a command, below its step.
indent() {
    sed -u 's/^/       /'
}

warn() {
    printf ' !     %s\n' "$@" >&2
}

# fail LINE…: what went wrong, then how to fix it.
fail() {
    warn "$@"
    exit 1
}
