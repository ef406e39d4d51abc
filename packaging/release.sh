#!/bin/bash
# Makes all that a page of releases carries, in dist/release: the package, an apt repository, a tarball for other
# distributions, a list of what is inside (SPDX), the notes and the checksums. Nothing is uploaded.
#
#     packaging/release.sh [DEB]
#
# From a clean checkout alone. DEB: a package of this version that is built already; without it, it is built.
# REPO_KEY signs the repository, as in make-repo.sh. The version stands in Sources/inferq/Process/Version.swift.
set -euo pipefail
deb=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."

fail() {
    echo "release: $*" >&2
    exit 1
}

step() { echo "release: $*" >&2; }

version=$(packaging/version.sh)
[ -z "$(git status --porcelain)" ] || fail "the checkout has changes; commit or stash them: a release is made of a commit"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
architecture=$(dpkg --print-architecture)
out=$PWD/dist/release
name=inferq_${version}_$architecture.deb

if [ -z "$deb" ]; then
    step "building the package: this takes some ten minutes"
    make --silent deb
    deb=$PWD/dist/$name
fi
[ "$(dpkg-deb -f "$deb" Version)" = "$version" ] || fail "$deb is not of version $version"
# The package may be in the folder of an earlier release.
mkdir -p dist
cp "$deb" "dist/$name.new"
rm -rf "$out"
mkdir -p "$out"
mv "dist/$name.new" "$out/$name"

step "signing an apt repository"
packaging/make-repo.sh dist/repo "$out/$name" >/dev/null
tar -C dist --sort=name --owner=0 --group=0 --mtime="@$SOURCE_DATE_EPOCH" -czf "$out/inferq-apt-repository.tar.gz" repo

step "a tarball for other distributions"
packaging/make-tarball.sh "$out/$name" "$out"

step "a list of what is inside"
python3 packaging/sbom.py "$version" "$out"/*.deb "$out"/*.tar.* >"$out/inferq-$version.spdx.json"

packaging/release-notes.sh "$version" >"$out/NOTES.md"
(cd "$out" && sha256sum -- * >SHA256SUMS)
step "done: $out"
ls -l "$out"
