#!/bin/sh
# Cuts the notes of a version out of CHANGELOG.md: its section, or what is unreleased while it has none.
#
#     packaging/release-notes.sh VERSION
set -eu
cd "$(dirname "$0")/.."
cut() { awk -v name="## [$1]" 'index($0, name) == 1 { on = 1; next } /^## \[/ { on = 0 } on' CHANGELOG.md; }
notes=$(cut "$1")
[ -n "$notes" ] || notes=$(cut Unreleased)
[ -n "$notes" ] || {
    echo "release-notes: CHANGELOG.md has neither a section [$1] nor [Unreleased]; write one" >&2
    exit 1
}
printf '# inferq %s\n%s\n' "$1" "$notes"
