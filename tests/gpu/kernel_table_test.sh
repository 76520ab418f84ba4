#!/usr/bin/env bash
# Tests scripts/kernel_table.sh with a fake nvcc and a fake nvdisasm. --check must pass if the table is unchanged or if
# there are fewer spills, and must fail for more spills or registers, for a new kernel, and for a kernel that is missing.
# Under another release of nvcc, --check must compare nothing. --loops must count the instructions of loops. The script
# must refuse an unknown option.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "kernel_table_test: $*" >&2; exit 1; }
mkdir -p "$folder/scripts/gpu" "$folder/kernels/cuda" "$folder/bin"
cp "$source/scripts/kernel_table.sh" "$folder/scripts/"
touch "$folder"/kernels/cuda/{sums,attention_forward,attention_backward,loss}.cu
cd "$folder"
cat >bin/nvcc <<'FALSE'
#!/usr/bin/env bash
if [ "$1" = --version ]; then echo "Cuda compilation tools, release ${RELEASE:-13.0}, V1"; exit; fi
while [ $# -gt 0 ]; do
  case $1 in
    -arch=*) arch=${1#-arch=} ;;
    -o) echo "$file" >"$2"; shift ;;
    *.cu) file=$1 ;;
  esac
  shift
done
[ "$file" = kernels/cuda/sums.cu ] || exit 0
for kernel in ${KERNELS:-_ZN5rowan12_GLOBAL__N_110sum_kernelILi8EEEvPfPKfx}; do
  spills=0
  [ "$arch" != sm_90 ] || spills=${SPILLS:-0}
  echo "ptxas info    : Compiling entry function '$kernel' for '$arch'
ptxas info    : Function properties for $kernel
    0 bytes stack frame, $spills bytes spill stores, $spills bytes spill loads
ptxas info    : Used ${REGISTERS:-32} registers, used 1 barriers, 400 bytes cmem[0]"
done
FALSE
# The loop from .L_x_1 has 7 instructions. A branch can skip 2 of them, and the loop from .L_x_2 inside has 2 others.
cat >bin/nvdisasm <<'FALSE'
#!/usr/bin/env bash
case $(cat "$2") in
  *attention_forward.cu) name=_ZN5rowan4cuda12_GLOBAL__N_114forward_kernelILi64ELb0EEEvPf ;;
  *loss.cu) name=_ZN5rowan12_GLOBAL__N_120cross_entropy_kernelIfEEvPf ;;
  *) exit ;;
esac
echo "	.section	.text.$name
.text.$name:
        /*0000*/              @P3 BRA \`(.L_x_4) ;
.L_x_1:
        /*0010*/                   HMMA.16816.F32.BF16 R8, R4, R2, RZ ;
        /*0020*/                   MUFU.EX2 R1, R2 ;
        /*0030*/              @!P0 BRA \`(.L_x_3) ;
        /*0040*/                   FSETP.GT.AND P0, PT, R1, R2, PT ;
        /*0050*/                   IADD3 R1, R2, R3, RZ ;
.L_x_3:
        /*0060*/                   LDG.E.128 R4, desc[UR6][R6.64] ;
.L_x_2:
        /*0070*/                   IMAD R1, R2, R3, R4 ;
        /*0080*/              @P1 BRA \`(.L_x_2) ;
        /*0090*/              @P2 BRA \`(.L_x_1) ;
.L_x_4:
        /*00a0*/                   EXIT ;" | if [[ $name == *cross* ]]; then grep -v HMMA; else cat; fi
FALSE
chmod +x bin/nvcc bin/nvdisasm
export PATH=$folder/bin:$PATH
refused() {  # LINE NAME=VALUE...
  local line=$1
  shift
  ! env "$@" scripts/kernel_table.sh --check >out 2>&1 || fail "expected a failure with $*"
  [ "$(cat out)" = "kernel_table: $line" ] || { cat out >&2; fail "expected '$line'"; }
}
scripts/kernel_table.sh --write
grep -q '^sums  *32  *32  *32  sum_kernel<8>$' scripts/gpu/kernels.txt || { cat scripts/gpu/kernels.txt; fail "another table"; }
scripts/kernel_table.sh --check | grep -q ': 1 kernels for 3 architectures are as in ' || fail "its own table differs"
refused "sm_90: sums sum_kernel<8>: found 4 bytes spilled, expected at most 0" SPILLS=4
refused "sm_80: sums sum_kernel<8>: found 40 registers, expected at most 32
kernel_table: sm_90: sums sum_kernel<8>: found 40 registers, expected at most 32
kernel_table: sm_100: sums sum_kernel<8>: found 40 registers, expected at most 32" REGISTERS=40
RELEASE=13.1 SPILLS=4 scripts/kernel_table.sh --check | grep -q 'not compared' || fail "another compiler was compared"
refused "sums new: not in scripts/gpu/kernels.txt; scripts/kernel_table.sh --write adds it
kernel_table: sums sum_kernel<8>: in scripts/gpu/kernels.txt, but not in the source; scripts/kernel_table.sh --write drops it" \
  KERNELS=_Z3newv
SPILLS=4 scripts/kernel_table.sh --write
SPILLS=4 scripts/kernel_table.sh --check >out || fail "a known spill"
scripts/kernel_table.sh --check >out || fail "fewer spills than known"
scripts/kernel_table.sh --loops | grep -v '^#' | tr -s ' ' >out
diff out - <<'LOOPS' || fail "other loops"
attention_forward 7 5 1 1 1 0 0 2 forward_kernel<64, false>
loss 6 4 0 1 1 0 0 2 cross_entropy_kernel<float>
LOOPS
! scripts/kernel_table.sh --chek >out 2>&1 && grep -q "found '--chek'" out || fail "an unknown option"
