#!/usr/bin/env bash
# Tests that scripts/resume.sh waits while its command is suspended, instead of asking for it in a loop without pause,
# and that it then returns the exit code of the command. Also tests stop signals at moments without a command.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
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

# BASH_ENV is read before the script. A signal after the end of a command, here while the script tells of it, leaves no
# further start.
cat >"$folder/between" <<'FALSE'
echo() { command echo "$@"; kill -TERM $$; }
FALSE
code=0
BASH_ENV=$folder/between bash "$source/scripts/resume.sh" sh -c "echo start >>'$folder/starts'; exit 1" 2>"$folder/log" || code=$?
[ $code -eq 143 ] || fail "found exit code $code, expected 143"
[ "$(wc -l <"$folder/starts")" = 1 ] || fail "the command began $(wc -l <"$folder/starts") times, expected once"

# A signal just after the start of a command, before the script knows its process, reaches the command.
cat >"$folder/early" <<'FALSE'
trap '[ "$BASH_COMMAND" != "child=\$!" ] || [ -e "$ONCE" ] || { : >"$ONCE"; kill -TERM $$; }' DEBUG
FALSE
code=0
ONCE=$folder/once BASH_ENV=$folder/early bash "$source/scripts/resume.sh" sh -c "sleep 5; : >'$folder/whole'" 2>"$folder/log" || code=$?
[ $code -eq 143 ] || fail "found exit code $code, expected 143"
[ -e "$folder/once" ] && [ ! -e "$folder/whole" ] || fail "the signal did not reach the command"

# Every stop signal, among them the SIGUSR1 that a scheduler may send, reaches the command as SIGUSR1.
echo "trap 'exit 138' USR1; : >'$folder/ready'; for i in \$(seq 200); do sleep 0.05; done" >"$folder/waits"
for signal in HUP TERM USR1; do
  rm -f "$folder/ready"
  bash "$source/scripts/resume.sh" sh "$folder/waits" 2>"$folder/log" &
  script=$!
  until [ -e "$folder/ready" ]; do sleep 0.05; done
  kill -$signal $script
  code=0
  wait $script || code=$?
  [ $code -eq $((128 + $(kill -l $signal))) ] || fail "found exit code $code after SIG$signal"
done

# ROWAN_TIMEOUT is any number of seconds: the command that fails after longer is tried again, a quick mistake is not.
echo "[ -e '$folder/again' ] && exit 0; : >'$folder/again'; sleep 3; exit 2" >"$folder/late"
ROWAN_TIMEOUT=1.5 bash "$source/scripts/resume.sh" sh "$folder/late" 2>"$folder/log" || fail "was not tried again: $(cat "$folder/log")"
code=0
ROWAN_TIMEOUT=1e3 bash "$source/scripts/resume.sh" sh -c 'exit 2' 2>"$folder/log" || code=$?
[ $code -eq 2 ] && [ ! -s "$folder/log" ] || fail "found exit code $code and '$(cat "$folder/log")', expected 2 and nothing"

# A command that cannot be started is not tried again.
code=0
bash "$source/scripts/resume.sh" "$folder/absent" 2>"$folder/log" || code=$?
[ $code -eq 127 ] || fail "found exit code $code, expected 127"
echo "resume_test: passed"
