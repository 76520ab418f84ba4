# Sourced by gpu_check.sh. Finds the programs to check: the programs of the prebuilt folder if they run here, otherwise
# programs built from the sources.

build=build-gpu
use_prebuilt() {
  [ -x "$prebuilt/rowan" ] || return
  if ! "$prebuilt/rowan" --version >/dev/null 2>"$logs/prebuilt.log"; then
    note "$prebuilt does not run here ($(head -1 "$logs/prebuilt.log")): the sources are built"
    return 1
  fi
  programs_in "$prebuilt" "$prebuilt" "$prebuilt"
  note "programs: $prebuilt, $("$program" --version)"
  [ -z "${ROWAN_GOLDEN:-}" ] && [ -d "$prebuilt/golden" ] && export ROWAN_GOLDEN=$prebuilt/golden
  grep -q '^cudnn' "$prebuilt/contents.txt" 2>/dev/null && cudnn=1
  grep -q '^nccl' "$prebuilt/contents.txt" 2>/dev/null && nccl=1
  tests=1
  return 0
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
cudnn= nccl= tests=  # tests: the folder must have the test programs

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
  check 60 configure cmake -B $build -DROWAN_CUDA=ON -DROWAN_TESTS=$with_tests \
    -DCMAKE_CUDA_ARCHITECTURES="${capability/./}" ${options[@]+"${options[@]}"} || return
  [ $with_tests = ON ] && targets+=(gpu_backend_tests gpu_golden_tests)
  grep -qE '^NCCL_LIBRARY:.*=/' $build/CMakeCache.txt && [ $with_tests = ON ] && targets+=(gpu_nccl_tests)
  check 60 build cmake --build $build -j "$(nproc)" --target "${targets[@]}" || return
  use_build
}
