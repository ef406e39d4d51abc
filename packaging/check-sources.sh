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
# Every folder of sources but the ones named.
but() {
    local folder
    for folder in InferqCore InferqStore InferqQueue InferqHTTP InferqRedis inferq; do
        [[ " $* " == *" $folder "* ]] || printf 'Sources/%s/*.swift ' "$folder"
    done
}
never 'hiredis outside its target' 'import CHiredis' "$(but InferqRedis)"
never 'systemd outside its target' 'import CSystemd' "$(but inferq)"
never 'the database outside its target' '(import GRDB|import CSQLite|sqlite3_)' "$(but InferqStore)"
never 'SQL outside its target' '"(SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE|ALTER|BEGIN) ' "$(but InferqStore)"
never 'files or sockets among values' 'import (NIO|GRDB)' 'Sources/InferqCore/*.swift'
# Each access wraps it once more, until the stack is used up.
never 'a closure by itself in a Mutex' 'Mutex<.*->' 'Sources/*.swift'
exit $failed
