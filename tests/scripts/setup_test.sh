#!/usr/bin/env bash
# Tests scripts/setup.sh with stand-ins for dpkg-query, apt-get, sudo and id: what it installs, and when a package that
# cannot be installed is a failure. Nothing is installed.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "setup_test: $*" >&2; cat "$folder/log" >&2; exit 1; }
mkdir "$folder/bin"
cd "$folder"
for tool in bash env grep true; do ln -s "$(type -P $tool)" bin/; done
program() { cat >"bin/$1"; chmod +x "bin/$1"; }  # NAME <SCRIPT

# $ABSENT are the packages that dpkg does not have. apt-get cannot install those in $UNKNOWN. $ADMIN says whether sudo
# works without a password.
program dpkg-query <<'FALSE'
#!/usr/bin/env bash
[[ " ${ABSENT:-} " == *" ${!#} "* ]] || echo "install ok installed"
FALSE
program apt-get <<'FALSE'
#!/usr/bin/env bash
[ "$1" != update ] || exit "${UPDATE:-0}"
for package; do [[ " ${UNKNOWN:-} " != *" $package "* ]] || exit 100; done
while [[ $1 == -* || $1 == install ]]; do shift; done
echo "$*" >>installed
FALSE
program sudo <<'FALSE'
#!/usr/bin/env bash
if [ "$1" = -n ]; then
  [ -n "${ADMIN:-}" ] || { echo "sudo: a password is required" >&2; exit 1; }
  shift
fi
echo sudo >>asked
exec "$@"
FALSE
program id <<'FALSE'
#!/usr/bin/env bash
echo "${USER_ID:-0}"
FALSE

# expect CODE INSTALLED LINES [ARGUMENT]: runs the script and compares its exit code, the packages that it installs, and
# the number of its lines.
expect() {
  local code=0 installed=
  rm -f installed asked
  PATH=$folder/bin "$source/scripts/setup.sh" ${4:+"$4"} >log 2>&1 || code=$?
  [ ! -f installed ] || installed=$(paste -sd' ' installed)
  [ $code -eq "$1" ] || fail "ABSENT='${ABSENT:-}': found exit code $code, expected $1"
  [ "$installed" = "$2" ] || fail "ABSENT='${ABSENT:-}': found '$installed' installed, expected '$2'"
  [ "$(wc -l <log)" = "$3" ] || fail "ABSENT='${ABSENT:-}': expected $3 lines"
}

expect 0 "" 0
export ABSENT="libfmt-dev libdnnl-dev curl ca-certificates"
expect 0 "libfmt-dev curl ca-certificates libdnnl-dev" 1
USER_ID=1000 expect 0 "libfmt-dev curl ca-certificates libdnnl-dev" 1
[ -f asked ] || fail "installed without sudo"
mv bin/sudo .
USER_ID=1000 expect 2 "" 1
grep -q "as root: apt-get install libfmt-dev .*: cmake -B build && cmake --build build" log || fail "no advice"
mv sudo bin/
UPDATE=100 expect 2 "" 2
UNKNOWN=libfmt-dev expect 2 "" 2
UNKNOWN=libdnnl-dev expect 0 "libfmt-dev curl ca-certificates" 2
grep -q "without the optional libdnnl-dev$" log || fail "does not name libdnnl-dev"

# Without an optional package, the script goes on and asks nobody for a password.
export ABSENT="ccache libopenmpi-dev"
USER_ID=1000 expect 0 "" 1
[ ! -f asked ] || fail "asked for a password because of optional packages"
grep -q "not root; going on without the optional ccache libopenmpi-dev" log || fail "does not name them"
USER_ID=1000 ADMIN=yes expect 0 "ccache libopenmpi-dev" 1
UPDATE=100 expect 0 "" 2
UNKNOWN="ccache libopenmpi-dev" expect 0 "" 2

# The tests need GoogleTest and python3.
export ABSENT="libgtest-dev python3"
expect 0 "python3" 1
expect 0 "libgtest-dev python3" 1 test
UNKNOWN=libgtest-dev expect 2 "" 2 test

# Debian 13 has no clang-format 14, which lint.sh can do without.
ABSENT=clang-format-14 UNKNOWN=clang-format-14 expect 0 "" 2 ci

# Other arguments are refused before anything is installed.
export ABSENT="libgtest-dev"
expect 2 "" 1 tests
grep -q "found 'tests', expected nothing, test, ci or arm64" log || fail "no reason"
expect 0 "" 9 --help
grep -q "^  scripts/setup.sh ci " log || fail "no help"

# A tool counts as installed if it is there without dpkg.
export ABSENT="cmake ninja-build"
printf '#!/bin/sh\n' | tee bin/cmake >bin/ninja
chmod +x bin/cmake bin/ninja
expect 0 "" 0

# On other systems CMake decides.
export ABSENT="libfmt-dev"
mv bin/apt-get .
USER_ID=1000 expect 0 "" 1
mv apt-get bin/
mv bin/dpkg-query .
USER_ID=1000 expect 0 "" 1
grep -q "found no apt-get; if CMake misses something" log || fail "no hint"
echo "setup_test: passed"
