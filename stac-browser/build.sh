#!/bin/sh
# build.sh OUT_DIR: builds STAC Browser as a static site for "/" into OUT_DIR. See README.md.
#   BUILD_DIR   where node_modules and the patched sources lie (default: .build beside this script, else a temporary
#               directory). Keep it between calls and only the first one installs.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
say() { printf 'stac-browser: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }
sha256() { if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

[ $# -eq 1 ] && [ -n "$1" ] || die "usage: build.sh OUT_DIR"
mkdir -p -- "$(dirname -- "$1")"
out=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")

# Everything but the runtime settings, which are copied and not compiled.
inputs() {
  cd -- "$here"
  find build.sh prepare.mjs package.json package-lock.json .npmrc overlay -type f | LC_ALL=C sort |
    while IFS= read -r file; do printf '%s %s\n' "$file" "$(sha256 <"$file")"; done
}
stamp=$(inputs | sha256)

install_config() {
  cmp -s -- "$here/config.js" "$out/config.js" && return 0
  cp -- "$here/config.js" "$out/.config.js.tmp"
  chmod 644 -- "$out/.config.js.tmp"
  mv -f -- "$out/.config.js.tmp" "$out/config.js"
  say "config.js updated"
}

if [ -f "$out/.stamp" ] && [ "$(cat -- "$out/.stamp")" = "$stamp" ]; then
  install_config
  say "up to date: $out"
  exit 0
fi
if [ -e "$out" ] && [ ! -f "$out/.stamp" ] && [ -n "$(ls -A -- "$out" 2>/dev/null || echo not-a-directory)" ]; then
  die "$out exists and was not made by this script; remove it first"
fi

command -v npm >/dev/null 2>&1 || die "npm is needed (Node 18 or newer)"
node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' || die "Node 18 or newer is needed, this is $(node -v)"

temporary=
cleanup() {
  rm -rf -- "$out.tmp"
  if [ -n "$temporary" ]; then rm -rf -- "$temporary"; fi
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

build=${BUILD_DIR:-}
if [ -z "$build" ]; then
  build=$here/.build
  if ! mkdir -p -- "$build" 2>/dev/null || [ ! -w "$build" ]; then
    temporary=$(mktemp -d)
    build=$temporary
  fi
fi
mkdir -p -- "$build"
build=$(CDPATH='' cd -- "$build" && pwd)

# One build at a time in one build directory.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$build/.lock"
  flock 9
fi

cd -- "$build"
log=$build/build.log
: >"$log"
run() {
  if ! "$@" >>"$log" 2>&1; then
    tail -n 40 -- "$log" >&2
    die "failed: $* (whole log: $log)"
  fi
}

cp -- "$here/package.json" "$here/package-lock.json" "$here/.npmrc" .
locked=$(cat package.json package-lock.json | sha256)
if [ "$(cat node_modules/.almagest-lock 2>/dev/null)" != "$locked" ]; then
  say "installing packages (npm ci)"
  [ -w "${HOME:-/nonexistent}" ] || export npm_config_cache="$build/npm-cache"
  # No package needs its install script here; without them it does not matter who runs npm.
  run npm ci --ignore-scripts --no-update-notifier
  printf '%s\n' "$locked" >node_modules/.almagest-lock
fi

upstream=node_modules/@radiantearth/stac-browser
[ ! -e "$upstream/node_modules" ] ||
  die "some dependency of STAC Browser is not at the top of node_modules: pin it in package.json (see README.md)"

say "preparing the sources"
rm -rf src public basemap dist
cp -R "$upstream/src" "$upstream/public" .
cp "$upstream"/*.js "$upstream/config.schema.json" .
cp -R "$here/overlay/." .
cp -- "$here/config.js" public/config.js
cp -- "$here/prepare.mjs" .
run node prepare.mjs

say "building (about a minute)"
run env SB_historyMode=history SB_pathPrefix=/ SB_catalogTitle=Almagest SB_noSourceMaps=true \
  node_modules/.bin/vue-cli-service build
[ -s dist/index.html ] && [ -d dist/js ] && [ -s dist/swagger/init.js ] || die "the build left no site (log: $log)"

# Compressed copies for nginx's gzip_static; only of files that nobody edits in place.
find dist/js dist/css dist/swagger -type f \( -name '*.js' -o -name '*.css' \) -exec gzip -9 -n -k {} +

rm -rf -- "$out.tmp" "$out.old"
cp -R dist "$out.tmp"
cp -- "$here/config.js" "$out.tmp/config.js"
printf '%s\n' "$stamp" >"$out.tmp/.stamp"
find "$out.tmp" -type d -exec chmod 755 {} +
find "$out.tmp" -type f -exec chmod 644 {} +
if [ -e "$out" ]; then mv -- "$out" "$out.old"; fi
mv -- "$out.tmp" "$out"
rm -rf -- "$out.old"
say "built: $out ($(du -sk -- "$out" | cut -f 1) KiB)"
