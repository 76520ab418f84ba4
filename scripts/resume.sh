#!/usr/bin/env bash
# Runs a training command again until the run is done. Each time rowan continues from the newest checkpoint.
#
#   scripts/resume.sh mpirun -n 8 build/rowan train CONFIG
#
# The script passes a stop signal (Ctrl-C, SIGTERM, SIGUSR1, a lost terminal) on as SIGUSR1, which mpirun and srun
# forward to every rank. It does not send SIGTERM to mpirun, which would kill the ranks one second later. rowan saves and
# exits, and this script exits with 130, 143, 138 or 129. A second stop signal is passed on as SIGINT.
#
# The script ends with the command's exit code if this code is
#   0                   the run is done
#   124                 rowan has reached run.max_seconds
#   129, 130, 138, 143  rowan was stopped by SIGHUP, SIGINT, SIGUSR1 or SIGTERM
#   2                   the user made a mistake; only within ROWAN_TIMEOUT seconds of the start, because later this code
#                       can mean that a rank waited in vain for another rank
#   126, 127            the command cannot be started
#   any other           at the fifth failure in a row; a failure after an hour or more starts a new count
set -um  # -m: the command gets its own process group, so a terminal's Ctrl-C reaches only this script

case "${1:-}" in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  "" | -*) echo "resume.sh: found '${1:-}', expected a command: scripts/resume.sh COMMAND..." >&2; exit 2 ;;
esac
asked=0 child= missed=
# Just after its start the command may still have the traps of this script, which would take the signal, so it is sent
# twice. rowan takes the second for the first.
ask_to_stop() {
  kill -USR1 "$child"
  (sleep 1; kill -USR1 "$child") &
} 2>/dev/null
pass_on() {
  if [ -z "$child" ]; then
    missed=yes
  elif [ $asked -eq 0 ]; then
    ask_to_stop
  else
    kill -INT "$child" 2>/dev/null
  fi
  asked=$1
}
trap 'pass_on 1' HUP
trap 'pass_on 2' INT
trap 'pass_on 15' TERM
trap 'pass_on "$(kill -l USR1)"' USR1  # its number differs between systems

# -f: under -m, `wait` would also return when the command is suspended, and the loop below would spin. bash 4 has no -f.
finished=
[ "${BASH_VERSINFO[0]}" -lt 5 ] || finished=-f
# ROWAN_TIMEOUT may be a fraction, or have an exponent.
patience=$(LC_ALL=C printf '%.0f' "${ROWAN_TIMEOUT:-300}" 2>/dev/null) || patience=300
[ "$patience" -gt 0 ] || patience=1
failures=0
while true; do
  [ $asked -eq 0 ] || exit $((128 + asked))
  start=$SECONDS
  "$@" </dev/null &
  child=$!
  [ -z "$missed" ] || ask_to_stop  # a signal came after the command began, before `child` was set
  while wait $finished "$child"; kill -0 "$child" 2>/dev/null; do :; done  # a trapped signal ends `wait`
  wait "$child"
  code=$? lasted=$((SECONDS - start)) child=
  [ $asked -eq 0 ] || exit $((128 + asked))
  case $code in
    0 | 124 | 126 | 127 | 129 | 130 | 138 | 143) exit $code ;;
    2) [ $lasted -ge "$patience" ] || exit 2 ;;
  esac
  [ $lasted -ge 3600 ] && failures=0
  failures=$((failures + 1))
  if [ $failures -eq 5 ]; then exit $code; fi
  echo "resume.sh: ended with code $code after $lasted s; going on from the newest checkpoint" >&2
done
