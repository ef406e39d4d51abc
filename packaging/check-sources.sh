#!/usr/bin/env bash
# Finds what no source of this project may hold; says where.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
# Reports lines of PATHS that match PATTERN, but for those that match EXCEPT.
never() {
    local what=$1 pattern=$2 paths=$3 except=${4:-^$}
    local found
    # shellcheck disable=SC2086 # a list of paths
    found=$(git grep -nE "$pattern" -- $paths | grep -vE "$except" || true)
    if [ -n "$found" ]; then
        printf '%s:\n%s\n' "$what" "$found" >&2
        failed=1
    fi
}

never 'a task without a parent' '(^|[^A-Za-z])Task(\.detached)? *\{' 'Sources/*.swift Tests/*.swift'
never 'a sleep in a Swift test' '(Task\.sleep|usleep\(|[^a-zA-Z.]sleep\()' 'Tests/*.swift'
never 'a trap in place of an error' '(try!|as!|fatalError\()' 'Sources/*.swift'
never 'an unchecked claim without a proof beside it' '(@unchecked Sendable|nonisolated\(unsafe\))' 'Sources/*.swift' 'proof:'
never 'something public' '^ *public ' 'Sources/*.swift'
never 'C outside its module' '^import CHiredis' 'Sources/InferqCore/*.swift Sources/InferqHTTP/*.swift Sources/inferq/*.swift'
never 'systemd outside its file' '^import CSystemd' 'Sources/InferqCore/*.swift Sources/InferqHTTP/*.swift'
exit $failed
