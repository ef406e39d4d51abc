#!/bin/sh
# Compares what must agree and is in different files: the package's copyright and the Swift packages that are linked,
# the journal's catalog and the program's message ids, the man pages and man itself.
#
#     packaging/check-package-sources.sh [SCRATCH-FOLDER]
set -eu
cd "$(dirname "$0")/.."
scratch=${1:-.build}
failed=0
say() {
    echo "check-package-sources: $*" >&2
    failed=1
}

for folder in "$scratch"/checkouts/*; do
    [ -d "$folder" ] || continue
    name=$(basename "$folder")
    grep -qF "linked/$name/*" debian/copyright || say "debian/copyright does not name $name, which is linked"
done

ids() { grep -ohE "$1" "$2" | grep -oE '[0-9a-f]{32}' | sort; }
in_code=$(ids '"[0-9a-f]{32}"' Sources/inferq/Logging/MessageCatalog.swift)
in_catalog=$(ids '^-- [0-9a-f]{32}' systemd/inferq.catalog)
[ "$in_code" = "$in_catalog" ] || say "systemd/inferq.catalog and MessageCatalog.swift have different message ids"

page=$(mktemp)
trap 'rm -f "$page"' EXIT
packaging/man/settings-page.sh packaging/inferq.toml >"$page"
for file in packaging/man/inferq.1 packaging/man/inferq.8 "$page"; do
    warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file" 2>&1 >/dev/null)
    [ -z "$warnings" ] || say "man warns about $file: $warnings"
done
exit $failed
