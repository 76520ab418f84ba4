# Sourced by gpu_check.sh. Keeps one row per check and writes all results after each check.

failed=0 rows=() json=() figures=() child= running=
left() { if [ "$budget" -gt 0 ]; then echo $((budget - SECONDS)); else echo 100000; fi; }

write_results() {
  {
    printf '{\n  "gpu": "%s",\n  "compute_capability": "%s",\n  "seconds": %s,\n  "checks": [\n' \
      "$gpu" "$capability" "$SECONDS"
    printf '%s\n' ${json[@]+"${json[@]}"} | sed '$!s/$/,/'
    printf '  ],\n  "benches": [\n'
    for file in ${figures[@]+"${figures[@]}"}; do cat "$file"; [ "$file" = "${figures[-1]}" ] || echo ,; done
    printf '  ]\n}\n'
  } >"$out/results.json.part" && mv "$out/results.json.part" "$out/results.json"
  { echo "$gpu (compute capability $capability)"; printf '%s\n' ${rows[@]+"${rows[@]}"}; } >"$out/table.txt.part" &&
    mv "$out/table.txt.part" "$out/table.txt"
}
record() {  # NAME STATE SECONDS
  rows+=("$(printf '%-36s %-8s %5s s' "$1" "$2" "$3")")
  json+=("$(printf '    {"check": "%s", "state": "%s", "seconds": %s}' "$1" "$2" "$3")")
  write_results
}
note() { rows+=("  $*"); write_results; }
say() { echo "gpu_check: $*" >&2; note "$*"; }
skip() { echo "gpu_check: $1: $2" >&2; record "$1" skipped 0; note "$2"; }  # NAME WHY
miss() { echo "gpu_check: $1: $2" >&2; failed=1; record "$1" FAILED 0; note "$2"; }  # NAME WHY

# check NEEDS NAME COMMAND...: runs a command in the background and waits for it, because bash handles a signal only
# after a command in the foreground has ended. NEEDS is a long, but plausible time of the command in seconds. If less
# than NEEDS is left of the budget, the check is skipped. With a budget a check is stopped after 3 * NEEDS, so that one
# that hangs leaves time for the others; without one after ten minutes.
check() {
  local needs=$1 name=$2 start=$SECONDS state=ok code=0 limit most=600
  shift 2
  limit=$(left)
  [ "$budget" = 0 ] || most=$((3 * needs))
  if [ "$limit" -lt "$needs" ]; then
    skip "$name" "left out: needs about $needs s, but only $limit s of the budget are left"
    return 1
  fi
  echo "gpu_check: $name" >&2
  [ "$limit" -le "$most" ] || limit=$most
  export -f $(declare -F | cut -d' ' -f3)
  export program out work logs build suite golden nccl_tests
  timeout -k 5 "$limit" bash -c '"$@"' check "$@" >"$logs/$name.log" 2>&1 </dev/null &
  child=$!
  wait $child || { code=$? state=FAILED failed=1; tail -5 "$logs/$name.log" >&2; }
  child=
  record "$name" "$state" $((SECONDS - start))
  case $code in
    124) note "stopped after $limit s; the last line of its log: $(tail -1 "$logs/$name.log")" ;;
    137) note "killed, after $limit s or by the system; the last line of its log: $(tail -1 "$logs/$name.log")" ;;
  esac
  [ "$state" = ok ]
}
# bench NEEDS NAME ARGUMENT...: runs `rowan bench` and records its results, with the GPU's clock and power during the
# run. Some benchmarks write their figures after every row, into running.json, which a killed script leaves.
bench() {
  local needs=$1 name=$2 from code=0
  shift 2
  from=$(wc -l <"$out/clocks.csv")
  running=$name
  rm -f "$out/running.json"
  check "$needs" "$name" "$program" bench "$@" --device cuda --json "$out/running.json" || code=$?
  keep_figures
  [ -s "$logs/$name.json" ] || return $code
  tail -n +"$from" "$out/clocks.csv" | awk -F', ' -v name="$name" '
    $2 ~ /MHz/ { split($2, clock, " "); split($4, power, " "); c += clock[1]; p += power[1]; if (power[1] > top) top = power[1]; ++n }
    END { if (n) printf "  SM clock %.0f MHz, power %.0f W on average, %.0f W at most\n", c / n, p / n, top }' >"$logs/$name.clock"
  [ ! -s "$logs/$name.clock" ] || rows+=("$(cat "$logs/$name.clock")")
  write_results
  return $code
}
keep_figures() {
  [ -n "$running" ] && [ -s "$out/running.json" ] || return 0
  mv "$out/running.json" "$logs/$running.json"
  figures+=("$logs/$running.json")
}
value() { sed -n "s/^ *\"$2\": *\"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$logs/$1.json" | head -1; }  # BENCH KEY

pack_logs() {
  tar czf "$out/logs.tgz.part" -C "$work" logs 2>/dev/null && mv "$out/logs.tgz.part" "$out/logs.tgz"
}
finish() {
  trap '' INT TERM
  pack_logs
  write_results
  cat "$out/table.txt"
  exit $failed
}
stopped() {
  echo "gpu_check: stopped" >&2
  failed=1
  [ -z "$child" ] || kill "$child" 2>/dev/null
  keep_figures
  rows+=("stopped by a signal after $SECONDS s")
  finish
}
trap stopped INT TERM
write_results
