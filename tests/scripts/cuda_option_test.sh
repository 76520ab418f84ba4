#!/usr/bin/env bash
# Tests the words for ROWAN_CUDA. A machine without nvcc is assumed (NVCC=0), so ON is an error that names it.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
source=$(cd "$(dirname "$0")/../.." && pwd)
fail() { echo "cuda_option_test: ROWAN_CUDA=$word: $*" >&2; exit 1; }
expect() {  # TEXT WORD...: what CMake prints for each of the words
  local said
  for word in "${@:2}"; do
    said=$(cmake -DNVCC=0 -DROWAN_CUDA="$word" -P "$source/scripts/cmake/cuda.cmake" 2>&1) || true
    [[ ${said//$'\n'/ } == *"$1"* ]] || fail "expected '$1', found: $said"
  done
}
expect "ROWAN_CUDA=ON, but nvcc was not found" ON on 1 TRUE yes
expect "CUDA (training on GPUs): no" OFF 0 false No AUTO auto
expect "expected ON, OFF or AUTO" maybe ""
echo "cuda_option_test: passed"
