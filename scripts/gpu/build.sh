# Sourced by gpu_check.sh. Finds the programs to check: the programs of the prebuilt folder if they run here, otherwise
# programs built from the sources.

build=build-gpu
use_prebuilt() {
  local why before=${LD_LIBRARY_PATH:-}
  [ -x "$prebuilt/rowan" ] || return
  if why=$(unfit) || { find_libraries; ! "$prebuilt/rowan" --version >/dev/null 2>"$logs/prebuilt.log" && why=$(no_start); }; then
    export LD_LIBRARY_PATH=$before no_nccl=
    say "$prebuilt does not run here ($why): the sources are built"
    return 1
  fi
  programs_in "$prebuilt" "$prebuilt" "$prebuilt"
  note "programs: $prebuilt, $("$program" --version)"
  if [ -z "${ROWAN_GOLDEN:-}" ] && [ -d "$prebuilt/golden" ]; then
    ROWAN_GOLDEN=$(printf '%s\n' "$prebuilt"/golden/* | paste -sd:)
    export ROWAN_GOLDEN
  fi
  grep -q '^cudnn' "$prebuilt/contents.txt" 2>/dev/null && cudnn=1
  grep -q '^nccl' "$prebuilt/contents.txt" 2>/dev/null && [ -z "$no_nccl" ] && nccl=1
  tests=1
  return 0
}
# Prints why the prebuilt programs cannot run with this machine's glibc or GPU. Fails if nothing is known against it.
unfit() {
  local needs has architecture
  needs=$(sed -n 's/^glibc //p' "$prebuilt/contents.txt" 2>/dev/null)
  has=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
  if [ -n "$needs" ] && [ -n "$has" ] && [ "$(printf '%s\n' "$needs" "$has" | sort -V | tail -1)" != "$has" ]; then
    echo "it needs glibc $needs, found glibc $has"
    return
  fi
  # Machine code runs on GPUs of the same major version with the same or a later minor version.
  needs=$(sed -n 's/^architectures //p' "$prebuilt/contents.txt" 2>/dev/null)
  for architecture in $(tr ';' ' ' <<<"${needs//-real/}"); do
    [ "${architecture%?}" = "${capability%.*}" ] && [ "${architecture: -1}" -le "${capability#*.}" ] && return 1
  done
  [ -n "$needs" ] && echo "it has machine code for $needs, found a GPU of compute capability $capability"
}
no_start() {
  local missing
  missing=$(missing_libraries | paste -sd' ')
  echo "${missing:+no $missing in LD_LIBRARY_PATH, CUDA_HOME, /usr/local/cuda or the packages of Python; }$(head -1 "$logs/prebuilt.log")"
}
missing_libraries() { ldd "$prebuilt/rowan" 2>/dev/null | awk '$2 == "=>" && $3 == "not" { print $1 }'; }
# Adds the folders of missing libraries to LD_LIBRARY_PATH.
find_libraries() {
  local library folder
  for library in $(missing_libraries); do
    while IFS= read -r folder; do
      [ -e "$folder/$library" ] || continue
      export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
      break
    done < <(library_folders)
  done
  if [[ $(missing_libraries) == *libnccl* ]]; then
    no_nccl="found no libnccl.so.2 here"
    export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$prebuilt/lib/no_nccl
  fi
}
library_folders() {
  [ -z "${CUDA_HOME:-}" ] || printf '%s\n' "$CUDA_HOME/lib64" "$CUDA_HOME/lib"
  printf '%s\n' /usr/local/cuda/lib64 /usr/local/cuda/lib
  python3 -c 'import glob, nvidia
for package in nvidia.__path__: print(*glob.glob(package + "/*/lib"), sep="\n")' 2>/dev/null
}
use_build() {
  [ -x "$build/rowan" ] || return
  programs_in "$PWD/$build" "$PWD/$build/tests/gpu" "$PWD/$build/tests/gpu"
  grep -q '^ROWAN_TESTS:BOOL=ON' $build/CMakeCache.txt && tests=1
  [ "$(grep -cE '^CUDNN_(INCLUDE|LIBRARY|FRONTEND_INCLUDE):.*=/' $build/CMakeCache.txt)" = 3 ] && cudnn=1
  grep -qE '^NCCL_LIBRARY:.*=/' $build/CMakeCache.txt && nccl=1
  return 0
}
programs_in() {  # ROWAN_FOLDER TEST_FOLDER NCCL_TEST_FOLDER
  program=$1/rowan suite=$2/gpu_backend_tests golden=$2/gpu_golden_tests nccl_tests=$3/gpu_nccl_tests
}
cudnn= nccl= no_nccl= tests=  # tests: the folder must have the test programs

# Uses a library (NCCL, cuDNN or cuBLASLt) of an installed Python package. Makes a folder for the library with include/
# and lib/, and with the file names that linkers look for. Fails if there is no such package.
from_python() {  # PACKAGE LIBRARY HEADERS
  local folder name=${2%%.so*} to=$PWD/$build/python/$1
  folder=$(python3 -c "import nvidia.$1; print(list(nvidia.$1.__path__)[0])" 2>/dev/null) || return
  [ -e "$folder/lib/$2" ] || return
  mkdir -p "$to/include" "$to/lib" && ln -sfn "$folder"/include/$3 "$to/include/" &&
    ln -sfn "$folder"/lib/"$name"* "$to/lib/" && ln -sfn "$folder/lib/$2" "$to/lib/$name.so" &&
    export LD_LIBRARY_PATH=$to/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} && python_library=$to
}
has_header() {
  local file
  for file in "$toolkit"/include/"$1" "$toolkit"/targets/*/include/"$1" /usr/include/"$1" /usr/include/*/"$1"; do
    [ -e "$file" ] && return
  done
  return 1
}

