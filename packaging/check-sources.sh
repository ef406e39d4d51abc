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
# What a connection is set to (PRAGMA) is with what opens it.
never 'SQL outside its folder' '(^ *|")(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER) ' \
    'Sources/InferqStore/*.swift :!Sources/InferqStore/SQL/*.swift'
never 'files or sockets among values' 'import (NIO|GRDB)' 'Sources/InferqCore/*.swift'
# Each access wraps it once more, until the stack is used up.
never 'a closure by itself in a Mutex' 'Mutex<.*->' 'Sources/*.swift'

# English that was translated, where there is a plain word: found again and again in what users and readers see.
readers="Sources/*.swift Sources/*.html docs/*.md docs/*.yaml README.md CONTRIBUTING.md SECURITY.md packaging/*.toml systemd debian"
never 'no one, everyone' '\b([Nn]obody|[Ee]verybody)\b' "$readers" ':[0-9]+: *--'
never 'anyone who, or who it is' '\b[Ww]hoever\b' "$readers"
never 'is in, is beside' '\b[Ll]ies? (in|behind|beside|under|past|below|on|between|outside|further)\b' "$readers"
never 'is missing' '\b(is|are) not there\b' "$readers"
never 'is not a' '\b(it|that|which|what|one) is no (JSON|TOML|UTF|ASCII|HTTP|answer|call|entry|error|file|gateway|host|identifier|key|number|object|port|response|socket|stream|terminal|text|token|whole)\b' "$readers"
never 'again' '\banew\b' "$readers"
never 'color, neighbor, honor, recognize, forever' '([Cc]olour|[Nn]eighbour|[Hh]onour|[Rr]ecognise|[Bb]ehaviour|\bfor ever\b)' "$readers"
never 'write something like' '\b[Ww]rite for example\b' "$readers"
never 'streamed, piece by piece' '\bbit by bit\b' "$readers"
never 'was made' '\bcomes? about\b|\bcame about\b' "$readers"
exit $failed
