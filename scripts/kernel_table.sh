#!/usr/bin/env bash
# Registers and spills of every GPU kernel, as reported by ptxas. Compiles kernels/cuda for sm_80, sm_90 and sm_100.
# Or the instructions of loops, as listed by nvdisasm.
#
#   scripts/kernel_table.sh            prints the table
#   scripts/kernel_table.sh --check    compares the table with scripts/gpu/kernels.txt
#   scripts/kernel_table.sh --write    writes the table to scripts/gpu/kernels.txt
#   scripts/kernel_table.sh --loops    counts the instructions of the loops of attention and cross-entropy on sm_90
#
# --check fails if a kernel spills more bytes or takes more registers than the file says, or if the file and the source
# do not have the same kernels. The counts depend on the compiler, so nothing is compared if another release of nvcc
# wrote the file.
# JOBS is the number of compilers that run at once (default: one per core).
# --loops lists the loops with tensor-core instructions, or, in a kernel without them, the loops with at least half as
# many instructions as the largest. Instructions of an inner loop count only there. Kernels with dropout are left out.
# The column `always` leaves out blocks that a branch can skip, such as attention's masks, unless they have tensor-core
# instructions or copies to shared memory. The columns after it divide `always` by kind.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
known=scripts/gpu/kernels.txt
case ${1:-} in
  "" | --check | --write | --loops) ;;
  *) echo "kernel_table: found '$1', expected --check, --write, --loops or nothing" >&2; exit 2 ;;
esac
command -v nvcc >/dev/null || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
command -v nvcc >/dev/null || { echo "kernel_table: no nvcc; install the CUDA toolkit or set CUDA_HOME" >&2; exit 2; }
release=$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
if [ "${1:-}" = --check ] && ! grep -q "^# nvcc $release:" $known; then
  echo "kernel_table: $known was not written under nvcc $release: not compared"
  exit
fi
if [ "${1:-}" = --loops ]; then
  command -v nvdisasm >/dev/null || {
    echo "kernel_table: no nvdisasm in PATH; it comes with the CUDA toolkit or pip install nvidia-cuda-nvdisasm" >&2
    exit 2
  }
  architectures=90 files=$(ls kernels/cuda/{attention_forward,attention_backward,loss}.cu)
else
  architectures="80 90 100" files=$(ls kernels/cuda/*.cu)
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for architecture in $architectures; do
  for file in $files; do echo "sm_$architecture $file $folder/$(basename "$file" .cu)"; done
done | xargs -P "${JOBS:-$(nproc)}" -L 1 sh -c \
  'nvcc -std=c++17 -Isrc -I. -arch="$0" -Xptxas -v -cubin "$1" -o "$2.$0.cubin" >"$2.$0.txt" 2>&1 || { cat "$2.$0.txt" >&2; exit 1; }'

# Shortens the demangled name of a kernel to NAME<ARGUMENTS>.
short_name='
  function short_name(kernel) {
    sub(/^void /, "", kernel)
    gsub(/\(rowan::[A-Za-z]+\)|rowan::|\(anonymous namespace\)::|cuda::/, "", kernel); sub(/\(.*/, "", kernel)
    return kernel
  }'

if [ "${1:-}" = --loops ]; then
  echo "# nvcc $release: file, instructions of the loop: all, always, tensor cores, special functions, memory, integer,"
  echo "# float, other; kernel"
  for cubin in "$folder"/*.cubin; do
    nvdisasm -c "$cubin" | sed -n "s|^\.text\.\([^:]*\):\$|$(basename "$cubin" .sm_90.cubin) \1|p; /^\.L_/p; /^ *\/\*[0-9a-f]*\*\//p" | c++filt
  done | awk "$short_name"'
    function class(operation) {
      if (operation ~ /^H?MMA|^HGMMA/) return "tensor"
      if (operation ~ /^MUFU/) return "special"
      if (operation ~ /^(LD|ST|RED|ATOM)/) return "memory"
      if (operation ~ /^(U?IMAD\.(MOV|U32)$|FSEL)/) return "other"
      if (operation ~ /^F/) return "float"
      return operation ~ /^U?(I|LEA|SHF|LOP3|VI|SEL|PRMT)/ ? "integer" : "other"
    }
    # A loop is what lies between a backward branch and its target. Prints the loops of the kernel that ends here.
    function loops(  i, j, start, inner, largest, tensor, all) {
      for (i = 1; i <= count; ++i) if (target[i] in label) {
        if (label[target[i]] <= i) { ends[label[target[i]]] = i; continue }
        for (j = i + 1; j < label[target[i]]; ++j)
          if (operations[j] ~ /MMA|^LDGSTS/ || (target[j] in label && label[target[j]] <= j)) break
        if (j == label[target[i]]) while (--j > i) skipped[j] = 1
      }
      for (i = 1; i <= count; ++i) {
        inner = 0
        for (start in ends) if (start + 0 <= i && i <= ends[start] && start + 0 > inner) inner = start + 0
        if (!inner) continue
        if (!(i in skipped)) { ++in_loop[inner, class(operations[i])]; ++in_loop[inner, "always"] }
        if (++in_loop[inner, "all"] > largest) largest = in_loop[inner, "all"]
        if (in_loop[inner, "tensor"]) tensor = 1
      }
      for (start = 1; start <= count && kernel !~ /^[a-z_]+<[0-9]+, true/; ++start) if (start in ends) {
        all = in_loop[start, "all"]
        if (tensor ? !in_loop[start, "tensor"] : 2 * all < largest) continue
        printf "%-19s%5d", file, all
        for (i = 1; i <= 7; ++i) printf "%5d", in_loop[start, classes[i]]
        print "  " kernel
      }
      count = 0; delete target; delete label; delete ends; delete skipped; delete in_loop
    }
    BEGIN { split("always tensor special memory integer float other", classes) }
    /^\.L_/ { sub(/:.*/, ""); label[$0] = count + 1; next }
    !/^ / { loops(); file = $1; sub(/^[^ ]+ /, ""); kernel = short_name($0); next }
    {
      sub(/^ *\/\*[0-9a-f]*\*\/ */, ""); sub(/^@!?U?P[0-9T]+ +/, "")
      operations[++count] = $1
      if (/^BRA/ && match($0, /\.L_[A-Za-z0-9_]+/)) target[count] = substr($0, RSTART, RLENGTH)
    }
    END { loops() }'
  exit
fi

{
  echo "# Registers of every GPU kernel, and bytes that it spills after a +. scripts/kernel_table.sh writes this file."
  echo "# nvcc $release: file, sm_80, sm_90, sm_100, kernel"
  for report in "$folder"/*.txt; do sed "s|^|$(basename "$report" .txt) |" "$report"; done | c++filt | awk "$short_name"'
    { split($1, place, ".") }  # FILE.ARCHITECTURE
    /Compiling entry function/ {
      kernel = $0
      sub(/.*entry function ./, "", kernel); sub(/. for .sm_[0-9]+.$/, "", kernel)
      kernel = short_name(kernel)
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
    }' | sort
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
