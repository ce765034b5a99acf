# The user that everything runs as, and the folder of all state.
# shellcheck shell=bash

ensure_user() {
    is_root || return 0
    id "$RUN_AS" >/dev/null 2>&1 && return
    [ "$RUN_AS" != root ] || fail "ALMAGEST_USER must not be root: nothing here runs as root."
    run_step "User $RUN_AS" useradd --system --user-group --no-create-home --home-dir /var/lib/almagest \
        --shell /usr/sbin/nologin "$RUN_AS"
}

# A clone under a home of mode 0700 is closed to that user. Its state then lies in /var/lib, with a link in the clone.
prepare_home() {
    if [ ! -e "$HOME_DIR" ] && [ ! -L "$HOME_DIR" ]; then
        mkdir -p "$(dirname "$HOME_DIR")"
        if as_service test -x "$(dirname "$HOME_DIR")"; then
            mkdir -m 755 "$HOME_DIR"
        else
            ln -s "/var/lib/almagest/$(basename "$CLONE")-$(printf %s "$HOME_DIR" | digest)" "$HOME_DIR"
            note "$CLONE is closed to the user $RUN_AS: the state lies in $(readlink "$HOME_DIR")"
        fi
    fi
    HOME_DIR=$(readlink -m "$HOME_DIR")
    check_owner
    mkdir -p "$HOME_DIR" 2>/dev/null || fail "$HOME_DIR cannot be made: set ALMAGEST_HOME to a folder you may write to."
    [ -w "$HOME_DIR" ] || fail "$HOME_DIR belongs to $(stat -c %U "$HOME_DIR"): run this as $(stat -c %U "$HOME_DIR")."
    as_service test -x "$HOME_DIR" ||
        fail "$HOME_DIR is closed to the user $RUN_AS: set ALMAGEST_HOME to a folder below /var/lib."
    if [ -n "$LOG" ]; then
        cat "$LOG" >>"$HOME_DIR/bootstrap.log"
        rm -f "$LOG"
    fi
    LOG=$HOME_DIR/bootstrap.log
}

# Root may have made it, and its user; anybody else's is not for root to take over.
check_owner() {
    local owner
    [ -e "$HOME_DIR" ] || return 0
    owner=$(stat -c %U "$HOME_DIR")
    if is_root && [ "$owner" != root ] && [ "$owner" != "$RUN_AS" ]; then
        fail "$HOME_DIR belongs to the user $owner: run this as $owner, or set ALMAGEST_HOME to another folder."
    fi
}

one_at_a_time() {
    exec 9>"$HOME_DIR/.bootstrap.lock"
    flock -n 9 || {
        note "another bootstrap is at work in $HOME_DIR: waiting for it"
        flock 9
    }
}
