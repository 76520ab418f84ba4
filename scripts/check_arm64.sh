#!/usr/bin/env bash
# Compiles kernels/cpu, the model and their tests with a cross compiler for arm64, and runs the tests under user-mode
# emulation.
#
#   scripts/check_arm64.sh [FILTER]
#
# FILTER is a GoogleTest filter (default: all tests but the largest). JOBS is the number of compilers that run at once
# (default: one per core).
set -euo pipefail
cd "$(dirname "$0")/.."

build=build-arm64 compiler=aarch64-linux-gnu-g++ emulator=qemu-aarch64
scripts/setup.sh arm64

# The headers of fmt and nlohmann-json are the same for every processor. They are linked into a folder of their own,
# because the compiler must not find any other header of this machine.
mkdir -p $build/include
for name in fmt nlohmann; do ln -sfn /usr/include/$name $build/include/$name; done
googletest=/usr/src/googletest/googletest

common="-std=c++20 -Wall -Wextra -Werror -fopenmp -DFMT_HEADER_ONLY -isystem $build/include -isystem $googletest/include -I. -Isrc -Itests"
common+=" -DROWAN_SOURCE_DIR=\\\"$PWD\\\""
for name in BINARY MPIRUN VERSION COMMIT; do common+=" -DROWAN_$name=\\\"\\\""; done
kernels="-O3 -fassociative-math -fno-signed-zeros -fno-trapping-math -fno-math-errno"
kernels+=" -DROWAN_CPU_FACTORY=rowan_cpu_backend_baseline -DROWAN_CPU_LEVEL=\\\"baseline\\\""

{
  echo "builddir = $build"
  echo "rule compile"
  echo "  command = $compiler \$flags -MMD -MF \$out.d -c \$in -o \$out"
  echo "  depfile = \$out.d"
  echo "  description = compiling \$in"
  echo "rule link"
  echo "  command = $compiler -static -fopenmp \$in -o \$out"
  echo "  description = linking \$out"
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
  add "$common -O1" kernels/*.cpp kernels/dry/*.cpp src/base/*.cpp src/model/*.cpp
  add "$common -O1" tests/paths.cpp tests/backend/*.cpp tests/golden/cpu_factory.cpp tests/golden/test_models.cpp
  add "$common -O1 -w -I$googletest" $googletest/src/gtest-all.cc $googletest/src/gtest_main.cc
  echo "build $build/arm64_tests: link$objects"
} >$build/build.ninja

ninja -f $build/build.ninja -j "${JOBS:-$(nproc)}" $build/arm64_tests
# The tests that the default filter leaves out take minutes under emulation.
$emulator $build/arm64_tests --gtest_brief=1 --gtest_filter="${1:--LargeProducts*:Dtypes/LargeProducts*:dtypes/LargeProducts*:*VeryWide*}"
