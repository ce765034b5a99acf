# The Python environment, in the state folder. A stamp says what it was made from.
# shellcheck shell=bash

# The system's Python: one under somebody's home could not be run by the unprivileged user.
PYTHON=/usr/bin/python3
SOURCES="pyproject.toml README.md extensions pipelines services cli"

install_python() {
    local venv=$HOME_DIR/venv stamp
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed in $PYTHON."
    [ "$DEV" = no ] || [ ! -d "$venv" ] || touch "$venv/.dev"
    # What once was made for tests stays so: `make up` after `make test` must not undo it.
    [ ! -e "$venv/.dev" ] || DEV=yes
    stamp=$(python_stamp)
    [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || return 0
    rm -f "$venv/.stamp"
    if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        rm -rf "$venv"
        run_step "Python environment" "$PYTHON" -m venv "$venv"
    fi
    run_step "Python packages (some minutes the first time)" install_packages_of_python "$venv"
    [ "$DEV" = no ] || touch "$venv/.dev"
    stamp=$(python_stamp)
    echo "$stamp" >"$venv/.stamp"
}

install_packages_of_python() {
    local venv=$1 options=() target='.[all]'
    [ ! -e "$CLONE/constraints.txt" ] || options+=(--constraint "$CLONE/constraints.txt")
    cd "$CLONE" || return 1
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    "$venv/bin/python" -m pip install --upgrade 'pip>=25.1' 'hatchling>=1.27' || return 1
    [ "$DEV" = no ] || options+=(--group dev)
    if is_editable; then options+=(--editable "$target"); else options+=("$target"); fi
    # hatchling is there already: an isolated build would fetch it once more, on every change.
    "$venv/bin/python" -m pip install --no-build-isolation "${options[@]}"
}

# Whether the unprivileged user can read the sources where they lie; else they are copied into the environment.
is_editable() {
    local unreadable
    # shellcheck disable=SC2086
    unreadable=$(cd "$CLONE" && as_service find $SOURCES ! -readable -print -quit 2>&1) && [ -z "$unreadable" ]
}

python_stamp() {
    {
        echo "$CLONE $DEV $("$PYTHON" -V)"
        cat "$CLONE/pyproject.toml" "$CLONE/constraints.txt" 2>/dev/null || true
        if is_editable; then echo editable; else source_digests; fi
    } | digest
}

source_digests() {
    # shellcheck disable=SC2086
    (cd "$CLONE" && find $SOURCES -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum)
}
