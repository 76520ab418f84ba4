#!/usr/bin/env bash
# Packs the programs that scripts/gpu_check.sh needs, so that the machine with the GPU compiles nothing:
#
#   scripts/gpu_pack.sh [FOLDER]            (default: gpu_pack)
#
# The programs contain machine code for sm_80, sm_89, sm_90 and sm_100, as far as nvcc supports them. FOLDER/lib has the
# libraries that the programs need, except the libraries of CUDA, cuDNN, the C++ compiler and glibc. CUDA's runtime and
# cuBLASLt come from the CUDA toolkit of the machine with the GPU (LD_LIBRARY_PATH). The glibc of this machine must not
# be newer than the glibc of the machine with the GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-gpu_pack}
command -v nvcc >/dev/null || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
command -v nvcc >/dev/null || { echo "gpu_pack: no nvcc; install the CUDA toolkit or set CUDA_HOME" >&2; exit 2; }
build=build-pack generator=()
[ ! -f $build/CMakeCache.txt ] && command -v ninja >/dev/null && generator=(-G Ninja)
architectures=$(nvcc --list-gpu-arch | sed -n 's/^compute_\(80\|89\|90\|100\)$/\1-real/p' | paste -sd';')
# Builds without MPI. On the machine with the GPU, ranks communicate over NCCL or TCP.
cmake -B $build "${generator[@]}" -DROWAN_CUDA=ON -DROWAN_TESTS=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$architectures" -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
  '-DCMAKE_INSTALL_RPATH=$ORIGIN/lib' >/dev/null
targets=(rowan gpu_backend_tests gpu_golden_tests)
nccl=$(grep -cE '^NCCL_LIBRARY:.*=/' $build/CMakeCache.txt || true)
[ "$nccl" = 0 ] || targets+=(gpu_nccl_tests)
cmake --build $build -j "$(nproc)" --target "${targets[@]}"

rm -rf "$folder.part"
mkdir -p "$folder.part/lib"
for target in "${targets[@]}"; do
  file=$build/$target
  [ -x "$file" ] || file=$build/tests/gpu/$target
  strip -o "$folder.part/$target" "$file"
  ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }'
done | sort -u | while read -r name path; do
  case $name in
    libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | ld-linux* | libstdc++* | libgcc_s*) ;;
    libcuda* | libcublas* | libcudnn* | libnvrtc* | libnvidia*) ;;
    *) cp -L "$path" "$folder.part/lib/$name" ;;
  esac
done
golden=${ROWAN_GOLDEN:-../shared/golden}
[ ! -d "$golden" ] || cp -r "$golden" "$folder.part/golden"
{
  echo "commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
  echo "architectures $architectures"
  [ "$nccl" = 0 ] || echo nccl
  [ "$(grep -cE '^CUDNN_(INCLUDE|LIBRARY|FRONTEND_INCLUDE):.*=/' $build/CMakeCache.txt)" != 3 ] || echo cudnn
} >"$folder.part/contents.txt"
rm -rf "$folder" && mv "$folder.part" "$folder"
du -sh "$folder" | sed 's/^/gpu_pack: /'
