#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds Rowan with CUDA, runs every check that needs the GPU, and measures.
#   scripts/gpu_check.sh [FOLDER]     logs of each step, results.json and the table go to FOLDER (default: gpu_check)
# Steps whose tools are missing (compute-sanitizer, GoogleTest) are skipped and say so. Exit code 1 when a check fails.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_check}
mkdir -p "$out"

if ! capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1) || [ -z "$capability" ]; then
  echo "gpu_check: nvidia-smi finds no GPU" >&2
  exit 2
fi
for nvcc in nvcc "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ""; do command -v "$nvcc" >/dev/null && break; done
[ -n "$nvcc" ] || { echo "gpu_check: no nvcc; install the CUDA toolkit or set CUDA_HOME" >&2; exit 2; }
PATH=$PATH:$(dirname "$(command -v "$nvcc")")
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)

failed=0 rows=() json=()
record() {  # NAME STATE SECONDS
  rows+=("$(printf '%-34s %-8s %6s s' "$1" "$2" "$3")")
  json+=("$(printf '    {"check": "%s", "state": "%s", "seconds": %s}' "$1" "$2" "$3")")
}
check() {  # NAME COMMAND...
  local name=$1 start=$SECONDS state=ok
  shift
  echo "gpu_check: $name" >&2
  "$@" >"$out/$name.log" 2>&1 </dev/null || { state=FAILED failed=1; tail -5 "$out/$name.log" >&2; }
  record "$name" "$state" $((SECONDS - start))
  [ "$state" = ok ]
}
finish() {
  {
    printf '{\n  "gpu": "%s",\n  "checks": [\n' "$gpu"
    (IFS=$'\n'; echo "${json[*]}" | sed '$!s/$/,/')
    printf '  ],\n  "steps": [\n'
    (IFS=$'\n'; echo "${measured[*]:-}" | sed '$!s/$/,/')
    printf '  ]\n}\n'
  } >"$out/results.json"
  { echo "$gpu (compute capability $capability)"; printf '%s\n' "${rows[@]}"; } | tee "$out/table.txt"
  exit $failed
}
measured=()

generator=$(command -v ninja >/dev/null && echo "-G Ninja")
tests=ON
[ -e /usr/include/gtest/gtest.h ] || [ -n "${GTEST_ROOT:-}" ] || tests=OFF
# shellcheck disable=SC2086
check configure cmake -B build-gpu $generator -DROWAN_CUDA=ON -DROWAN_TESTS=$tests \
  -DCMAKE_CUDA_ARCHITECTURES="${capability/./}" || finish
targets=(rowan)
[ $tests = ON ] && targets+=(gpu_backend_tests gpu_golden_tests)
check build cmake --build build-gpu -j "$(nproc)" --target "${targets[@]}" || finish

if [ $tests = ON ]; then
  suite=build-gpu/tests/gpu/gpu_backend_tests
  check suite "$suite" --gtest_brief=1
  check golden build-gpu/tests/gpu/gpu_golden_tests --gtest_brief=1
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
      check "sanitizer_$tool" compute-sanitizer --tool $tool --error-exitcode 1 "$suite" --gtest_brief=1 \
        --gtest_filter='-*Stochastic*:*SurvivesLarge*'
    done
  else
    record sanitizer skipped 0
  fi
else
  record suite skipped 0
fi

check products_and_copy build-gpu/rowan bench gemm --device cuda && rows+=("$(sed 's/^/  /' "$out/products_and_copy.log")")
step() {  # MODEL BATCH SEQ
  local name="$1_T$3" rate ratio
  [ -f "configs/models/$1.json" ] || { record "$name" skipped 0; return; }
  check "$name" build-gpu/rowan bench step --device cuda --precision bf16 --steps 20 --model "configs/models/$1.json" \
    --batch "$2" --seq "$3" || return
  rate=$(awk '$1 == "tokens/s" {print $2}' "$out/$name.log")
  ratio=$(awk '$1 == "ratio" {print $2}' "$out/$name.log")
  rows+=("  $rate tokens/s, $ratio of what the model's products alone reach")
  measured+=("$(printf '    {"model": "%s", "batch": %d, "seq": %d, "tokens_per_second": %s, "of_products": %s}' \
    "$1" "$2" "$3" "${rate:-null}" "${ratio:-null}")")
}
step gpt2_124m 64 1024
step llama_130m 256 256
step llama_130m 64 1024
step llama_350m 64 1024
step smollm2_135m 32 2048
finish
