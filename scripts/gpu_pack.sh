#!/usr/bin/env bash
# Packs the programs that scripts/gpu_check.sh needs, so that the machine with the GPU compiles nothing:
#
#   scripts/gpu_pack.sh [FOLDER] [--arch N,...]            (default: gpu_pack, and 80,89,90,100)
#
# The programs contain machine code for the given architectures (90 is sm_90), as far as nvcc supports them. FOLDER/lib
# has the libraries that the programs need, except the libraries of CUDA, NCCL, cuDNN, the C++ compiler and glibc.
# gpu_check.sh finds the libraries of CUDA, NCCL and cuDNN on the machine with the GPU: in the toolkit, in
# LD_LIBRARY_PATH, or in Python's packages. If that machine has no NCCL, FOLDER/lib/no_nccl has a substitute with which
# the programs start but cannot use NCCL. The glibc of the machine with the GPU must have the symbol version that
# FOLDER/contents.txt names. The script fails if FOLDER would be larger than 60 MiB, because such a machine may take no
# more files than that.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
refuse() { echo "gpu_pack: $*" >&2; exit 2; }
folder=gpu_pack wanted=80,89,90,100 most=60
while [ $# -gt 0 ]; do
  case $1 in
    --arch) wanted=${2:-} && shift
      [[ $wanted =~ ^[0-9]+(,[0-9]+)*$ ]] || refuse "--arch: found '$wanted', expected numbers, as in 90,100" ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) refuse "found $1, expected a folder or --arch" ;;
    *) folder=$1 ;;
  esac
  shift
done
# FOLDER is replaced, so it must be new, or a pack: contents.txt is the first file of a pack.
folder=${folder%/} part=${folder%/}.part
for place in "$folder" "$part"; do
  [ -n "$place" ] && [ ! -e "$place" ] || grep -qs '^commit ' "$place/contents.txt" ||
    refuse "found ${place:-/}, which is no pack, expected a new folder or one that gpu_pack wrote"
done
command -v nvcc >/dev/null || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
command -v nvcc >/dev/null || refuse "no nvcc; install the CUDA toolkit or set CUDA_HOME"
build=build-pack generator=()
[ ! -f $build/CMakeCache.txt ] && command -v ninja >/dev/null && generator=(-G Ninja)
architectures=$(nvcc --list-gpu-arch | sed -nE "s/^compute_(${wanted//,/|})\$/\1-real/p" | paste -sd';')
[ -n "$architectures" ] || refuse "--arch: nvcc supports none of $wanted"
# nvcc compresses only on request if there is no PTX. Its machine code is then a fifth as large.
smaller=$(nvcc --help | sed -n 's/^\(--compress-mode\) .*/\1=size/p')
# Builds without MPI, because ranks communicate over NCCL or TCP on the machine with the GPU, and without oneDNN, which
# is large and speeds up only the CPU. All programs share one library, because each would have the machine code of all
# kernels. The linker's option lets FOLDER/lib serve the libraries of libraries, too.
cmake -B $build "${generator[@]}" -DROWAN_CUDA=ON -DROWAN_TESTS=ON -DROWAN_UNITY=ON -DDNNL_LIBRARY= \
  -DCMAKE_CUDA_ARCHITECTURES="$architectures" -DCMAKE_CUDA_FLAGS="$smaller" -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON \
  -DBUILD_SHARED_LIBS=ON -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN/lib' \
  -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--disable-new-dtags >/dev/null
targets=(rowan gpu_backend_tests gpu_golden_tests)
nccl=$(grep -cE '^NCCL_LIBRARY:.*=/' $build/CMakeCache.txt || true)
[ "$nccl" = 0 ] || targets+=(gpu_nccl_tests)
cmake --build $build -j "$(nproc)" --target "${targets[@]}"

commit="commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
rm -rf "$part"
mkdir -p "$part/lib"
echo "$commit" >"$part/contents.txt"
strip -o "$part/lib/librowan_core.so" $build/librowan_core.so
for target in "${targets[@]}"; do
  file=$build/$target
  [ -x "$file" ] || file=$build/tests/gpu/$target
  strip -o "$part/$target" "$file"
  ldd "$part/$target" | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }'
done | sort -u | while read -r name path; do
  case $name in
    librowan_core.so | libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | ld-linux* | libstdc++* | libgcc_s*) ;;
    libcuda* | libcublas* | libcudnn* | libnccl* | libnvrtc* | libnvidia*) ;;
    *) cp -L "$path" "$part/lib/$name" ;;
  esac
done
if [ "$nccl" != 0 ]; then
  mkdir "$part/lib/no_nccl"
  {
    echo 'const char* ncclGetErrorString(int code) { (void)code; return "this machine has no libnccl.so.2"; }'
    nm -D --undefined-only "$part"/lib/librowan_core.so "$part"/gpu_*_tests | awk '$2 ~ /^nccl/ && $2 != "ncclGetErrorString" {print $2}' |
      sort -u | sed 's/.*/int &(void) { return 2; }/'  # ncclSystemError
  } | "${CC:-cc}" -shared -fPIC -x c - -Wl,-soname,libnccl.so.2 -o "$part/lib/no_nccl/libnccl.so.2"
fi
# Golden files: the project's own, and those outside the checkout that the test programs would read here.
mkdir "$part/golden"
cp -r tests/golden/data "$part/golden/0"
IFS=: read -ra outside <<<"${ROWAN_GOLDEN:-../shared/golden}"
for i in "${!outside[@]}"; do [ ! -d "${outside[i]}" ] || cp -r "${outside[i]}" "$part/golden/$((i + 1))"; done
glibc=$(find "$part" -maxdepth 2 -type f \( -name '*.so*' -o -perm -u+x \) -exec objdump -T {} + 2>/dev/null |
  grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
{
  echo "$commit"
  echo "architectures $architectures"
  echo "glibc ${glibc#GLIBC_}"
  [ "$nccl" = 0 ] || echo nccl
  [ "$(grep -cE '^CUDNN_(INCLUDE|LIBRARY|FRONTEND_INCLUDE):.*=/' $build/CMakeCache.txt)" != 3 ] || echo cudnn
} >"$part/contents.txt"
size=$(du -sm --apparent-size "$part" | cut -f1)
if [ "$size" -gt $most ]; then
  rm -rf "$part"
  refuse "$folder would have $size MiB, expected at most $most: give fewer architectures, as in --arch 90"
fi
rm -rf "$folder" && mv "$part" "$folder"
echo "gpu_pack: $folder has $size MiB, for $architectures and glibc ${glibc#GLIBC_} or later"
