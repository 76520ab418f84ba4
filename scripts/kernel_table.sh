#!/usr/bin/env bash
# Registers and spills of every GPU kernel, as reported by ptxas. Compiles kernels/cuda for sm_80, sm_90 and sm_100.
#
#   scripts/kernel_table.sh            prints the table
#   scripts/kernel_table.sh --check    compares the table with scripts/gpu/kernels.txt
#   scripts/kernel_table.sh --write    writes the table to scripts/gpu/kernels.txt
#
# --check fails if a kernel spills more bytes or takes more registers than the file says, or if the file and the source
# do not have the same kernels. The counts depend on the compiler, so nothing is compared if another release of nvcc
# wrote the file.
# JOBS is the number of compilers that run at once (default: one per core).
set -euo pipefail
cd "$(dirname "$0")/.."
known=scripts/gpu/kernels.txt
case ${1:-} in
  "" | --check | --write) ;;
  *) echo "kernel_table: found '$1', expected --check, --write or nothing" >&2; exit 2 ;;
esac
command -v nvcc >/dev/null || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
command -v nvcc >/dev/null || { echo "kernel_table: no nvcc; install the CUDA toolkit or set CUDA_HOME" >&2; exit 2; }
release=$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
if [ "${1:-}" = --check ] && ! grep -q "^# nvcc $release:" $known; then
  echo "kernel_table: $known was not written under nvcc $release: not compared"
  exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for architecture in 80 90 100; do
  for file in kernels/cuda/*.cu; do echo "sm_$architecture $file $folder/$(basename "$file" .cu)"; done
done | xargs -P "${JOBS:-$(nproc)}" -L 1 sh -c \
  'nvcc -std=c++17 -Isrc -I. -arch="$0" -Xptxas -v -cubin "$1" -o "$2.$0.cubin" >"$2.$0.txt" 2>&1 || { cat "$2.$0.txt" >&2; exit 1; }'

{
  echo "# Registers of every GPU kernel, and bytes that it spills after a +. scripts/kernel_table.sh writes this file."
  echo "# nvcc $release: file, sm_80, sm_90, sm_100, kernel"
  for report in "$folder"/*.txt; do sed "s|^|$(basename "$report" .txt) |" "$report"; done | c++filt | awk '
    { split($1, place, ".") }  # FILE.ARCHITECTURE
    /Compiling entry function/ {
      kernel = $0
      sub(/.*entry function ./, "", kernel); sub(/. for .sm_[0-9]+.$/, "", kernel); sub(/^void /, "", kernel)
      gsub(/\(rowan::[A-Za-z]+\)|rowan::|\(anonymous namespace\)::|cuda::/, "", kernel); sub(/\(.*/, "", kernel)
      spills = 0
    }
    match($0, /[0-9]+ bytes spill stores/) { spills += substr($0, RSTART) }
    match($0, /Used [0-9]+ registers/) {
      names[place[1] " " kernel] = 1
      cell[place[1] " " kernel, place[2]] = substr($0, RSTART + 5) + 0 (spills ? "+" spills : "")
    }
    END {
      for (name in names) {
        at = index(name, " ")
        printf "%-19s %7s %7s %7s  %s\n", substr(name, 1, at - 1), cell[name, "sm_80"], cell[name, "sm_90"],
               cell[name, "sm_100"], substr(name, at + 1)
      }
    }' | LC_ALL=C sort
} >"$folder/table"
[ "$(wc -l <"$folder/table")" -gt 2 ] || { echo "kernel_table: ptxas reported no kernel" >&2; exit 1; }

case ${1:-} in
  "") cat "$folder/table" ;;
  --write) cp "$folder/table" $known ;;
  --check) awk -v known=$known '
    function fault(text) { print "kernel_table: " text > "/dev/stderr"; bad = 1 }
    /^#/ { next }
    { name = $0; for (i = 0; i < 4; ++i) sub(/^[^ ]+ +/, "", name); name = $1 " " name }
    FILENAME == known { for (i = 0; i < 3; ++i) allowed[name, i] = $(i + 2); listed[name] = 1; next }
    { ++kernels }
    !(name in listed) { fault(name ": not in " known "; scripts/kernel_table.sh --write adds it"); next }
    {
      delete listed[name]
      split("sm_80 sm_90 sm_100", architectures)
      for (i = 0; i < 3; ++i) {
        split($(i + 2), now, "+"); split(allowed[name, i], before, "+")
        if (now[2] + 0 > before[2] + 0)
          fault(architectures[i + 1] ": " name ": found " now[2] " bytes spilled, expected at most " before[2] + 0)
        else if (now[1] + 0 > before[1] + 0)
          fault(architectures[i + 1] ": " name ": found " now[1] " registers, expected at most " before[1])
      }
    }
    END {
      for (name in listed) fault(name ": in " known ", but not in the source; scripts/kernel_table.sh --write drops it")
      if (!bad) print "kernel_table: " kernels " kernels for 3 architectures are as in " known
      exit bad
    }' $known "$folder/table" ;;
esac
