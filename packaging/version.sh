#!/bin/sh
# Prints the version of the program, which stands in Sources/inferq/Process/Version.swift, and holds the others against it.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^ *static let text = "\(.*\)"$/\1/p' Sources/inferq/Process/Version.swift)
packaged=$(sed -n '1s/^inferq (\(.*\)) .*/\1/p' debian/changelog)
[ "$version" = "$packaged" ] || {
    echo "version: Version.swift says $version and debian/changelog $packaged; write the same into both" >&2
    exit 1
}
if other=$(grep -ohE 'inferq_[0-9][0-9.]*_' README.md docs/*.md | grep -vxF "inferq_${version}_" | head -n 1) && [ -n "$other" ]; then
    echo "version: a document names ${other%_}, and the version is $version" >&2
    exit 1
fi
echo "$version"
