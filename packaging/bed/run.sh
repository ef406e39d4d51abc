#!/bin/bash
# Boots a real systemd with the built package in it and runs the checks of this folder there; says why where it cannot.
#
#     packaging/bed/run.sh [dist/inferq_VERSION_ARCH.deb]
#     packaging/bed/run.sh --possible   installs what it needs and fails where it cannot run, without a package
#
# Needs root. The first run makes a small Debian 12 in $BED_WORK (default /var/tmp/inferq-bed, 240 MB); evidence of the
# last run stays in $BED_WORK/out. ROUNDS: restarts and upgrades under load, each.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "SKIPPED: the checks of the package on systemd: $*"
    [ "$question" = no ] || exit 1
    exit 0
}
question=no
[ "${1:-}" != --possible ] || question=yes
[ "$(id -u)" = 0 ] || skip 'they need root'
unshare --mount true 2>/dev/null || skip 'this root may not mount'
packaging/install-deps.sh systemd-container mmdebstrap util-linux || skip 'systemd-container and mmdebstrap are not to be had'
[ "$question" = no ] || exit 0

deb=${1:-$(ls -t dist/inferq_*.deb 2>/dev/null | head -1)}
[ -n "$deb" ] && [ -f "$deb" ] || { echo 'no package is built: make deb' >&2; exit 1; }
export BED_WORK=${BED_WORK:-/var/tmp/inferq-bed}
export BED_INCLUDE=systemd,systemd-sysv,dbus,libnss-systemd,apt-utils,ca-certificates,curl,iproute2,procps,python3,redis-tools,sqlite3
mkdir -p "$BED_WORK"
repo=()
if packaging/install-deps.sh apt-utils gnupg; then
    packaging/make-repo.sh "$BED_WORK/repo" "$deb" >/dev/null
    tar -cf "$BED_WORK/repo.tar" -C "$BED_WORK/repo" .
    repo=(-f "$BED_WORK/repo.tar")
fi
limit=$((480 + 30 * ${ROUNDS:-4})) # a busy machine takes 30 s for a restart and an upgrade
exec packaging/bed/nspawn-bed.sh run -o "$BED_WORK/out" -t $((limit + 300)) -c $limit \
    -f packaging/bed/model.py -f packaging/bed/load.py -f packaging/bed/hold.py -f debian/tests/smoke "${repo[@]}" "$deb" -- packaging/bed/check.sh ${ROUNDS:+"$ROUNDS"}