build_from_source() {
  local options=() targets=(rowan) with_tests=ON toolkit deb
  export PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
  command -v nvcc >/dev/null || refuse "no nvcc; install the CUDA toolkit or set CUDA_HOME"
  toolkit=$(readlink -f "$(command -v nvcc)") toolkit=${toolkit%/bin/*}
  if [ -z "${NCCL_HOME:-}" ] && ! has_header nccl.h; then
    from_python nccl libnccl.so.2 'nccl*.h' && export NCCL_HOME=$python_library
  fi
  if [ -z "${CUDNN_HOME:-}" ] && ! has_header cudnn.h; then
    from_python cudnn libcudnn.so.9 'cudnn*.h' && export CUDNN_HOME=$python_library
  fi
  if ! has_header cublasLt.h; then
    for package in cu13/libcublasLt.so.13 cublas/libcublasLt.so.12; do
      from_python "${package%/*}" "${package#*/}" 'cublas*.h' || continue
      export CPATH=$python_library/include${CPATH:+:$CPATH}
      options+=(-DCUDA_cublasLt_LIBRARY="$python_library/lib/libcublasLt.so")
      break
    done
  fi
  if [ -n "$debs" ]; then
    local unpacked=$PWD/$build/debs libraries
    libraries=$unpacked/usr/lib/$(uname -m)-linux-gnu
    mkdir -p "$unpacked"
    for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$unpacked" || refuse "$deb: not a package"; done
    # The unpacked pkgconf may be from another distribution and needs its own libraries. Other programs must not load
    # them.
    if [ -x "$unpacked/usr/bin/pkgconf" ]; then
      printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$unpacked/usr/bin/pkgconf" >"$work/pkg-config"
      chmod +x "$work/pkg-config"
      export PKG_CONFIG=$work/pkg-config
    fi
    export PKG_CONFIG_SYSROOT_DIR=$unpacked PKG_CONFIG_LIBDIR=$libraries/pkgconfig:$unpacked/usr/share/pkgconfig
    options+=(-DCMAKE_PREFIX_PATH="$unpacked/usr" -DCMAKE_BUILD_RPATH="$libraries")
  fi
  [ -d .cudnn_frontend ] && export CUDNN_FRONTEND_HOME=${CUDNN_FRONTEND_HOME:-$PWD/.cudnn_frontend}
  [ -e /usr/include/gtest/gtest.h ] || [ -e "$build/debs/usr/include/gtest/gtest.h" ] || [ -n "${GTEST_ROOT:-}" ] ||
    with_tests=OFF
  [ ! -f $build/CMakeCache.txt ] && command -v ninja >/dev/null && options+=(-G Ninja)
  check 30 configure cmake -B $build -DROWAN_CUDA=ON -DROWAN_TESTS=$with_tests \
    -DCMAKE_CUDA_ARCHITECTURES="${capability/./}" ${options[@]+"${options[@]}"} || return
  [ $with_tests = ON ] && targets+=(gpu_backend_tests gpu_golden_tests)
  grep -qE '^NCCL_LIBRARY:.*=/' $build/CMakeCache.txt && [ $with_tests = ON ] && targets+=(gpu_nccl_tests)
  check 200 build cmake --build $build -j "$(nproc)" --target "${targets[@]}" || return
  use_build
}
