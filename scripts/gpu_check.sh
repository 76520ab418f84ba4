#!/usr/bin/env bash
# Runs checks and measurements that need an NVIDIA GPU, within a given time.
#
#   scripts/gpu_check.sh [--out FOLDER] [--only PART,...] [--budget SECONDS] [--prebuilt FOLDER] [--debs FOLDER]
#
#   --out       folder of the results (default: runs/gpu_check): table.txt, results.json, clocks.csv, logs.tgz. The
#               first two are written again after every check, and the logs after every part, so they survive if the
#               script is killed. running.json then has the figures of the benchmark that was running.
#   --only      runs only these parts, always in this order: build suite golden step large variants kernels profile
#               repeat compare ranks optimizer quickstart sanitizer. "check" stands for suite golden large repeat
#               compare ranks sanitizer, "bench" for step variants kernels profile optimizer quickstart.
#   --budget    seconds for all parts (default: no limit). Checks that do not fit are skipped and listed, and a check
#               that takes three times as long as expected is stopped.
#   --prebuilt  folder made by scripts/gpu_pack.sh (default: gpu_pack). If its programs run here, nothing is compiled.
#               Missing libraries of CUDA and NCCL are looked for in CUDA_HOME, /usr/local/cuda and Python's packages.
#   --debs      folder of Debian or Ubuntu packages (.deb) with missing libraries (default: .deb). They are unpacked
#               before compiling, without root.
#
# cuDNN's attention is also checked and timed if cuDNN and the headers of its frontend are found (CUDNN_HOME,
# CUDNN_FRONTEND_HOME or .cudnn_frontend). ROWAN_GOLDEN names folders with more golden cases. If a tool is missing, the
# parts that need it are skipped and listed. A test program that is missing in a prebuilt folder, or in a build with
# tests, is a failed check. Exit code: 0 if no check failed, 1 if a check failed or a signal stopped
# the script, 2 if nothing could be run.
set -uo pipefail
export LC_ALL=C  # printf and awk read and write numbers with a decimal point
cd "$(dirname "$0")/.." || exit 2
refuse() { echo "gpu_check: $*" >&2; exit 2; }

all="build suite golden step large variants kernels profile repeat compare ranks optimizer quickstart sanitizer"
checks="suite golden large repeat compare ranks sanitizer"
benches="step variants kernels profile optimizer quickstart"
out=runs/gpu_check parts=$all debs= budget=0 prebuilt=gpu_pack
[ -d .deb ] && debs=.deb
while [ $# -gt 0 ]; do
  case $1 in
    --out | --only | --debs | --budget | --prebuilt) [ $# -gt 1 ] || refuse "$1 needs a value" ;;&
    --out) out=$2 ;;
    --only) parts=" ${2//,/ } " parts=${parts/ check / $checks } parts=${parts/ bench / $benches } ;;
    --budget) budget=$2; [[ $budget =~ ^[1-9][0-9]*$ ]] || refuse "--budget: found $budget, expected whole seconds" ;;
    --prebuilt) prebuilt=$2; [ -x "$prebuilt/rowan" ] || refuse "--prebuilt: found no program $prebuilt/rowan" ;;
    --debs) debs=$2 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) refuse "found $1, expected --out, --only, --budget, --prebuilt or --debs" ;;
  esac
  shift 2
done
[ ! -d "$prebuilt" ] || prebuilt=$(cd "$prebuilt" && pwd)
for part in $parts; do
  [[ " $all " == *" $part "* ]] || refuse "--only: found $part, expected one of: $all check bench"
done

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1)
[ -n "$capability" ] || refuse "nvidia-smi finds no GPU"
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
work=$PWD/build-gpu/check logs=$PWD/build-gpu/check/logs  # working files; finish() packs the logs
rm -rf "$work" && mkdir -p "$out" "$logs" || exit 2
out=$(cd "$out" && pwd)
nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu --format=csv -l 1 \
  >"$out/clocks.csv" 2>/dev/null </dev/null &
clocks_job=$!
trap 'kill "$clocks_job" 2>/dev/null' EXIT

. scripts/gpu/results.sh
. scripts/gpu/build.sh
. scripts/gpu/parts.sh
for part in $all; do
  [[ " $parts " == *" $part "* ]] || continue
  if [ $part = build ]; then
    use_prebuilt || build_from_source || finish
    continue
  fi
  [ -n "${program:-}" ] || use_prebuilt || use_build || refuse "$build/rowan is not there: run the part build first"
  part_$part
  pack_logs
done
finish
