#!/usr/bin/env bash
# Tests that scripts/resume.sh waits while its command is suspended, instead of asking for it in a loop without pause,
# and that it then returns the exit code of the command.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "resume_test: $*" >&2; exit 1; }
[ "${BASH_VERSINFO[0]}" -ge 5 ] || { echo "resume_test: skipped, because bash ${BASH_VERSION} has no wait -f"; exit 0; }

echo "echo \$\$ >'$folder/process'; kill -STOP \$\$; exit 129" >"$folder/command"
bash -x "$source/scripts/resume.sh" sh "$folder/command" 2>"$folder/trace" &
script=$!
state() { sed 's/.*) //; s/ .*//' "/proc/$(cat "$folder/process")/stat"; }
until [ -s "$folder/process" ] && [ "$(state)" = T ]; do sleep 0.05; done
sleep 0.5  # time for a loop to leave its trace
kill -CONT "$(cat "$folder/process")"
code=0
wait $script || code=$?
[ $code -eq 129 ] || fail "found exit code $code, expected 129"
asked=$(grep -c 'kill -0' "$folder/trace")
[ "$asked" -le 2 ] || fail "found $asked questions whether the command has ended, expected 1"
echo "resume_test: passed"
