# shellcheck shell=bash
# Output of a build, in the format of Heroku's buildpacks.

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

# fail LINE…: what went wrong, then what to do about it.
fail() {
    warn "$@"
    exit 1
}
