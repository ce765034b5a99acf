# STAC Browser, built once from npm into the state folder.
# shellcheck shell=bash

build_browser() {
    browser_is_built && return
    # As whoever calls: the npm configuration of this machine (a mirror, a certificate) is his.
    run_step "STAC Browser (npm, some minutes the first time)" \
        env BUILD_DIR="$HOME_DIR/build/browser" "$CLONE/stac-browser/build.sh" "$HOME_DIR/browser"
    browser_stamp >"$HOME_DIR/.browser-stamp"
}

browser_is_built() {
    [ -e "$CLONE/stac-browser/build.sh" ] || return 0 # nothing to build from
    [ -e "$HOME_DIR/browser/index.html" ] && [ "$(cat "$HOME_DIR/.browser-stamp" 2>/dev/null)" = "$(browser_stamp)" ]
}

browser_stamp() {
    (cd "$CLONE/stac-browser" && find . -name node_modules -prune -o -name dist -prune -o -type f -print0 |
        sort -z | xargs -0 sha256sum) | digest
}
