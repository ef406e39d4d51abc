#!/bin/bash
# Makes a signed apt repository out of the built packages, for a site without a network or with a mirror of its own.
#
#     packaging/make-repo.sh FOLDER DEB...
#
# REPO_KEY: fingerprint of the key to sign with, out of the caller's own keyring. Without it, a key is made once and
# kept in FOLDER-key, for its owner alone: keep that folder as long as hosts trust the repository.
set -euo pipefail

folder=$1
shift
[ $# -gt 0 ] || { echo "usage: $0 FOLDER DEB..." >&2; exit 64; }
suite=bookworm

key=${REPO_KEY:-}
if [ -z "$key" ]; then
    export GNUPGHOME=$folder-key
    mkdir -p "$GNUPGHOME"
    chmod 0700 "$GNUPGHOME"
    GNUPGHOME=$(cd "$GNUPGHOME" && pwd)
    # The agent of this key alone; the caller's own is another one.
    trap 'gpgconf --kill gpg-agent' EXIT
    if ! gpg --batch --quiet --no-auto-check-trustdb --list-secret-keys inferq-repository >/dev/null 2>&1; then
        gpg --batch --quiet --pinentry-mode loopback --passphrase '' \
            --quick-generate-key 'inferq-repository' ed25519 sign never 2>/dev/null
    fi
    key=$(gpg --batch --no-auto-check-trustdb --with-colons --list-secret-keys inferq-repository | awk -F: '$1 == "fpr" { print $10; exit }')
fi

rm -rf "$folder"
mkdir -p "$folder/pool/main/i/inferq"
cp "$@" "$folder/pool/main/i/inferq/"
cd "$folder"
architectures=
for deb in pool/main/i/inferq/*.deb; do
    architecture=$(dpkg-deb -f "$deb" Architecture)
    case " $architectures " in *" $architecture "*) ;; *) architectures="$architectures $architecture" ;; esac
done
for architecture in $architectures; do
    list=dists/$suite/main/binary-$architecture
    mkdir -p "$list"
    apt-ftparchive --arch "$architecture" packages pool >"$list/Packages"
    gzip -9nk "$list/Packages"
done
apt-ftparchive \
    -o APT::FTPArchive::Release::Origin=inferq -o APT::FTPArchive::Release::Label=inferq \
    -o APT::FTPArchive::Release::Suite=$suite -o APT::FTPArchive::Release::Codename=$suite \
    -o APT::FTPArchive::Release::Components=main \
    -o APT::FTPArchive::Release::Architectures="${architectures# }" \
    release dists/$suite >Release.new
mv Release.new dists/$suite/Release
gpg --batch --quiet --yes --no-auto-check-trustdb --local-user "$key" --clearsign -o dists/$suite/InRelease dists/$suite/Release
gpg --batch --quiet --yes --no-auto-check-trustdb --local-user "$key" --armor --detach-sign -o dists/$suite/Release.gpg dists/$suite/Release
gpg --batch --quiet --yes --no-auto-check-trustdb --armor --export "$key" >inferq.asc

place=file:$PWD
cat <<TEXT
The repository is $PWD. Copy it anywhere, or serve it with any web server; then, as root on each host,
with file:... replaced by where the host finds it:

    install -D -m 0644 $PWD/inferq.asc /etc/apt/keyrings/inferq.asc
    echo 'deb [signed-by=/etc/apt/keyrings/inferq.asc] $place $suite main' >/etc/apt/sources.list.d/inferq.list
    apt-get update && apt-get install inferq

The key's fingerprint is $key.
TEXT
