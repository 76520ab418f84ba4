#!/usr/bin/env bash
# Runs a training command again until the run is done. Each time rowan continues from the newest checkpoint.
#
#   scripts/resume.sh mpirun -n 8 build/rowan train CONFIG
#
# A stop signal (Ctrl-C, SIGTERM, a lost terminal) is passed on as SIGUSR1, which mpirun and srun forward to every rank.
# On SIGTERM itself, mpirun would leave the ranks one second. rowan saves and exits, and this script exits with 130, 143
# or 129. A second Ctrl-C ends the command at once.
#
# The script exits with the command's exit code
#   0                     the run is done
#   124, 128 + a signal   rowan ran out of time or was asked to stop
#   2                     a mistake, if it comes within ROWAN_TIMEOUT seconds of the start; a rank that waited in vain
#                         for another also exits with 2, but later
#   any other             after five attempts in a row of less than an hour
set -um  # -m: the command is a process group of its own, and a terminal's Ctrl-C reaches this script alone

[ $# -ge 1 ] || { echo "usage: scripts/resume.sh COMMAND..." >&2; exit 2; }
asked=0 child=
pass_on() {
  if [ -n "$child" ]; then
    if [ $asked -eq 0 ]; then kill -USR1 "$child"; else kill -INT "$child"; fi 2>/dev/null
  fi
  asked=$1
}
trap 'pass_on 1' HUP
trap 'pass_on 2' INT
trap 'pass_on 15' TERM

failures=0
while true; do
  start=$SECONDS
  "$@" </dev/null &
  child=$!
  while wait "$child"; kill -0 "$child" 2>/dev/null; do :; done  # a trap ends a wait
  wait "$child"
  code=$? lasted=$((SECONDS - start)) child=
  [ $asked -eq 0 ] || exit $((128 + asked))
  case $code in
    0 | 124 | 129 | 130 | 138 | 143) exit $code ;;
    2) [ $lasted -ge "${ROWAN_TIMEOUT:-300}" ] || exit 2 ;;
  esac
  [ $lasted -ge 3600 ] && failures=0
  failures=$((failures + 1))
  if [ $failures -eq 5 ]; then exit $code; fi
  echo "resume.sh: ended with code $code after $lasted s; going on from the newest checkpoint" >&2
done
