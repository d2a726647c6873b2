#!/bin/sh
# Builds the page into runtime/page. With --if-possible a machine that cannot do it gets one line and goes on without the
# page: the API needs no Node. With CI set it is always an error.
set -eu
cd "$(dirname "$0")"

give_up() {
  echo "$1" >&2
  if [ "${2:-}" = --if-possible ] && [ -z "${CI:-}" ]; then
    echo "Going on without the page at /; the API is whole without it." >&2
    exit 0
  fi
  exit 1
}

command -v node >/dev/null 2>&1 || give_up "The page is not built: it needs Node 20.19 or newer, and there is no node here." "${1:-}"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  give_up "The page is not built: it needs Node 20.19 or newer, and this is $(node --version)." "${1:-}"
command -v npm >/dev/null 2>&1 || give_up "The page is not built: npm is missing beside node." "${1:-}"

if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "fetching what the page is built with (once; half a minute)"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || give_up "The page is not built: npm could not fetch its packages." "${1:-}"
  touch node_modules/.package-lock.json
fi
echo "building the page"
npm run --silent build -- --logLevel warn || give_up "The page is not built: see above." "${1:-}"
