#!/bin/bash
# What the package must do on a real systemd; run inside the bed by packaging/bed/run.sh. Stage 2 follows a SIGKILL of
# the whole system.
#
#     check.sh [ROUNDS]    restarts and upgrades under load, each (default 4)
set -u
cd /bed || exit 1
rounds=${1:-4}
deb=$(echo /bed/inferq_*_*.deb)
failed=0
name=

at=http://127.0.0.1:8484
say() { printf '%s\n' "$*"; }
fail() { failed=1; say "FAILED: $name: $*"; }
check() { name=$1; shift; local before=$failed; failed=0; "$@"; [ $failed = 0 ] && say "ok: $name"; failed=$((failed | before)); }
# Waits up to $1 seconds for the command to succeed.
within() {
    local end=$(($(date +%s) + $1 + 1)); shift # the second that has begun is not a whole one
    until "$@" >/dev/null 2>&1; do [ "$(date +%s)" -lt $end ] || return 1; sleep 0.1; done
}
status_of() { curl -sS -m 10 -o /dev/null -w '%{http_code}' "$@"; }
ready() { [ "$(status_of $at/readyz)" = 200 ]; }
another_than() { [ "$(property MainPID)" != "$1" ]; }
job_story() { journalctl -q INFERQ_JOB_ID="$1" INFERQ_MODEL=nobody INFERQ_ATTEMPT=1 -o cat --no-pager | grep -q 'attempt failed'; }
model_is_down() { curl -sS "$at/v1/models/away" | grep -q '"state":"down"'; }
journal_says() { journalctl -u inferq -b --no-pager -o cat | grep -q "$1"; }
property() { systemctl show -P "$1" "${2:-inferq.service}"; }
status_line() { property StatusText | grep -q "$1"; }
listeners() { ss -ltnxH | grep -cE '127.0.0.1:8484|\[::1\]:8484|/run/inferq/inferq.sock'; }
drop_in() { mkdir -p /run/systemd/system/inferq.service.d; printf '%s\n' "$@" >/run/systemd/system/inferq.service.d/bed.conf; systemctl daemon-reload; }
load() { ids=$BED_OUT/ids-$1; CRASHES=${CRASHES:-} python3 load.py run "$ids" >"$BED_OUT/load-$1" 2>&1 & load=$!; within 10 test -s "$ids"; sleep 1; }
unload() {
    kill -TERM "$load"; wait "$load" || fail "the load's account: $(cat "$BED_OUT/load-$1")"
    settled=$(python3 load.py settle "$ids") || fail "not all ended: $settled"
    say "   $1: $(head -1 "$BED_OUT/load-$1") $settled"
}
apt() { DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 --allow-downgrades "$@" >"$BED_OUT/apt.log" 2>&1; }
# The same package with another version.
repack() {
    local folder; folder=$(mktemp -d)
    dpkg-deb -R "$deb" "$folder/p"
    sed -i "s/^Version: .*/Version: $1/" "$folder/p/DEBIAN/control"
    dpkg-deb -Zgzip -z1 -b "$folder/p" "/bed/upgrade_$1.deb" >/dev/null
    rm -rf "$folder"
}

installed() {
    [ "$(systemctl is-system-running)" = running ] || fail "$(systemctl --failed --no-legend)"
    [ "$(property ActiveState)" = active ] || fail "the service is $(property ActiveState)"
    [ "$(property User)" = inferq ] || fail "it runs as $(property User)"
    [ "$(stat -c '%U %a' /var/lib/inferq)" = 'inferq 700' ] || fail "state: $(stat -c '%U %a' /var/lib/inferq)"
    [ "$(stat -c '%G %a' /run/inferq/inferq.sock)" = 'inferq 660' ] || fail "socket: $(stat -c '%G %a' /run/inferq/inferq.sock)"
    [ "$(stat -c '%U:%G %a' /etc/inferq/keys.d)" = 'root:inferq 750' ] || fail "keys: $(stat -c '%U:%G %a' /etc/inferq/keys.d)"
    [ "$(stat -c '%U %a' /run/inferq/inferq-admin.sock)" = 'root 600' ] || fail "admin socket: $(stat -c '%U %a' /run/inferq/inferq-admin.sock)"
    for unit in inferq.service inferq.socket inferq-ipv6.socket inferq-local.socket inferq-admin.socket; do
        systemctl -q is-enabled $unit || fail "$unit is not enabled"
    done
    within 5 status_line 'no model is configured' || fail "status: $(property StatusText)"
    inferq check >/dev/null 2>&1 || fail 'the packaged configuration'
    dpkg-deb -c "$deb" >"$BED_OUT/contents"
    for page in '1 inferq' '8 inferq' '5 inferq.toml'; do
        # minbase leaves man pages out; those of the package are looked at in the .deb.
        # shellcheck disable=SC2086
        set -- $page
        grep -q "man$1/$2.$1.gz" "$BED_OUT/contents" || fail "man page $page"
    done
}

