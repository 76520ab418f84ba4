#!/usr/bin/env bash
# Checks the .cu, .cuh and .h files of kernels/cuda for code that the emulation cannot run as a GPU does (engine.h), and
# for atomics. Prints each violation.
set -euo pipefail
cd "$(dirname "$0")/../../kernels/cuda"
status=0

# forbid PATTERN REASON: prints the lines that match PATTERN outside // comments, in all files named above except
# device.cuh.
forbid() {
  local found
  found=$(grep -nE "$1" -- *.cu *.cuh *.h | grep -v '^device\.cuh:' | sed -E 's,//.*,,' | grep -E "$1" || true)
  if [ -n "$found" ]; then
    printf '%s\n' "$found" | sed "s,^,kernels/cuda/,; s,\$,   <- $2,"
    status=1
  fi
}

forbid '<<<' 'launch through CudaBackend::launch'
forbid '__shared__' 'shared memory through SHARED_ARRAY or DYN_SHARED'
forbid '\basm\b' 'PTX only in device.cuh, next to its version for the CPU'
forbid 'cooperative_groups|cub/|cub::|thrust' 'g++ cannot compile it'
forbid 'atomic[A-Z]' 'sums by atomics have no fixed order'
forbid '__CUDA_ARCH__|ROWAN_EMULATION' 'the same code must run on a GPU and in the emulation'
forbid '__constant__|__threadfence|__nanosleep|volatile' 'not emulated: no waiting between blocks'
forbid 'cudaLaunchKernel|__cluster_dims__|cuda::(barrier|pipeline)|<cuda/' 'not emulated: launch through CudaBackend::launch, copies through device.cuh'
forbid '\bprintf *\(|texture|\b(tex|surf)[123]D' 'not emulated: report through Error; loads through vector.cuh'
exit $status
