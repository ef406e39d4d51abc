#!/bin/bash
# Builds the package of the last commit in a folder of its own, and compares its bytes with those of another build.
#
#     packaging/check-reproducible.sh [PACKAGE]
#
# PACKAGE: built from the same commit elsewhere; without it, two are built. A build takes ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
clean() {
    for each in "$work"/*/Makefile; do
        if [ -e "$each" ]; then make --silent -C "${each%/*}" clean; fi
    done
    rm -rf "$work"
}
trap clean EXIT
# Both at once: a commit that comes meanwhile is in neither.
git clone --quiet . "$work/first"
git clone --quiet . "$work/second-and-elsewhere"
build() {
    echo "building in $work/$1, with a log beside it" >&2
    make -C "$work/$1" deb >"$work/$1.log" 2>&1 || { tail -20 "$work/$1.log" >&2; exit 1; }
    ls "$work/$1"/dist/inferq_*.deb
}

first=${1:-$(build first)}
second=$(build second-and-elsewhere)
sha256sum "$first" "$second"
cmp "$first" "$second"
echo 'two builds, the same bytes'
