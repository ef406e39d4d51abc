#!/bin/sh
# Lays out what is made from the built program: completions, man pages, files under the names that systemd expects.
#
#     packaging/stage.sh BINARY FOLDER
set -eu

binary=$1
stage=$2
[ -x "$binary" ] || {
    echo "stage: $binary is not there: build it first (make deb)" >&2
    exit 1
}

rm -rf "$stage"
mkdir -p "$stage/completions" "$stage/man" "$stage/sysusers.d" "$stage/catalog"
# A copy: dh_strip works on what is installed, and the build keeps its symbols.
cp "$binary" "$stage/inferq"
# A completion is sourced: it needs no interpreter line.
"$binary" --generate-completion-script bash | sed '1{/^#!/d}' >"$stage/completions/inferq"
"$binary" --generate-completion-script zsh >"$stage/completions/_inferq"
"$binary" --generate-completion-script fish >"$stage/completions/inferq.fish"
cp systemd/inferq.sysusers "$stage/sysusers.d/inferq.conf"
cp systemd/inferq.catalog "$stage/catalog/inferq.catalog"
cp packaging/man/inferq.1 packaging/man/inferq.8 "$stage/man/"
packaging/man/settings-page.sh packaging/inferq.toml >"$stage/man/inferq.toml.5"
