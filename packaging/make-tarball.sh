#!/bin/bash
# Makes a tarball for distributions other than Debian 12 out of the built package: the same program, with the two libraries
# beside it that differ from one distribution to another (libhiredis, libsqlite3). It needs glibc 2.36, libsystemd and zlib.
#
#     packaging/make-tarball.sh DEB FOLDER
set -euo pipefail
deb=$(realpath "$1")
out=$(realpath "$2")
cd "$(dirname "$0")/.."
version=$(dpkg-deb -f "$deb" Version)
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

dpkg-deb -x "$deb" "$work/deb"
name=inferq-$version-linux-$(uname -m)
tree=$work/$name
mkdir -p "$tree"/{bin,lib,etc,systemd,share}
cp "$work/deb/usr/bin/inferq" "$tree/bin/"
ldd "$tree/bin/inferq" | awk '$1 ~ /^lib(hiredis|sqlite3)\./ { print $1, $3 }' | while read -r soname file; do
    cp "$(realpath "$file")" "$tree/lib/$soname"
done
[ "$(find "$tree/lib" -type f | wc -l)" = 2 ] || {
    echo "make-tarball: ldd does not find libhiredis and libsqlite3, with which the package was built" >&2
    exit 1
}
chmod 0644 "$tree"/lib/*
patchelf --set-rpath '$ORIGIN/../lib' "$tree/bin/inferq"
cp packaging/inferq.toml "$tree/etc/"
cp systemd/*.service systemd/*.socket "$tree/systemd/"
cp -r "$work/deb/usr/share/man" "$tree/share/"
cp README.md CHANGELOG.md LICENSE "$tree/"
# Whose work is in it, and on which terms.
cp "$work/deb/usr/share/doc/inferq/copyright" "$tree/COPYRIGHT"
for library in "$tree"/lib/*; do
    package=$(dpkg-query --search "*/$(basename "$library")" | sed -n '1s/:.*//p')
    { printf '\n--- %s\n\n' "$package"; cat "/usr/share/doc/$package/copyright"; } >>"$tree/COPYRIGHT"
done
cp -r docs examples "$tree/share/"
cat >"$tree/INSTALL" <<'TEXT'
bin/inferq runs where it lies, with the libraries in lib/ beside it. Try it: bin/inferq demo

As a service: copy the folder to /opt/inferq, write a configuration (bin/inferq config init FILE; every setting stands in
etc/inferq.toml), make a user for it, and adapt the units in systemd/, whose program is /usr/bin/inferq.
It needs Linux with glibc 2.36 or later, libsystemd and zlib.
TEXT
tar -C "$work" --sort=name --owner=0 --group=0 --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" | xz -T1 >"$out/$name.tar.xz"
