# The Python environment, in the state folder. Two stamps say what it was made from: the packages, and our own code.
# shellcheck shell=bash

# The system's Python: one under somebody's home could not be run by the unprivileged user.
PYTHON=/usr/bin/python3
SOURCES="pyproject.toml README.md extensions pipelines services cli"

install_python() {
    local venv=$HOME_DIR/venv packages code
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed in $PYTHON."
    # What once was made for tests stays so: `make up` after `make test` must not undo it.
    [ ! -e "$venv/.dev" ] || DEV=yes
    packages=$(packages_stamp)
    code=$(code_stamp)
    if [ "$(cat "$venv/.packages" 2>/dev/null)" != "$packages" ]; then
        rm -f "$venv/.packages"
        make_environment "$venv"
        run_step "Python packages (a minute or more the first time)" pip_everything "$venv"
        [ "$DEV" = no ] || touch "$venv/.dev"
        echo "$packages" >"$venv/.packages"
    elif [ "$(cat "$venv/.code" 2>/dev/null)" != "$code" ]; then
        run_step "Almagest's own code" pip_code "$venv"
    fi
    echo "$code" >"$venv/.code"
}

make_environment() {
    "$1/bin/python" -c 'import pip' 2>/dev/null && return
    rm -rf "$1"
    run_step "Python environment" "$PYTHON" -m venv "$1"
}

pip_everything() {
    local options=() target='.[all]'
    [ ! -e "$CLONE/constraints.txt" ] || options+=(--constraint "$CLONE/constraints.txt")
    [ "$DEV" = no ] || options+=(--group dev)
    if is_editable; then options+=(--editable "$target"); else options+=("$target"); fi
    pip_install "$1" --upgrade 'pip>=25.1' 'hatchling>=1.27' || return 1
    pip_install "$1" "${options[@]}"
}

# hatchling lies in the environment: without an isolated build, a change of code needs no network.
pip_code() {
    pip_install "$1" --no-deps --no-build-isolation .
}

pip_install() {
    local venv=$1
    shift
    cd "$CLONE" || return 1
    env PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore "$venv/bin/python" -m pip install "$@"
}

# Whether the unprivileged user can read the sources where they lie; else they are copied into the environment.
is_editable() {
    local unreadable source sources=()
    # By absolute paths: from inside the clone its files can be reached even where the way there is closed.
    for source in $SOURCES; do sources+=("$CLONE/$source"); done
    unreadable=$(cd / && as_service find "${sources[@]}" ! -readable -print -quit 2>&1) && [ -z "$unreadable" ]
}

packages_stamp() {
    {
        echo "$CLONE $DEV $("$PYTHON" -V)"
        is_editable && echo editable
        cat "$CLONE/pyproject.toml" "$CLONE/constraints.txt" 2>/dev/null || true
    } | digest
}

code_stamp() {
    if is_editable; then echo editable; else source_digests | digest; fi
}

source_digests() {
    # shellcheck disable=SC2086
    (cd "$CLONE" && find $SOURCES -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum)
}
