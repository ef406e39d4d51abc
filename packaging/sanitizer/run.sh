#!/usr/bin/env bash
# Runs the unit tests of a build with ThreadSanitizer; fails if it has anything to report.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=$1
clang -O1 -Wall -Wextra -Werror -shared -fPIC -o "$build/runtime.so" packaging/sanitizer/runtime.c
# Nothing else is excused: no suppressions.
export TSAN_OPTIONS="halt_on_error=0 exitcode=66 second_deadlock_stack=1"
# One test after the other: under the sanitizer, hundreds side by side keep some waiting past their time limits. The
# fuzzers are single threads.
INFERQ_FUZZ_SECONDS=5 LD_PRELOAD=$PWD/$build/runtime.so \
	swift test --skip-build --no-parallel --sanitize=thread --scratch-path "$build"
