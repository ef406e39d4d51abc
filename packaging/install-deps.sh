#!/bin/sh
# Installs the Debian packages named as arguments, as far as they are missing:
#
#     packaging/install-deps.sh libsqlite3-dev tesseract-ocr
#
# Says nothing and needs no rights when all of them are there. As a user other than root it asks sudo.
set -eu

fail() {
    echo "install-deps: $*" >&2
    exit 1
}

missing_of() {
    absent=
    for package in "$@"; do
        status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=unknown
        [ "$status" = installed ] || absent="$absent $package"
    done
    echo "${absent# }"
}

if [ $# -eq 0 ]; then
    echo "usage: $0 PACKAGE..." >&2
    exit 64
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    fail "this is not Debian or a relative of it; install what corresponds to these packages: $*"
fi

missing=$(missing_of "$@")
[ -n "$missing" ] || exit 0
by_hand="install them by hand with: apt-get install $missing"

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif ! command -v sudo >/dev/null; then
    fail "packages are missing, and neither root nor sudo is at hand; $by_hand"
elif [ -t 0 ]; then
    as_root=sudo # may ask for a password
    sudo -v || fail "packages are missing, and sudo refused; $by_hand"
else
    as_root='sudo -n'
    sudo -n true 2>/dev/null || fail "packages are missing, and sudo wants a password; $by_hand"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

apt() {
    # Waits for another apt that is at work, and leaves configuration files as they are.
    # shellcheck disable=SC2086 # as_root is empty, or a command with its option
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confold "$@" >>"$log" 2>&1 </dev/null
}

echo "installing from Debian: $missing"
apt update || echo "install-deps: the package lists could not be refreshed; going on with those at hand" >&2
# shellcheck disable=SC2086 # package names hold no white space
if ! apt install --no-install-recommends $missing; then
    tail -n 20 "$log" >&2
    fail "apt-get failed, its last lines are above; $by_hand"
fi
# shellcheck disable=SC2086
missing=$(missing_of $missing)
[ -z "$missing" ] || fail "apt-get reported success, but these are still missing: $missing"
