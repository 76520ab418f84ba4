#!/usr/bin/env bash
# Fuzzes the code that reads files, with clang's libFuzzer under ASan and UBSan:
#   scripts/fuzz.sh [SECONDS [FAMILY...]]        (SECONDS per family of inputs; default: 60, every family)
# Corpora grow in build-fuzz/corpus/FAMILY. A failing input is left in build-fuzz as FAMILY-*, such as FAMILY-crash-*.
# At the end it prints all families and what each reads.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang++ >/dev/null || { echo "fuzz: needs clang++ with libFuzzer (Debian: clang, libclang-rt-dev)" >&2; exit 2; }
seconds=${1:-60}
shift || true
cmake -B build-fuzz $([ -f build-fuzz/CMakeCache.txt ] || ! command -v ninja >/dev/null || echo -G Ninja) \
  -DROWAN_TESTS=ON -DROWAN_UNITY=ON -DROWAN_CUDA=OFF -DROWAN_SANITIZE=fuzzer-no-link,address,undefined \
  -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Fuzz "-DCMAKE_CXX_FLAGS_FUZZ=-O1 -fno-sanitize-recover=undefined -Wno-pass-failed" >/dev/null
cmake --build build-fuzz -j "$(nproc)" --target fuzz_programs
[ $# -gt 0 ] || set -- $(cd build-fuzz/tests/fuzz/libfuzzer && find . -name 'fuzz_*' -type f -executable -printf '%f\n' | sed 's/^fuzz_//')
for family in "$@"; do
  mkdir -p "build-fuzz/corpus/$family"
  echo "fuzz: $family, $seconds s"
  build-fuzz/tests/fuzz/libfuzzer/fuzz_"$family" -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=4096 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="build-fuzz/$family-" "build-fuzz/corpus/$family"
done
echo "fuzz: the families, and what each reads:"
build-fuzz/tests/fuzz/libfuzzer/fuzz_"$1" --families
