#!/usr/bin/env bash
# Compiles kernels/cpu, the model and their tests with a cross compiler for arm64, and runs the tests under user-mode
# emulation. Needs g++-aarch64-linux-gnu, qemu-user, libgtest-dev, libfmt-dev and nlohmann-json3-dev (Debian's names).
#
#   scripts/check_arm64.sh [FILTER]
#
# FILTER is a GoogleTest filter. JOBS is the number of compilers that run at once (default: one per core).
set -euo pipefail
cd "$(dirname "$0")/.."

build=build-arm64 compiler=aarch64-linux-gnu-g++ emulator=qemu-aarch64
for tool in $compiler $emulator ninja; do
  command -v $tool >/dev/null || { echo "check_arm64: $tool is missing; apt-get install g++-aarch64-linux-gnu qemu-user" >&2; exit 2; }
done

# The headers of fmt and nlohmann-json are the same for every processor. They are linked into a folder of their own,
# because the compiler must not find any other header of this machine.
mkdir -p $build/include
for name in fmt nlohmann; do ln -sfn /usr/include/$name $build/include/$name; done
googletest=/usr/src/googletest/googletest

common="-std=c++20 -Wall -Wextra -Werror -fopenmp -DFMT_HEADER_ONLY -isystem $build/include -isystem $googletest/include -I. -Isrc -Itests"
common+=" -DROWAN_SOURCE_DIR=\\\"$PWD\\\" -DROWAN_BINARY=\\\"\\\" -DROWAN_MPIRUN=\\\"\\\""
kernels="-O3 -fassociative-math -fno-signed-zeros -fno-trapping-math -fno-math-errno"
kernels+=" -DROWAN_CPU_FACTORY=rowan_cpu_backend_baseline -DROWAN_CPU_LEVEL=\\\"baseline\\\""

{
  echo "rule compile"
  echo "  command = $compiler \$flags -MMD -MF \$out.d -c \$in -o \$out"
  echo "  depfile = \$out.d"
  echo "rule link"
  echo "  command = $compiler -static -fopenmp \$in -o \$out"
  objects=
  add() {  # FLAGS FILES...
    local flags=$1 file
    shift
    for file in "$@"; do
      echo "build $build/${file#/}.o: compile $file"
      echo "  flags = $flags"
      objects+=" $build/${file#/}.o"
    done
  }
  add "$common $kernels" kernels/cpu/*.cpp
  add "$common -O1" kernels/*.cpp src/base/*.cpp src/model/*.cpp
  add "$common -O1" tests/backend/*.cpp tests/golden/cpu_factory.cpp tests/golden/test_models.cpp
  add "$common -O1 -w -I$googletest" $googletest/src/gtest-all.cc $googletest/src/gtest_main.cc
  echo "build $build/tests: link$objects"
} >$build/build.ninja

ninja -f $build/build.ninja -j "${JOBS:-$(nproc)}" $build/tests
# Large products take minutes under emulation.
$emulator $build/tests --gtest_brief=1 --gtest_filter="${1:--LargeProducts*:Dtypes/LargeProducts*:dtypes/LargeProducts*:*VeryWide*}"