# Without rights, a network or a configuration.
demo() {
    unshare --net sh -c 'ip link set lo up && exec setpriv --reuid=nobody --regid=nogroup --clear-groups inferq demo --once' \
        >"$BED_OUT/demo" 2>&1 || fail "it ended with $?: $(tail -n 1 "$BED_OUT/demo")"
    [ "$(grep -c 'The box stands in a hut' "$BED_OUT/demo")" -ge 2 ] || fail 'no answer before and after the kill'
    [ -z "$(find /tmp -name 'inferq-demo*')" ] || fail 'something stays behind'
}

model_server() {
    cat >/etc/systemd/system/model.service <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 /bed/model.py 9001
[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload; systemctl enable --now -q model.service
    printf '[models.echo]\nurl = "http://127.0.0.1:9001/predict"\nconcurrency = 8\n' >/etc/inferq/conf.d/echo.toml
    systemctl reload inferq || fail 'reload'
    within 10 status_line '1 model, broker ring' || fail "status: $(property StatusText)"
}

first_requests() {
    local place path seconds
    for place in 'tcp http://127.0.0.1:8484' 'ipv6 http://[::1]:8484' 'unix --unix-socket /run/inferq/inferq.sock http://localhost'; do
        systemctl stop inferq.service 2>/dev/null
        path=${place%% *}
        # shellcheck disable=SC2086
        seconds=$(curl -sS -m 20 -f -o /dev/null -w '%{time_total}' ${place#* }/readyz) || fail "no answer on $path"
        say "   first request to the stopped service on $path: $seconds s"
        awk "BEGIN{exit !($seconds < ${FIRST_REQUEST_LIMIT:-2})}" || fail "$path took $seconds s"
    done
    awk -v a="$(property InactiveExitTimestampMonotonic)" -v b="$(property ActiveEnterTimestampMonotonic)" \
        'BEGIN { printf "   activation to READY: %.3f s\n", (b - a) / 1e6 }'
}

to_the_end() {
    local path
    for path in tcp ipv6 unix; do python3 load.py once $path >"$BED_OUT/job-$path" || fail "$path"; done
    runuser -u nobody -- curl -sS -m 5 --unix-socket /run/inferq/inferq.sock http://localhost/livez 2>&1 | grep -q UP && fail 'nobody may use the Unix socket'
    inferq submit echo '{"a":1}' --watch 2>/dev/null | grep -q predicted_layers || fail 'inferq submit --watch'
}

# From within the sandbox: a model server on a Unix socket, and on a network that a drop-in opens.
model_on_unix_socket() {
    systemd-run -q --unit=model-unix -p RuntimeDirectory=model -p UMask=0000 \
        /usr/bin/python3 /bed/model.py /run/model/model.sock
    printf '[models.unix]\nurl = "http+unix://%%2Frun%%2Fmodel%%2Fmodel.sock/predict"\n' >/etc/inferq/conf.d/unix.toml
    within 10 test -S /run/model/model.sock
    systemctl reload inferq; within 5 status_line '2 models'
    inferq submit unix '{"a":1}' --watch 2>/dev/null | grep -q predicted_layers || fail 'no job through a Unix socket'
    rm /etc/inferq/conf.d/unix.toml
    systemctl stop model-unix; systemctl reload inferq; within 5 status_line '1 model,'
}

network() {
    local file lan=192.168.77.1
    ip address add $lan/32 dev lo
    systemd-run -q --unit=model-lan /usr/bin/python3 /bed/model.py $lan:9002
    within 10 curl -sS -m 1 -o /dev/null -d '{}' http://$lan:9002/
    printf '[models.lan]\nurl = "http://%s:9002/"\nmax_attempts = 1\ntimeout = "3s"\n' $lan >/etc/inferq/conf.d/lan.toml
    printf '[access]\nopen_network = true\n' >/etc/inferq/conf.d/open.toml
    systemctl reload inferq; within 5 status_line '2 models'
    inferq submit lan '{}' --watch >/dev/null 2>&1 && fail 'without a drop-in it reached a network'
    curl -sS -m 2 -o /dev/null http://$lan:8484/livez 2>/dev/null && fail 'without a drop-in a network reaches it'
    for file in service socket; do
        mkdir -p /run/systemd/system/inferq.$file.d
        example lan-$file.conf | sed 's|192.168.1.0/24|192.168.77.0/24|' >/run/systemd/system/inferq.$file.d/lan.conf
    done
    systemctl daemon-reload
    systemctl stop inferq.service inferq.socket; systemctl start inferq.socket inferq.service; within 10 ready
    inferq submit lan '{}' --watch 2>/dev/null | grep -q predicted_layers || fail 'no job through a network'
    [ "$(status_of http://$lan:8484/livez)" = 200 ] || fail 'not to be reached from a network'
    rm -r /run/systemd/system/inferq.{service,socket}.d /etc/inferq/conf.d/{lan,open}.toml
    systemctl daemon-reload; systemctl stop model-lan inferq.service inferq.socket
    systemctl start inferq.socket inferq.service; within 10 ready
    ip address del $lan/32 dev lo
}

# A file of the package's examples, on standard output.
example() { dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/share/doc/inferq/examples/$1"; }

# Another host, as far as the box can tell: a network namespace at the other end of a cable.
far_host() {
    ip netns add far
    ip link add lan0 type veth peer name eth0 netns far
    ip address add $box/24 dev lan0; ip link set lan0 up
    ip -n far address add 192.168.78.2/24 dev eth0
    ip -n far link set eth0 up; ip -n far link set lo up
}
from_far() { ip netns exec far "$@"; }
box=192.168.78.1

# HTTPS from another host with a key: the socket and the drop-in of the package's examples, and a certificate of our own.
tls() {
    local key serial at_box=https://box.lan:8443
    local asks=(curl -sS -m 5 --cacert /etc/inferq/tls/ca.pem --resolve "box.lan:8443:$box")
    far_host
    # Its output is lines for the configuration.
    inferq cert init --name box.lan --address $box >/etc/inferq/conf.d/tls.toml 2>"$BED_OUT/cert" || fail "inferq cert init: $(<"$BED_OUT/cert")"
    [ "$(stat -c '%U:%G %a' /etc/inferq/tls/key.pem)" = 'root:inferq 640' ] || fail "key.pem: $(stat -c '%U:%G %a' /etc/inferq/tls/key.pem)"
    [ "$(stat -c '%U:%G %a' /etc/inferq/tls/ca.key)" = 'root:root 600' ] || fail "ca.key: $(stat -c '%U:%G %a' /etc/inferq/tls/ca.key)"
    printf '[access]\nmode = "keys"\n' >>/etc/inferq/conf.d/tls.toml
    example inferq-tls.socket >/etc/systemd/system/inferq-tls.socket
    mkdir -p /run/systemd/system/inferq.service.d
    example lan-service.conf | sed 's|192.168.1.0/24|192.168.78.0/24|' >/run/systemd/system/inferq.service.d/lan.conf
    printf '[Service]\nSockets=inferq-tls.socket\n' >/run/systemd/system/inferq.service.d/tls.conf
    key=$(inferq key add far 2>"$BED_OUT/key") || fail "inferq key add: $(<"$BED_OUT/key")"
    systemctl daemon-reload; systemctl enable -q inferq-tls.socket
    systemctl stop inferq.service; systemctl start inferq-tls.socket inferq.service; within 10 ready || fail "not ready: $(property StatusText)"
    inferq doctor | grep -q ' 421' && fail 'the name of the certificate is not among the hosts'
    from_far "${asks[@]}" -H "X-API-Key: $key" $at_box/v1/me | grep -q '"client":"far"' || fail 'no answer over TLS'
    [ "$(from_far "${asks[@]}" -o /dev/null -w '%{http_code}' $at_box/v1/me)" = 401 ] || fail 'a stranger is not told 401'
    from_far curl -sS -m 5 -o /dev/null --resolve "box.lan:8443:$box" $at_box/livez 2>/dev/null && fail 'a certificate of nobody is trusted'
    from_far curl -sS -m 2 -o /dev/null http://$box:8484/livez 2>/dev/null && fail 'the port without TLS is reached from far'
    INFERQ_KEY=$key from_far inferq submit echo '{"a":1}' --watch --url https://$box:8443 --ca /etc/inferq/tls/ca.pem 2>"$BED_OUT/submit" |
        grep -q predicted_layers || fail "inferq submit over TLS: $(<"$BED_OUT/submit")"
    serial=$(openssl x509 -in /etc/inferq/tls/cert.pem -noout -serial)
    inferq cert renew >"$BED_OUT/cert" 2>&1 || fail "inferq cert renew: $(<"$BED_OUT/cert")"
    [ "$(openssl x509 -in /etc/inferq/tls/cert.pem -noout -serial)" != "$serial" ] || fail 'the certificate was not renewed'
    within 5 serves_certificate || fail 'the renewed certificate is not shown'
    systemd-analyze security --threshold=10 inferq.service --no-pager >/dev/null || fail 'the security score is over 1.0'
    # A box that TLS alone reaches is shut again as it was opened.
    systemctl disable -q --now inferq-tls.socket
    rm -r /etc/systemd/system/inferq-tls.socket /run/systemd/system/inferq.service.d /etc/inferq/conf.d/tls.toml /etc/inferq/keys.d/far.toml
    systemctl daemon-reload; systemctl restart inferq; within 10 ready || fail 'not ready without TLS'
}
serves_certificate() {
    from_far openssl s_client -connect $box:8443 </dev/null 2>/dev/null | openssl x509 -noout -serial |
        grep -qx "$(openssl x509 -in /etc/inferq/tls/cert.pem -noout -serial)"
}

# A block of the handbook's, the first one behind a line that has $1.
handbook() {
    dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards './usr/share/doc/inferq/operations.md*' | zcat -f |
        sed -n "/$1/,\$p" | sed -n '/^```/,/^```$/p' | sed '1d;/^```$/,$d'
}
shown_certificate() { openssl s_client -connect 127.0.0.1:8443 </dev/null 2>/dev/null | openssl x509 -noout -serial; }
certificate() { openssl x509 -in "$1" -noout -serial; }
shows() { [ "$(shown_certificate)" = "$(certificate "$1")" ]; }

# The recipes of the handbook for certificates of others: the group ssl-cert, and certbot's files, which root alone reads.
certificates_of_others() {
    local live=/etc/letsencrypt/live/box.example drop=/run/systemd/system/inferq.service.d pair
    mkdir -p $drop $live /etc/ssl/private /etc/inferq/conf.d
    inferq cert init --name localhost --out /tmp/first >/dev/null 2>&1; inferq cert init --name localhost --out /tmp/second >/dev/null 2>&1
    example inferq-tls.socket | sed 's/ListenStream=8443/ListenStream=127.0.0.1:8443/' >/etc/systemd/system/inferq-tls.socket
    printf '[Service]\nSockets=inferq-tls.socket\n' >$drop/tls.conf
    systemctl daemon-reload
    groupadd -rf ssl-cert; chgrp ssl-cert /etc/ssl/private; chmod 710 /etc/ssl/private
    install -m 640 -g ssl-cert /tmp/first/key.pem /etc/ssl/private/box.key; install -m 644 /tmp/first/cert.pem /etc/ssl/certs/box.pem
    handbook 'group .ssl-cert' >$drop/own.conf
    grep -q '^SupplementaryGroups=ssl-cert$' $drop/own.conf || fail "the handbook has no lines for ssl-cert: $(<$drop/own.conf)"
    pair='[tls]\ncertificate = "%s"\nkey = "%s"\n'
    # shellcheck disable=SC2059
    printf "$pair" /etc/ssl/certs/box.pem /etc/ssl/private/box.key >/etc/inferq/conf.d/tls.toml
    restarted || fail "ssl-cert: $(property StatusText)"
    shows /tmp/first/cert.pem || fail 'not the certificate of ssl-cert'
    rm $drop/own.conf
    cp /tmp/first/cert.pem $live/fullchain.pem; cp /tmp/first/key.pem $live/privkey.pem; chmod 700 /etc/letsencrypt/live
    handbook '^\*\*certbot\*\*' >$drop/own.conf
    grep -q '^ExecReload=+/bin/kill' $drop/own.conf || fail "the handbook has no lines for certbot: $(<$drop/own.conf)"
    # shellcheck disable=SC2059
    printf "$pair" /run/inferq-tls/cert.pem /run/inferq-tls/key.pem >/etc/inferq/conf.d/tls.toml
    restarted || fail "certbot: $(property StatusText)"
    shows /tmp/first/cert.pem || fail "not certbot's certificate"
    cp /tmp/second/cert.pem $live/fullchain.pem; cp /tmp/second/key.pem $live/privkey.pem
    systemctl reload inferq || fail 'reload'
    within 5 shows /tmp/second/cert.pem || fail "not certbot's new certificate after its hook"
    systemctl disable -q --now inferq-tls.socket 2>/dev/null
    rm -r /etc/systemd/system/inferq-tls.socket $drop /etc/inferq/conf.d/tls.toml /tmp/first /tmp/second /etc/letsencrypt /run/inferq-tls
    systemctl daemon-reload; systemctl restart inferq; within 10 ready || fail 'not ready without TLS'
}
restarted() {
    systemctl daemon-reload; systemctl stop inferq.service 2>/dev/null; systemctl start inferq-tls.socket inferq.service; within 10 ready
}

# What everyone on a network could use before the upgrade says what is missing after it, and loses nothing.
opened_before() {
    local done waiting reason
    mkdir -p /run/systemd/system/inferq.{service,socket}.d
    example lan-service.conf | sed 's|192.168.1.0/24|192.168.78.0/24|' >/run/systemd/system/inferq.service.d/lan.conf
    example lan-socket.conf >/run/systemd/system/inferq.socket.d/lan.conf
    printf '[access]\nopen_network = true\n' >/etc/inferq/conf.d/open.toml
    systemctl daemon-reload; systemctl stop inferq.service inferq.socket; systemctl start inferq.socket inferq.service; within 10 ready
    done=$(from_far inferq submit echo '{"a":1}' --url http://$box:8484)
    waiting=$(from_far curl -sS -m 5 -H 'Content-Type: application/json' -d '{"model":"echo","a":2,"job":{"delay":"15s"}}' \
        http://$box:8484/v1/async/inference | sed -E 's/.*"id":"([^"]+)".*/\1/')
    within 10 ended "$done" || fail 'no job before the upgrade'
    # As a configuration of before has it: nothing is said of access.
    rm /etc/inferq/conf.d/open.toml
    repack 8.9; apt install /bed/upgrade_8.9.deb || fail "apt: $(<"$BED_OUT/apt.log")"
    rm /bed/upgrade_8.9.deb
    [ "$(property ActiveState)" = active ] || fail "the service is $(property ActiveState)"
    reason=$(curl -sS $at/v1/inference)
    grep -q 'inferq key add' <<<"$reason" && grep -q open_network <<<"$reason" || fail "the ways out are not in the answer: $reason"
    [ "$(from_far curl -sS -m 5 -o /dev/null -w '%{http_code}' http://$box:8484/v1/inference)" = 503 ] || fail 'not 503 from far'
    within 5 status_line 'degraded: .*open_network' || fail "status: $(property StatusText)"
    printf '[access]\nmode = "keys"\n' >/etc/inferq/conf.d/keys.toml
    systemctl reload inferq; within 5 ready || fail "not back: $(property StatusText)"
    [ "$(from_far curl -sS -m 5 -o /dev/null -w '%{http_code}' http://$box:8484/v1/inference)" = 401 ] || fail 'not 401 from far'
    ended "$done" || fail 'a job of before is lost'
    within 30 ended "$waiting" || fail 'a job that waited is lost'
    apt install "$deb" || fail "apt: $(<"$BED_OUT/apt.log")"
    rm -r /run/systemd/system/inferq.{service,socket}.d /etc/inferq/conf.d/keys.toml
    systemctl daemon-reload; systemctl stop inferq.service inferq.socket; systemctl start inferq.socket inferq.service; within 10 ready
    ip netns del far
}
ended() { curl -sS --unix-socket /run/inferq/inferq.sock "http://localhost/v1/inference/$1" | grep -q '"status":"COMPLETED"'; }

# Written by root, read by the service, at once.
keys() {
    local key id
    printf '[access]\nmode = "keys"\n' >/etc/inferq/conf.d/keys.toml
    systemctl reload inferq
    key=$(inferq key add bed 2>"$BED_OUT/key") || fail "inferq key add: $(<"$BED_OUT/key")"
    grep -q 'was asked to read its keys again' "$BED_OUT/key" || fail "no reload: $(<"$BED_OUT/key")"
    [ "$(stat -c '%U:%G %a' /etc/inferq/keys.d/bed.toml)" = 'root:inferq 640' ] || fail 'the rights of a file of keys'
    id=$(inferq key whose - <<<"$key") || fail 'whose'
    [[ $id == bed* ]] || fail "whose: $id"
    within 5 ready
    journalctl -u inferq -o cat | grep -q "$key" && fail 'the key is in the journal'
    inferq doctor | grep -q '1 client, 1 key' || fail 'the doctor does not see the key'
    rm /etc/inferq/conf.d/keys.toml /etc/inferq/keys.d/bed.toml
    systemctl reload inferq
}

measures() {
    sleep 2
    say "   resident: $(awk '/VmRSS/ {print $2 " kB"}' "/proc/$(property MainPID)/status"), package: $(stat -c %s "$deb") bytes"
    systemd-analyze security inferq.service --no-pager | tail -1 | sed 's/^/   /'
    systemd-analyze security --threshold=10 inferq.service --no-pager >/dev/null || fail 'the security score is over 1.0'
}

# A Redis on loopback, then on a Unix socket, both from within the sandbox; a worker as a unit; and Redis gone.
redis() {
    local address
    # Debian's redis-check-rdb is the server under another name; the package redis-server would bring a unit of its own.
    systemd-run -q --unit=redis -p RuntimeDirectory=redis -p UMask=0000 /bin/bash -c 'exec -a redis-server /usr/bin/redis-check-rdb \
        --port 6379 --bind 127.0.0.1 --unixsocket /run/redis/redis.sock --unixsocketperm 777 --save "" --appendonly no'
    within 10 test -S /run/redis/redis.sock || fail 'no Redis in the bed'
    printf '[models.far]\n' >/etc/inferq/conf.d/far.toml
    for address in redis://127.0.0.1:6379/0 unix:/run/redis/redis.sock; do
        printf '[broker]\nredis = "%s"\n' $address >/etc/inferq/conf.d/redis.toml
        systemctl restart inferq; within 10 status_line 'broker redis$' || fail "$address: $(property StatusText)"
        inferq submit echo '{"a":1}' --watch 2>/dev/null | grep -q predicted_layers || fail "no job through $address"
    done
    printf '[broker]\nredis = "%s"\n[models.far]\nurl = "http://127.0.0.1:9001/predict"\n' $address >/etc/inferq/worker.toml
    mkdir -p /run/systemd/system/inferq-worker.service.d
    printf '[Service]\nEnvironment=INFERQ_CONFIG=/etc/inferq/worker.toml\n' >/run/systemd/system/inferq-worker.service.d/bed.conf
    systemctl daemon-reload
    systemctl -q is-enabled inferq-worker && fail 'the worker is enabled by the installation'
    systemctl start inferq-worker || fail 'the worker does not start'
    inferq submit far '{"a":1}' --watch 2>/dev/null | grep -q predicted_layers || fail 'no job through the worker'
    inferq status | grep -q WORKER || fail 'status does not show the worker'
    for unit in inferq.service inferq-worker.service; do
        systemd-analyze security --threshold=10 $unit --no-pager >/dev/null || fail "the security score of $unit is over 1.0"
    done
    systemctl stop redis
    within 5 status_line 'redis unreachable' || fail "without Redis: $(property StatusText)"
    inferq submit echo '{"a":1}' --watch 2>/dev/null | grep -q predicted_layers || fail 'no job without Redis'
    journalctl -u inferq -x --no-pager | grep -q 'Redis is away, the internal ring has taken over' || fail 'the journal explains nothing'
    systemctl stop inferq-worker
    rm -r /run/systemd/system/inferq-worker.service.d /etc/inferq/worker.toml /etc/inferq/conf.d/redis.toml /etc/inferq/conf.d/far.toml
    systemctl daemon-reload; systemctl restart inferq; within 10 status_line 'broker ring' || fail "status: $(property StatusText)"
}

same_listeners() { [ "$(ss -ltnxeH | grep -oE '(8484|inferq.sock).*ino:[0-9]+' | sort)" = "$1" ]; }
sockets_now() { ss -ltnxeH | grep -oE '(8484|inferq.sock).*ino:[0-9]+' | sort; }

# What autopkgtest runs, with the same files around it.
autopkgtest_smoke() {
    mkdir -p tree/debian/tests tree/packaging/bed
    cp smoke tree/debian/tests/; cp model.py load.py tree/packaging/bed/
    systemctl stop model.service
    sh tree/debian/tests/smoke >"$BED_OUT/smoke" 2>&1 || fail "$(cat "$BED_OUT/smoke")"
    systemctl start model.service
    printf '[models.echo]\nurl = "http://127.0.0.1:9001/predict"\nconcurrency = 8\n' >/etc/inferq/conf.d/echo.toml
    systemctl reload inferq; within 10 status_line '1 model, broker ring' || fail "status: $(property StatusText)"
}

restarts() {
    local before; before=$(sockets_now)
    load restarts
    for _ in $(seq "$rounds"); do systemctl restart inferq || fail 'restart'; sleep 1; done
    unload restarts
    same_listeners "$before" || fail 'the listening sockets are not the same'
    grep -q streams_resumed "$BED_OUT/load-restarts" || fail 'no listener had to resume: the check shows nothing'
}

upgrades() {
    local before round; before=$(sockets_now)
    load upgrades
    for round in $(seq "$rounds"); do
        repack "9.$round"
        apt install "/bed/upgrade_9.$round.deb" || fail "apt: $(cat "$BED_OUT/apt.log")"
        rm -f "/bed/upgrade_9.$round.deb"
    done
    unload upgrades
    same_listeners "$before" || fail 'the listening sockets are not the same'
    [ "$(dpkg-query -W -f '${Version}' inferq)" = "9.$rounds" ] || fail 'the version'
}

kills() {
    CRASHES=1 load kills
    # Two: a job that is running when the gateway dies for the third time may end as "poisoned".
    for _ in 1 2; do kill -KILL "$(property MainPID)"; sleep 0.5; within 20 ready || fail 'not back'; done
    CRASHES=1 unload kills
}

eight_crashes() {
    local pid
    for _ in 1 2 3 4 5 6 7 8; do
        within 20 another_than 0
        pid=$(property MainPID)
        kill -KILL "$pid"
        within 20 another_than "$pid"
    done
    within 20 ready || fail 'not served'
    [ "$(listeners)" = 3 ] || fail "listeners: $(listeners)"
}

watchdog() {
    local pid holder code
    drop_in '[Service]' 'WatchdogSec=4s'
    systemctl restart inferq; within 10 ready
    pid=$(property MainPID)
    CRASHES=1 load watchdog
    python3 hold.py "$pid" >"$BED_OUT/hold" 2>&1 & holder=$!
    within 10 grep -q held "$BED_OUT/hold" || fail "no thread was held: $(cat "$BED_OUT/hold")"
    code=$(status_of $at/livez); [ "$code" = 200 ] || fail "the loops must still answer, not $code"
    within 30 journal_says 'Watchdog timeout' || fail 'a hang of the writer was not noticed'
    kill -TERM $holder; wait $holder 2>/dev/null
    within 20 ready || fail 'not back'
    CRASHES=1 unload watchdog
}

full_disk() {
    local pid code
    systemctl stop inferq.socket inferq-ipv6.socket inferq-local.socket inferq-admin.socket inferq.service 2>/dev/null
    mount -t tmpfs -o size=6M,mode=0700,uid="$(id -u inferq)",gid="$(id -g inferq)" tmpfs /var/lib/inferq
    printf '[store]\nballast = "0B"\nmin_free = "0B"\n' >/etc/inferq/conf.d/small.toml
    inferq check >/dev/null || rm /etc/inferq/conf.d/small.toml
    systemctl start inferq.socket inferq-ipv6.socket inferq-local.socket inferq-admin.socket inferq.service; within 10 ready || fail 'no start'
    pid=$(property MainPID)
    head -c 12000000 /dev/zero >/var/lib/inferq/filler 2>/dev/null
    for _ in $(seq 40); do
        code=$(head -c 60000 /dev/urandom | status_of -X POST -H 'Content-Type: application/octet-stream' --data-binary @- "$at/v1/async/inference?model=echo")
        [ "$code" = 507 ] && break
    done
    [ "$code" = 507 ] || fail "a full disk gave $code"
    sleep 9
    [ "$(property MainPID)" = "$pid" ] || fail 'a full disk was taken for a hang'
    rm -f /var/lib/inferq/filler /etc/inferq/conf.d/small.toml
    within 10 ready || fail 'not ready with room again'
    systemctl stop inferq.socket inferq-ipv6.socket inferq-local.socket inferq-admin.socket inferq.service 2>/dev/null
    umount /var/lib/inferq
    rm -f /run/systemd/system/inferq.service.d/bed.conf; systemctl daemon-reload
    systemctl start inferq.socket inferq-ipv6.socket inferq-local.socket inferq-admin.socket inferq.service; within 10 ready || fail 'no start with the old state'
}

broken_configuration() {
    echo 'heartbeat = "soon"' >/etc/inferq/conf.d/broken.toml
    systemctl reload inferq; sleep 0.5
    ready || fail 'a reload must keep the old settings'
    apt install --reinstall "$deb" || fail "apt failed: $(cat "$BED_OUT/apt.log")"
    [ "$(property ActiveState)" = active ] || fail "the service is $(property ActiveState)"
    [ "$(status_of $at/readyz)" = 503 ] || fail 'readyz is not 503'
    curl -sS $at/v1/inference | grep -q heartbeat || fail 'the reason is not in the answer'
    [ "$(status_of $at/livez)" = 200 ] || fail 'livez is not 200'
    within 5 status_line 'degraded: .*heartbeat' || fail "status: $(property StatusText)"
    journalctl -u inferq -x --no-pager | grep -q 'Fix the cause and wait' || fail 'the journal explains nothing'
    rm /etc/inferq/conf.d/broken.toml
    systemctl reload inferq; within 5 ready || fail 'not back after a reload'
    within 5 status_line '1 model' || fail "status: $(property StatusText)"
}

# The schema's version as it stands in the file's header (https://www.sqlite.org/fileformat2.html, 1.3), or sets it there.
# Not through SQLite: what another program writes lacks the checksums of the pages.
schema_version() {
    if [ $# = 0 ]; then
        od -An -j 60 -N 4 -t u4 --endian=big /var/lib/inferq/inferq.db | tr -d ' '
    else
        printf "\\x$(printf '%02x' "$1")" | dd of=/var/lib/inferq/inferq.db bs=1 seek=63 conv=notrunc status=none
    fi
}

newer_store() {
    systemctl stop inferq.socket inferq-ipv6.socket inferq-local.socket inferq-admin.socket inferq.service 2>/dev/null
    local version; version=$(schema_version)
    schema_version 99
    touch "/var/lib/inferq/inferq.db.schema$version"
    systemctl start inferq.socket inferq-ipv6.socket inferq-local.socket inferq-admin.socket inferq.service
    [ "$(status_of $at/readyz)" = 503 ] || fail 'a newer store was opened'
    curl -sS $at/readyz | grep -q "newer inferq.*inferq.db.schema$version" || fail 'the reason is not in the answer'
    rm "/var/lib/inferq/inferq.db.schema$version"
    schema_version "$version"
    within 25 ready || fail 'not back by itself'
}

journal() {
    local id
    journalctl -u inferq -o json --no-pager | grep -q '"INFERQ_LISTEN"' || fail 'no fields of our own'
    journalctl -u inferq -o json --no-pager | grep '"INFERQ_REASON"' | grep -q '"MESSAGE_ID"' || fail 'no MESSAGE_ID'
    journalctl -u inferq -p err --no-pager -o cat | grep -q 'degraded' || fail 'priorities'
    # One model whose server answers 404, and one whose server is away: its job waits.
    printf '[models.nobody]\nurl = "%s/nowhere"\n[models.away]\nurl = "http://127.0.0.1:9/"\n' "$at" >/etc/inferq/conf.d/nobody.toml
    systemctl reload inferq
    id=$(inferq submit nobody '{}')
    within 10 job_story "$id" || fail "no story of job $id"
    id=$(inferq submit away '{}')
    within 10 model_is_down || fail 'a model without a server is not down'
    curl -sS "$at/v1/inference/$id" | grep -q '"status":"PENDING"' || fail "job $id does not wait for its model server"
    journal_says 'model server is away' || fail 'no word of the model server that is away'
    inferq jobs cancel "$id" || fail "job $id cannot be cancelled"
    rm /etc/inferq/conf.d/nobody.toml; systemctl reload inferq
}

removal() {
    apt remove inferq || fail "remove: $(cat "$BED_OUT/apt.log")"
    [ -e /var/lib/inferq/inferq.db ] || fail 'remove took the jobs'
    [ -e /etc/inferq/inferq.toml ] || fail 'remove took the configuration'
    [ "$(listeners)" = 0 ] || fail 'remove left listeners'
    apt install "$deb" || fail "install again: $(cat "$BED_OUT/apt.log")"
    within 10 ready || fail 'not back after an installation over the state'
    [ "$(status_of "$at/v1/inference/$(cat "$BED_OUT/job-tcp")")" = 200 ] || fail 'an old job is not there'
    touch /var/lib/inferq/.keep-on-purge
    apt purge inferq; [ -e /var/lib/inferq/inferq.db ] || fail 'purge took the jobs despite the marker'
    rm /var/lib/inferq/.keep-on-purge
    apt install "$deb"; within 10 ready || fail 'no start after a purge that kept the jobs'
    rm -f /etc/inferq/conf.d/echo.toml
    apt purge inferq || fail "purge: $(cat "$BED_OUT/apt.log")"
    local left; left=$(find / -xdev -name '*inferq*' -not -path '/bed/*' -not -path '/proc/*' -not -path '/var/cache/apt/*' -not -path '/var/log/*' -not -path '/tmp/*' 2>/dev/null)
    [ -z "$left" ] || fail "purge left: $left"
}

# The signed folder, as a host without a network takes it.
repository() {
    mkdir -p /srv/repo /etc/apt/keyrings
    tar -xf repo.tar -C /srv/repo
    cp /srv/repo/inferq.asc /etc/apt/keyrings/inferq.asc
    echo 'deb [signed-by=/etc/apt/keyrings/inferq.asc] file:/srv/repo bookworm main' >/etc/apt/sources.list.d/inferq.list
    apt -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/inferq.list -o Dir::Etc::sourceparts=- update
    grep -qE '^(W|E):' "$BED_OUT/apt.log" && fail "update: $(cat "$BED_OUT/apt.log")"
    apt install inferq || fail "install: $(cat "$BED_OUT/apt.log")"
    within 10 ready || fail 'no start'
    echo tampered >>/srv/repo/dists/bookworm/InRelease
    rm -rf /var/lib/apt/lists/*srv_repo*
    apt -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/inferq.list -o Dir::Etc::sourceparts=- \
        -o APT::Update::Error-Mode=any update && fail 'a repository that was changed is accepted'
}

crash() {
    within 20 ready || fail 'not served after the crash'
    settled=$(python3 load.py settle /var/tmp/ids-crash) || fail "not all ended: $settled"
    say "   crash of the whole system: $settled"
}

case $BED_STAGE in
1)
    check 'install starts it' installed
    check 'the demo, right after it' demo
    check 'a model server, a reload, the status line' model_server
    check 'first request through each socket' first_requests
    check 'a job to its end through each socket' to_the_end
    check 'a model server on a Unix socket' model_on_unix_socket
    check 'a network, with drop-ins alone' network
    check 'keys of clients' keys
    check 'TLS from another host' tls
    check 'certificates of others, by the handbook' certificates_of_others
    check 'an upgrade of a box that stood open' opened_before
    check 'score, memory, size' measures
    check 'Redis and a worker' redis
    check 'the smoke test of autopkgtest' autopkgtest_smoke
    check 'restarts under load' restarts
    check 'upgrades under load' upgrades
    check 'kills under load' kills
    check 'eight crashes' eight_crashes
    check 'the watchdog sees a hang of the writer' watchdog
    check 'a full disk is no hang' full_disk
    check 'a broken configuration' broken_configuration
    check 'a newer store' newer_store
    check 'the journal' journal
    [ $failed = 0 ] || exit 1
    load crash
    sleep 2
    cp "$ids" /var/tmp/ids-crash
    exit 101
    ;;
2)
    check 'a crash of the whole system under load' crash
    check 'remove, install again, purge' removal
    [ -f repo.tar ] && check 'install from the signed repository' repository
    exit $failed
    ;;
esac
