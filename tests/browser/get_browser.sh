#!/bin/sh
# Makes sure that there is a Chromium for the tests of the HTML report; $1 is where `playwright` lies.
# One that is installed is taken; else the system's package, else Playwright's own download.
set -eu

"$1/python" -m tests.browser.chromium 2>/dev/null && exit 0

if command -v apt-get >/dev/null; then
    root=""
    [ "$(id -u)" = 0 ] || root="sudo -n"
    if $root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends chromium >/dev/null; then
        "$1/python" -m tests.browser.chromium && exit 0
    fi
fi

"$1/python" -m playwright install chromium
"$1/python" -m tests.browser.chromium
