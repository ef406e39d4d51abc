#!/usr/bin/env bash
# The first run: starts a real model server and the gateway on a temporary store, sends one job through them, shows
# the events and the result, and removes every trace of itself.
#
#     examples/run.sh [--example ocr|flood]
#
# What differs from example to example stands in its demo.sh. INFERQ names the binary (default:
# .build/debug/inferq).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
inferq=$(realpath -m -- "${INFERQ:-$root/.build/debug/inferq}")
readonly patience=30 job_patience=120 # seconds, for a start and for the job
example=ocr
export PYTHONDONTWRITEBYTECODE=1 NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
unset INFERQ_CONFIG INFERQ_LISTEN INFERQ_LOG_LEVEL INFERQ_REDIS INFERQ_URL # what is set here is for another gateway

work='' model_server='' gateway='' follower='' printer=''

fail() {
    echo "run.sh: $*" >&2
    for log in model-server gateway; do
        if [ -s "$work/$log.log" ]; then
            printf '\nThe last lines of the %s:\n' "${log/-/ }" >&2
            tail -n 20 "$work/$log.log" | sed 's/^/    /' >&2
        fi
    done
    exit 1
}

# Ends the process of ours with this id: politely, and after 10 s for good. It polls, because a `wait` in a trap
# that has interrupted a `wait` for the same process may never return.
end() {
    [ -n "$1" ] || return 0
    kill -TERM "$1" 2>/dev/null || return 0
    for _ in {1..100}; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
}

clean_up() {
    trap '' INT TERM HUP
    end "$follower"
    end "$printer"
    end "$gateway"
    end "$model_server"
    [ -z "$work" ] || rm -rf "$work"
}

step() {
    printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

# Shows a command as one would type it; what runs in its place has time limits.
show() {
    printf '%s$ %s%s\n' "$dim" "$1" "$plain"
}

# until_true WHAT PID COMMAND...: waits for the command to succeed while the process lives.
until_true() {
    local what=$1 pid=$2 deadline=$((SECONDS + patience))
    shift 2
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || fail "$what ended before it was ready."
        ((SECONDS < deadline)) || fail "$what was not ready within $patience seconds."
        sleep 0.05
    done
}

has_address() { grep -q '^listening on ' "$work/model-server.out"; }
is_ready() { curl -fs -m 2 -o "$work/ready" "$url/readyz"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
shortened() { sed -uE "s/^(.{$1}).{5,}\$/\\1 .../; s/^/    /"; }

usage() {
    echo "usage: examples/run.sh [--example ocr|flood]" >&2
    exit 64
}

while (($#)); do
    case $1 in
        --example=*) set -- --example "${1#*=}" "${@:2}" ;;
        --example)
            case ${2:-} in ocr | flood) example=$2 ;; *) usage ;; esac
            shift 2
            ;;
        *) usage ;;
    esac
done

bold='' dim='' plain='' width=110
if [ -t 1 ]; then
    [ -n "${NO_COLOR:-}" ] || { bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; }
    columns=$(tput cols 2>/dev/null || echo 0)
    ((columns < 60)) || width=$((columns - 8))
fi

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

work=$(mktemp -d "${TMPDIR:-/tmp}/inferq-run.XXXXXX")
cd "$root"
# shellcheck source=examples/ocr/demo.sh
source "$root/examples/$example/demo.sh"
for program in python3 curl "${programs[@]}"; do
    command -v "$program" >/dev/null ||
        fail "$program is missing; install it with: packaging/install-deps.sh python3 curl ${packages[*]}"
done
[ -x "$inferq" ] || fail "there is no $inferq; build it with: make run"

step "1. A model server: $model_is"
show "${server[*]}"
"${server[@]}" >"$work/model-server.out" 2>"$work/model-server.log" &
model_server=$!
until_true "the model server" "$model_server" has_address
model_url=$(sed -n 's/^listening on //p' "$work/model-server.out")
echo "    listening on $model_url"

step "2. The gateway in front of it, with its store in $work"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
sed -e "s|^listen = .*|listen = [\"127.0.0.1:$port\"]|" \
    -e "s|^path = .*|path = \"$work/store/inferq.db\"|" \
    -e "s|^url = .*|url = \"$model_url\"|" "examples/$example/inferq.toml" >"$work/inferq.toml"
mkdir "$work/store"
show "inferq serve --config inferq.toml"
"$inferq" serve --config "$work/inferq.toml" >"$work/gateway.log" 2>&1 &
gateway=$!
until_true "the gateway" "$gateway" is_ready
echo "    ready at $url: $(cat "$work/ready")"

step "3. Submit $job_is: the answer comes at once, the job is on disk"
show "curl --data-binary @$input -H 'Content-Type: $input_type' '$url/v1/async/inference$query'"
status=$(curl -sS -m 30 -o "$work/job.json" -w '%{http_code}' --data-binary "@$input" \
    -H "Content-Type: $input_type" "$url/v1/async/inference$query") || fail "the gateway did not take the job."
tr '\n' ' ' <"$work/job.json" | shortened "$width" && echo
[ "$status" = 202 ] || fail "the gateway answered $status instead of 202."
id=$(field id <"$work/job.json") || fail "the gateway's answer is not the record of a job."
event_id=$(field event_id <"$work/job.json") || fail "the gateway's answer names no events."

step "4. Follow the job"
show "inferq watch $event_id"
mkfifo "$work/lines"
shortened "$width" <"$work/lines" &
printer=$!
timeout --foreground "$job_patience" "$inferq" watch "$event_id" --url "$url" >"$work/lines" &
follower=$!
watched=0
wait "$follower" || watched=$?
follower=''
wait "$printer" || true
printer=''
((watched != 124)) || fail "the job did not end within $job_patience seconds."
((watched == 0)) || fail "the job did not complete (inferq watch ended with status $watched)."

step "5. The same events as they go over the wire; a listener that comes late gets them all"
show "curl -N $url/v1/async/notify/$event_id"
curl -sSN -m 30 "$url/v1/async/notify/$event_id" | sed -u '/^$/d' | shortened "$width" ||
    fail "the events could not be read."

step "6. $result_is"
show "curl $url/v1/inference/$id/output"
curl -fsS -m 30 "$url/v1/inference/$id/output" >"$work/output.json" || fail "the output could not be read."
show_result "$work/output.json" || fail "the output is not what was expected."

step "That was all; both servers end now and the store is removed. To go on by yourself:"
binary=${inferq#"$root/"} at=http://127.0.0.1:8484
go_on
