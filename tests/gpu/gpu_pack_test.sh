#!/usr/bin/env bash
# Tests scripts/gpu_pack.sh with fake versions of nvcc and cmake. The fake cmake makes a small program, which needs a
# library of CUDA, NCCL, and a library that needs another one.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "gpu_pack_test: $*" >&2; exit 1; }
mkdir -p "$folder/checkout/tests/golden/data" "$folder/checkout/more/models" "$folder/bin" "$folder/lib"
cp -r "$source/scripts" "$folder/checkout/"
cd "$folder/checkout"
touch tests/golden/data/optimizers.json more/models/batch

library() {  # FILE SOURCE OPTION...
  cc -shared -fPIC -x c - -Wl,-soname,"$1" -o "$folder/lib/$1" -L"$folder/lib" "${@:3}" <<<"$2"
}
library libcudart.so.13 'int cuda_call(int* x) { return 0; }'
library libnccl.so.2 'int ncclGetVersion(int* x) { return 0; } const char* ncclGetErrorString(int x) { return "NCCL"; }'
library libinner.so.1 'int inner(int* x) { return 0; }'
cat >"$folder/bin/nvcc" <<'FALSE'
#!/usr/bin/env bash
printf 'compute_%s\n' 80 89 90 100
echo '--compress-mode [default,size]   (-compress-mode)'
FALSE
cat >"$folder/bin/cmake" <<'FALSE'
#!/usr/bin/env bash
echo "$*" >>"$PWD/calls"
if [ "$1" = -B ]; then
  mkdir -p build-pack/tests/gpu
  echo "NCCL_LIBRARY:FILEPATH=/x/libnccl.so" >build-pack/CMakeCache.txt
  [[ "$*" != *EXE_LINKER_FLAGS=-Wl,--disable-new-dtags*SHARED_LINKER_FLAGS=-Wl,--disable-new-dtags* ]] || touch build-pack/old_tags
else
  options=(-L"$LD_LIBRARY_PATH" -Lbuild-pack -Wl,-rpath-link,"$LD_LIBRARY_PATH" '-Wl,-rpath,$ORIGIN/lib'
    "-Wl,--$([ -e build-pack/old_tags ] && echo disable || echo enable)-new-dtags")
  echo 'int inner(int*), cuda_call(int*), ncclGetVersion(int*); const char* ncclGetErrorString(int);
        int fine(int* x) { return inner(x) + cuda_call(x); }
        const char* says(int* x) { return ncclGetErrorString(ncclGetVersion(x)); }' |
    cc -shared -fPIC -x c - -Wl,-soname,librowan_core.so -o build-pack/librowan_core.so "${options[@]}" -l:libinner.so.1 \
      -l:libcudart.so.13 -l:libnccl.so.2
  for program in rowan tests/gpu/gpu_backend_tests tests/gpu/gpu_golden_tests tests/gpu/gpu_nccl_tests; do
    echo 'int fine(int*), puts(const char*); const char* says(int*);
          int main(int n, char** x) { return n > 1 ? puts(says(&n)) < 0 : fine(&n); }' |
      cc -x c - -o build-pack/$program "${options[@]}" -lrowan_core
  done
fi
FALSE
chmod +x "$folder"/bin/*
export PATH=$folder/bin:$PATH
unset ROWAN_GOLDEN
pack() { LD_LIBRARY_PATH=$folder/lib scripts/gpu_pack.sh "$@" >log 2>&1; }

ROWAN_GOLDEN=more:nowhere pack || { cat log; fail "failed"; }
for argument in -DDNNL_LIBRARY= -DCMAKE_CUDA_FLAGS=--compress-mode=size -DBUILD_SHARED_LIBS=ON "-DCMAKE_CUDA_ARCHITECTURES=80-real;89-real;90-real;100-real"; do
  grep -qF -- " $argument" calls || { cat calls; fail "cmake was not given $argument"; }
done
for place in rowan gpu_backend_tests gpu_golden_tests gpu_nccl_tests lib/librowan_core.so lib/libinner.so.1 \
  golden/0/optimizers.json golden/1/models/batch; do
  [ -e gpu_pack/$place ] || fail "the pack has no $place"
done
[ "$(ls gpu_pack/lib | paste -sd' ')" = "libinner.so.1 librowan_core.so no_nccl" ] || fail "the pack has other libraries: $(ls gpu_pack/lib)"
grep -qE '^glibc 2\.[0-9]+$' gpu_pack/contents.txt && grep -qx nccl gpu_pack/contents.txt || fail "contents: $(cat gpu_pack/contents.txt)"

# On another machine the pack needs the library of CUDA only. Without NCCL the programs start, and say what is missing.
mv gpu_pack "$folder/moved"
mkdir "$folder/cuda" && mv "$folder/lib/libcudart.so.13" "$folder/cuda/"
said=$(LD_LIBRARY_PATH=$folder/cuda:$folder/moved/lib/no_nccl "$folder/moved/rowan" call 2>&1) || fail "the moved program fails: $said"
[ "$said" = "this machine has no libnccl.so.2" ] || fail "the moved program says: $said"
mv "$folder/cuda/libcudart.so.13" "$folder/lib/"

: >calls
pack other --arch 90,120 || { cat log; fail "failed with an architecture"; }
grep -qF -- "-DCMAKE_CUDA_ARCHITECTURES=90-real -D" calls || fail "cmake was given other architectures: $(cat calls)"
grep -qx "architectures 90-real" other/contents.txt || fail "contents: $(cat other/contents.txt)"
# A pack that is too large is refused in one line, and the old one stays.
truncate -s +70M "$folder/lib/libinner.so.1"
if pack other --arch 90; then fail "made a pack of more than 70 MiB"; fi
[ "$(wc -l <log)" = 1 ] && grep -q "other would have 71 MiB, expected at most 60" log || { cat log; fail "no clear line"; }
[ -x other/rowan ] && [ ! -e other.part ] || fail "the old pack is damaged"
# A folder that gpu_pack did not write is refused before anything is built, and so is one that it would use meanwhile.
mkdir mine new.part && touch mine/work new.part/work
: >calls
for name in mine mine/ new . /; do
  code=0
  pack $name || code=$?
  [ $code = 2 ] && [ "$(wc -l <log)" = 1 ] && grep -q "which is no pack" log || { cat log; fail "$name: exit code $code, expected 2 and one line"; }
done
[ -e mine/work ] && [ -e new.part/work ] && [ ! -s calls ] || fail "a folder of another kind is not left alone"
truncate -s -70M "$folder/lib/libinner.so.1"
pack other/ || { cat log; fail "does not replace its own folder"; }
[ -x other/rowan ] && [ ! -e other.part ] || fail "the new pack is not in place"
for bad in "--arch" "--arch sm_90" "--arch 75" "--architecture 90"; do
  code=0
  pack $bad || code=$?
  [ $code = 2 ] && [ "$(wc -l <log)" = 1 ] || { cat log; fail "'$bad': exit code $code, expected 2 and one line"; }
done
echo "gpu_pack_test: passed"
