#!/usr/bin/env bash
# Runs a training command again until it is done; each time rowan goes on from the newest checkpoint.
#
#   scripts/resume.sh mpirun -n 8 build/rowan train CONFIG
#
# Ends with the command's exit code when it is 0 (done, or asked to stop), when it is 2 sooner than ROWAN_TIMEOUT seconds
# after the start (a mistake: a rank that hears nothing from another leaves with 2 as well, but later), and after five
# attempts in a row of less than an hour.
set -u

[ $# -ge 1 ] || { echo "usage: scripts/resume.sh COMMAND..." >&2; exit 2; }
trap 'exit 130' INT  # of the whole group: the command has received it, too

failures=0
while true; do
  start=$SECONDS
  "$@"
  code=$? lasted=$((SECONDS - start))
  [ $code -eq 0 ] && exit 0
  [ $code -eq 2 ] && [ $lasted -lt "${ROWAN_TIMEOUT:-300}" ] && exit 2
  [ $lasted -ge 3600 ] && failures=0
  failures=$((failures + 1))
  if [ $failures -eq 5 ]; then exit $code; fi
  echo "resume.sh: ended with code $code after $lasted s; going on from the newest checkpoint" >&2
done
