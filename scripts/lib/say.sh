# What a person sees: steps with their time, long ones with a sign of life, and one sentence where it ends.
# shellcheck shell=bash

LOG= # until the state folder is there, a temporary file, and only once there is something to write
CHILD=

fail() {
    echo "Error: $*" >&2
    exit 1
}

note() {
    echo "    $*" >&2
}

# run_step TITLE COMMAND…: the command's output goes to the log, and its end to the screen should it fail.
run_step() {
    local title=$1 started=$SECONDS status=0
    shift
    LOG=${LOG:-$(mktemp -t almagest-bootstrap.XXXXXX)}
    printf '\n=== %s: %s\n' "$title" "$*" >>"$LOG"
    "$@" >>"$LOG" 2>&1 </dev/null &
    CHILD=$!
    heartbeat "$title" "$started"
    wait "$CHILD" || status=$?
    CHILD=
    [ ! -t 2 ] || printf '\r\033[K' >&2
    if [ "$status" != 0 ]; then
        tail -n 20 "$LOG" | sed 's/^/    /' >&2
        fail "$title failed (the whole log: $LOG)."
    fi
    echo "  ✓ $title ($((SECONDS - started)) s)" >&2
}

heartbeat() {
    local title=$1 started=$2 elapsed next=15
    while kill -0 "$CHILD" 2>/dev/null; do
        elapsed=$((SECONDS - started))
        if [ -t 2 ]; then
            printf '\r  … %s (%s s)' "$title" "$elapsed" >&2
        elif [ "$elapsed" -ge "$next" ]; then
            note "… $title ($elapsed s)"
            next=$((elapsed + 15))
        fi
        # Short steps should not wait for a long pause; nobody counts the seconds of a long one.
        if [ "$elapsed" -lt 2 ]; then sleep 0.1; else sleep 1; fi
    done
}

# A command in the background does not hear Ctrl-C by itself.
interrupted() {
    [ -z "$CHILD" ] || kill "$CHILD" 2>/dev/null || true
    echo >&2
    echo "Error: interrupted." >&2
    exit 130
}
trap interrupted INT TERM
