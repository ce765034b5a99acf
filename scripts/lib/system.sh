# Where we are and what we may do.
# shellcheck shell=bash

# check_system OS_RELEASE: refuses what is older than Debian 12 or Ubuntu 24.04, and everything else.
check_system() {
    local name version id
    [ -r "$1" ] || fail "Almagest needs Debian 12 or Ubuntu 24.04, or newer; this system has no $1."
    id=$(release_field "$1" ID)
    name=$(release_field "$1" PRETTY_NAME)
    version=$(release_field "$1" VERSION_ID)
    case $id in
        # Debian's testing and unstable carry no version; they are newer than any that does.
        debian) at_least "${version:-999}" 12 ;;
        ubuntu) at_least "${version:-0}" 24.04 ;;
        *) false ;;
    esac || fail "Almagest needs Debian 12 or Ubuntu 24.04, or newer; this is ${name:-$id $version}."
}

release_field() {
    sed -n "s/^$2=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$1" | head -n 1
}

at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

is_root() {
    [ "$(id -u)" = 0 ]
}

# Only packages need root; everything else is done as whoever calls.
as_root() {
    if is_root; then "$@"; else sudo -n "$@"; fi
}

# as_service COMMAND…: as the user that everything will run as.
as_service() {
    if is_root; then runuser -u "$RUN_AS" -- "$@"; else "$@"; fi
}

require_root_rights() {
    is_root && return
    command -v sudo >/dev/null || fail "These packages are missing: $*. Run this as root, or install sudo or them."
    note "these packages are missing: $*; sudo may ask for your password to install them"
    sudo -v || fail "These packages are missing: $*. Run this as root, or as a user who may use sudo."
}

# digest: of what comes in.
digest() {
    sha256sum | cut -c 1-16
}
