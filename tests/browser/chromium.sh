#!/bin/sh
# Debian's Chromium, for the tests of the page. Where it cannot be had those tests are skipped, but in CI it is an error.
set -eu
command -v chromium >/dev/null 2>&1 && exit 0
give_up() {
  echo "$1" >&2
  [ -z "${CI:-}" ] && exit 0
  exit 1
}
command -v apt-get >/dev/null 2>&1 || give_up "No chromium here, and no apt-get to install it: the tests of the page are skipped."
as_root=""
if [ "$(id -u)" -ne 0 ]; then
  { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; } || give_up "No chromium here, and no right to install it: the tests of the page are skipped."
  as_root="sudo -n"
fi
echo "installing chromium (once; a minute)"
{ $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null; } ||
  give_up "chromium could not be installed: the tests of the page are skipped."
