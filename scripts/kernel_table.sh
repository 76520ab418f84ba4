#!/usr/bin/env bash
# Prints registers, spills and shared memory of every GPU kernel, as reported by ptxas:
#
#   scripts/kernel_table.sh [ARCHITECTURE...]      (default: sm_80 sm_90 sm_100)
set -euo pipefail
cd "$(dirname "$0")/.."
architectures=("$@")
[ ${#architectures[@]} -gt 0 ] || architectures=(sm_80 sm_90 sm_100)
command -v nvcc >/dev/null || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
command -v nvcc >/dev/null || { echo "kernel_table: no nvcc; install the CUDA toolkit or set CUDA_HOME" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
codes=()
for architecture in "${architectures[@]}"; do codes+=(-gencode "arch=compute_${architecture#sm_},code=$architecture"); done
printf '%s\n' kernels/cuda/*.cu | xargs -P "$(nproc)" -I{} sh -c \
  'nvcc -std=c++17 -Isrc -I. "$@" -Xptxas -v -c {} -o "$0/$(basename {}).o" 2>"$0/$(basename {}).txt" || { cat "$0/$(basename {}).txt" >&2; exit 1; }' \
  "$folder" "${codes[@]}"
for file in "$folder"/*.txt; do sed "s|^|$(basename "$file" .cu.txt) |" "$file"; done | c++filt | awk '
  /Compiling entry function/ { line = $0; sub(/.*entry function ./, "", line); arch = line; sub(/.* for ./, "", arch)
                               sub(/[^a-z0-9_].*/, "", arch); kernel = line; sub(/. for .*/, "", kernel)
                               gsub(/\(rowan::[A-Za-z]+\)|rowan::|\(anonymous namespace\)::|cuda::/, "", kernel); sub(/^void /, "", kernel)
                               sub(/\(.*/, "", kernel); file = $1 }
  /spill stores/ { match($0, /[0-9]+ bytes spill stores/); spills = substr($0, RSTART) + 0 }
  /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5) + 0
    smem = 0; if (match($0, /[0-9]+ bytes smem/)) smem = substr($0, RSTART) + 0
    printf "%-6s %-22s %-64s registers %3d  spills %4d B  shared %6d B\n", arch, file, substr(kernel, 1, 64), registers, spills, smem
    spills = 0; ++kernels }
  END { if (!kernels) { print "kernel_table: ptxas reported no kernel" > "/dev/stderr"; exit 1 } }'
