#!/bin/sh
# Builds the program, and says first how long that will take where nothing is built yet:
#
#     packaging/build.sh --product inferq
#
# `make run` and `make test` share this build.
set -eu
cd "$(dirname "$0")/.."

if [ ! -e .build/debug ]; then
    cores=$(getconf _NPROCESSORS_ONLN)
    # Minutes of processor time of a first build, measured; the most of it are libraries (CONTRIBUTING.md).
    echo "The first build takes about $(((17 + cores - 1) / cores)) minutes on $cores cores; the next ones take seconds."
fi
exec swift build "$@"
