# Debian packages: only missing ones, and without waking any service of the system's.
# shellcheck shell=bash

OLDEST_POSTGRES=15
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='# made by the Almagest bootstrap, for the time of one installation'
CREATECLUSTER=/etc/postgresql-common/createcluster.conf

install_packages() {
    local missing
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086  # a list of words
    require_root_rights $missing
    run_step "Package lists" as_root apt-get update -q
    # Only now is it known which PostgreSQL this system has.
    missing=$(missing_packages)
    install_quietly "$missing"
}

# What we need, found by what is there, not by package names: another source may have brought it.
missing_packages() {
    local path=$PATH:/usr/sbin:/sbin
    [ -n "$(usable_postgres)" ] || postgres_packages
    PATH=$path command -v redis-server >/dev/null || echo redis-server
    PATH=$path command -v nginx >/dev/null || echo nginx
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    if ! browser_is_built; then
        PATH=$path command -v node >/dev/null || echo nodejs
        PATH=$path command -v npm >/dev/null || echo npm
    fi
    if [ "$DEV" = yes ] && ! command -v chromium >/dev/null && chromium_is_packaged; then echo chromium; fi
    if [ "$DEV" = yes ] && ! command -v promtool >/dev/null; then echo prometheus; fi
}

# The newest installed PostgreSQL that is new enough and has PostGIS.
usable_postgres() {
    local folder version best=
    for folder in /usr/lib/postgresql/*/; do
        version=$(basename "$folder")
        case $version in *[!0-9]*) continue ;; esac
        [ "$version" -ge "$OLDEST_POSTGRES" ] && [ -x "$folder/bin/initdb" ] || continue
        [ -e "/usr/share/postgresql/$version/extension/postgis.control" ] || continue
        [ -n "$best" ] && [ "$best" -ge "$version" ] || best=$version
    done
    echo "$best"
}

# The system's own version; its metapackage is named `15+248`.
postgres_packages() {
    local version
    version=$(apt-cache show --no-all-versions postgresql 2>/dev/null | sed -n 's/^Version: \([0-9]*\).*/\1/p' | head -n 1)
    version=${version:-$OLDEST_POSTGRES}
    [ "$version" -ge "$OLDEST_POSTGRES" ] || fail "This system's PostgreSQL is $version; $OLDEST_POSTGRES or newer is needed."
    echo "postgresql-$version"
    echo "postgresql-$version-postgis-3"
}

# Ubuntu's chromium is only a pointer to a snap.
chromium_is_packaged() {
    [ "$(release_field "${ALMAGEST_OS_RELEASE:-/etc/os-release}" ID)" = debian ]
}

install_quietly() {
    local packages=$1 units
    units=$(units_to_silence "$packages")
    trap restore_system EXIT
    forbid_service_starts
    case $packages in *postgresql-*) forbid_main_cluster ;; esac
    note "installing ${packages//$'\n'/, }"
    # shellcheck disable=SC2086
    run_step "Debian packages" apt_install $packages
    # shellcheck disable=SC2086
    silence $units
    restore_system
    trap - EXIT
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Packages ask this script before they start a service. An existing one is somebody's wish and stays.
forbid_service_starts() {
    if [ ! -e "$POLICY" ] || grep -qF "$POLICY_MARK" "$POLICY"; then
        printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
}

# Debian makes a cluster called main, on port 5432, for every PostgreSQL that is installed.
forbid_main_cluster() {
    [ -e "$CREATECLUSTER" ] || run_step "Debian package (postgresql-common)" apt_install postgresql-common
    as_root cp -p "$CREATECLUSTER" "$CREATECLUSTER.before-almagest"
    as_root sed -i 's/^#\{0,1\} *create_main_cluster *=.*/create_main_cluster = false/' "$CREATECLUSTER"
}

restore_system() {
    if [ -e "$POLICY" ] && grep -qF "$POLICY_MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
    if [ -e "$CREATECLUSTER.before-almagest" ]; then
        as_root mv "$CREATECLUSTER.before-almagest" "$CREATECLUSTER"
    fi
}

# The services that come with what we are about to install; those that were here before are none of our business.
units_to_silence() {
    local package
    for package in $1; do
        case $package in
            nginx | redis-server | prometheus) echo "$package.service" ;;
            postgresql-*-postgis-3) ;;
            postgresql-*) [ -e "$CREATECLUSTER" ] || echo postgresql.service ;;
        esac
    done
}

silence() {
    local unit now=
    [ "$#" -gt 0 ] && command -v systemctl >/dev/null || return 0
    [ ! -d /run/systemd/system ] || now=--now
    for unit in "$@"; do
        # shellcheck disable=SC2086
        as_root systemctl disable $now "$unit" >>"$LOG" 2>&1 || true
    done
}
