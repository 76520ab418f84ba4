#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds Rowan with CUDA, runs every check that needs the GPU, and measures.
#
#   scripts/gpu_check.sh [--out FOLDER] [--only PART,...] [--debs FOLDER]
#
#   --out    where logs, table.txt and results.json go (default: runs/gpu_check)
#   --only   some of the parts, in this order: build suite golden repeat compare ranks sanitizer step kernels optimizer
#            quickstart; "check" and "bench" name those before and those from step on. A build that is there is used.
#   --debs   Debian or Ubuntu packages (.deb) to unpack, without root, where libraries are missing (default: .deb if it
#            is there): libfmt-dev libfmt9 nlohmann-json3-dev libcli11-dev libpcre2-dev libpcre2-8-0 libzstd-dev
#            libzstd1 zlib1g-dev zlib1g libgtest-dev libdnnl-dev libdnnl2 pkgconf pkgconf-bin libpkgconf3
#            (apt-get download fetches them)
#
# cuDNN's attention is checked and timed beside ours where cuDNN is (CUDNN_HOME, or CUDA's folder) and the headers of its
# frontend are: CUDNN_FRONTEND_HOME, or .cudnn_frontend/include (from github.com/NVIDIA/cudnn-frontend or PyPI's
# nvidia-cudnn-frontend). ROWAN_GOLDEN names a folder with more golden cases. Parts whose tools are missing are skipped
# and say so.
# Exit code: 0 all well, 1 a check failed, 2 nothing could be run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
refuse() { echo "gpu_check: $*" >&2; exit 2; }

checks="suite golden repeat compare ranks sanitizer" benches="step kernels optimizer quickstart"
out=runs/gpu_check parts="build $checks $benches" debs=
[ -d .deb ] && debs=.deb
while [ $# -gt 0 ]; do
  case $1 in
    --out | --only | --debs) [ $# -gt 1 ] || refuse "$1 needs a value" ;;&
    --out) out=$2 ;;
    --only) parts=" ${2//,/ } " parts=${parts/ check / $checks } parts=${parts/ bench / $benches } ;;
    --debs) debs=$2 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) refuse "$1 is no option; --out, --only, --debs" ;;
  esac
  shift 2
done
for part in $parts; do
  [[ " build $checks $benches " == *" $part "* ]] ||
    refuse "--only: $part is no part; build $checks $benches check bench"
done
wanted() { [[ " $parts " == *" $1 "* ]]; }

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1)
[ -n "$capability" ] || refuse "nvidia-smi finds no GPU"
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
export PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
command -v nvcc >/dev/null || refuse "no nvcc; install the CUDA toolkit or set CUDA_HOME"

failed=0 rows=() json=() figures=()
record() {  # NAME STATE SECONDS
  rows+=("$(printf '%-36s %-8s %5s s' "$1" "$2" "$3")")
  json+=("$(printf '    {"check": "%s", "state": "%s", "seconds": %s}' "$1" "$2" "$3")")
}
skip() { echo "gpu_check: $1: $2" >&2; record "$1" skipped 0; }
check() {  # NAME COMMAND...
  local name=$1 start=$SECONDS state=ok
  shift
  echo "gpu_check: $name" >&2
  "$@" >"$out/$name.log" 2>&1 </dev/null || { state=FAILED failed=1; tail -5 "$out/$name.log" >&2; }
  record "$name" "$state" $((SECONDS - start))
  [ "$state" = ok ]
}
finish() {
  {
    printf '{\n  "gpu": "%s",\n  "compute_capability": "%s",\n  "checks": [\n' "$gpu" "$capability"
    printf '%s\n' "${json[@]}" | sed '$!s/$/,/'
    printf '  ],\n  "benches": [\n'
    for file in ${figures[@]+"${figures[@]}"}; do cat "$file"; [ "$file" = "${figures[-1]}" ] || echo ,; done
    printf '  ]\n}\n'
  } >"$out/results.json"
  { echo "$gpu (compute capability $capability)"; printf '%s\n' "${rows[@]}"; } | tee "$out/table.txt"
  exit $failed
}
trap 'echo "gpu_check: stopped" >&2; failed=1; finish' INT TERM

# Where the system has no NCCL, cuDNN or cuBLASLt, those of Python's packages serve: as folders of include/ and lib/,
# with the names that linkers look for.
build=build-gpu
from_python() {  # PACKAGE LIBRARY HEADERS
  local folder name=${2%%.so*} to=$PWD/$build/python/$1
  folder=$(python3 -c "import nvidia.$1; print(list(nvidia.$1.__path__)[0])" 2>/dev/null) || return
  [ -e "$folder/lib/$2" ] || return
  mkdir -p "$to/include" "$to/lib" && ln -sfn "$folder"/include/$3 "$to/include/" &&
    ln -sfn "$folder"/lib/"$name"* "$to/lib/" && ln -sfn "$folder/lib/$2" "$to/lib/$name.so" &&
    export LD_LIBRARY_PATH=$to/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} && python_library=$to
}
options=()
toolkit=$(readlink -f "$(command -v nvcc)") toolkit=${toolkit%/bin/*}
has_header() {
  local file
  for file in "$toolkit"/include/"$1" "$toolkit"/targets/*/include/"$1" /usr/include/"$1" /usr/include/*/"$1"; do
    [ -e "$file" ] && return
  done
  return 1
}
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

if wanted build; then
  if [ -n "$debs" ]; then
    unpacked=$PWD/$build/debs libraries=$unpacked/usr/lib/$(uname -m)-linux-gnu
    mkdir -p "$unpacked"
    for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$unpacked" || refuse "$deb: not a package"; done
    export PKG_CONFIG_SYSROOT_DIR=$unpacked PKG_CONFIG_LIBDIR=$libraries/pkgconfig:$unpacked/usr/share/pkgconfig
    export PATH=$PATH:$unpacked/usr/bin LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    options+=(-DCMAKE_PREFIX_PATH="$unpacked/usr" -DCMAKE_BUILD_RPATH="$libraries")
  fi
  [ -d .cudnn_frontend ] && export CUDNN_FRONTEND_HOME=${CUDNN_FRONTEND_HOME:-$PWD/.cudnn_frontend}
  tests=ON
  [ -e /usr/include/gtest/gtest.h ] || [ -e "$build/debs/usr/include/gtest/gtest.h" ] || [ -n "${GTEST_ROOT:-}" ] ||
    tests=OFF
  command -v ninja >/dev/null && options+=(-G Ninja)
  check configure cmake -B $build -DROWAN_CUDA=ON -DROWAN_TESTS=$tests -DCMAKE_CUDA_ARCHITECTURES="${capability/./}" \
    ${options[@]+"${options[@]}"} || finish
  targets=(rowan)
  [ $tests = ON ] && targets+=(gpu_backend_tests gpu_golden_tests)
  grep -qE '^NCCL_LIBRARY:.*=/' $build/CMakeCache.txt && [ $tests = ON ] && targets+=(gpu_nccl_tests)
  check build cmake --build $build -j "$(nproc)" --target "${targets[@]}" || finish
fi
program=$build/rowan suite=$build/tests/gpu/gpu_backend_tests golden=$build/tests/gpu/gpu_golden_tests
nccl_tests=$build/tests/gpu/gpu_nccl_tests
[ -x $program ] || refuse "$program is not there: run the part build first"
limit="timeout 400" rowan="timeout 400 $program"  # nothing may hang

cudnn= no_cudnn="built without cuDNN or its frontend's headers"
[ "$(grep -cE '^CUDNN_(INCLUDE|LIBRARY|FRONTEND_INCLUDE):.*=/' $build/CMakeCache.txt)" = 3 ] && cudnn=1

for part in suite golden; do
  wanted $part || continue
  if [ -x "${!part}" ]; then check $part $limit "${!part}" --gtest_brief=1; else skip $part "built without GoogleTest"; fi
done

if wanted suite; then
  if [ -n "$cudnn" ] && [ -x $suite ]; then
    check suite_cudnn env ROWAN_TEST_CUDNN=1 $limit $suite --gtest_brief=1 --gtest_filter='*Attention*'
  else
    skip suite_cudnn "$no_cudnn"
  fi
fi

# A short run of the quickstart's model; what follows the name goes to rowan train.
short() {  # NAME OPTION...
  local name=$1
  shift
  rm -rf "$out/runs/$name" && mkdir -p "$out/runs"
  [ -f data/tales/validation.bin ] || $rowan tales --out data/tales || return
  ${launcher:-} $rowan train configs/quickstart.json --set "run.dir=$out/runs/$name" --set device=cuda \
    --set batch.micro_batch=4 --set run.steps=20 --set schedule.warmup_steps=2 --set run.log_every=1 \
    --set run.eval_every=0 --set run.sample_tokens=0 "$@" 2>&1 | tee "$out/runs/$name.log"
}
same_bits() {  # NAME NAME
  local a b
  a=$(ls -d "$out/runs/$1"/checkpoints/step_*) && b=$(ls -d "$out/runs/$2"/checkpoints/step_*) || return
  cmp "$a/model.safetensors" "$b/model.safetensors" && cmp "$a/optimizer.safetensors" "$b/optimizer.safetensors"
}
losses() { sed -n 's/.*"loss": *\([0-9.e+-]*\).*/\1/p' "$out/runs/$1/metrics.jsonl" | grep .; }  # NAME
close_losses() {  # NAME NAME TOLERANCE
  local a b
  a=$(losses "$1") && b=$(losses "$2") || return
  paste <(echo "$a") <(echo "$b") | awk -v tolerance="$3" '
    NF != 2 || !($1 > 0 && $2 > 0) { print "no two losses:", $0; bad = 1; exit }
    { d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (d > worst) worst = d; ++rows }
    END { printf "losses of %d steps differ by at most %.2g of their value, allowed %.2g\n", rows, worst, tolerance
          exit !(rows > 0 && !bad && worst <= tolerance) }'
}
repeat_part() {
  short first --set precision=bf16 && short second --set precision=bf16 && same_bits first second &&
    ROWAN_CUDA_GRAPHS=1 short graphs --set precision=bf16 && same_bits first graphs
}
cudnn_part() {
  local options="--set precision=bf16 --set attention=cudnn"
  short cudnn $options && short cudnn_again $options && same_bits cudnn cudnn_again &&
    ROWAN_CUDA_GRAPHS=1 short cudnn_graphs $options && same_bits cudnn cudnn_graphs &&
    short ours --set precision=bf16 && close_losses cudnn ours 2e-2
}
compare_part() {  # PRECISION TOLERANCE
  short "cuda_$1" --set "precision=$1" && short "cpu_$1" --set "precision=$1" --set device=cpu &&
    close_losses "cuda_$1" "cpu_$1" "$2"
}
ranks_part() {  # NAME COMMUNICATOR LAUNCHER...
  local name=$1 communicator=$2
  shift 2
  launcher="$*" ROWAN_COMMUNICATOR=$communicator short "$name" --set precision=fp32 &&
    grep -i "; $communicator" "$out/runs/$name.log" && short alone --set precision=fp32 && close_losses "$name" alone 1e-3
}
if wanted repeat; then
  check two_runs_and_graphs_same_bits repeat_part
  if [ -n "$cudnn" ]; then check cudnn_same_bits_and_near_ours cudnn_part; else skip cudnn_same_bits "$no_cudnn"; fi
fi
if wanted compare; then
  check fp32_against_cpu compare_part fp32 1e-3
  check bf16_against_cpu compare_part bf16 2e-2
fi
if wanted ranks; then
  if grep -qE '^NCCL_LIBRARY:.*=/' $build/CMakeCache.txt; then
    check nccl_1_rank ranks_part nccl nccl
    if [ -x $nccl_tests ]; then
      check nccl_collectives env ROWAN_COMMUNICATOR=nccl $limit $nccl_tests --gtest_filter='Comm*:Agreement*:WholeTensors*'
    else
      skip nccl_collectives "built without GoogleTest"
    fi
  else
    skip nccl_1_rank "built without NCCL"
  fi
  if command -v mpirun >/dev/null && ldd $program | grep -q libmpi; then
    check mpi_2_ranks_one_gpu ranks_part mpi mpi mpirun --allow-run-as-root --oversubscribe -n 2
  else
    skip mpi_2_ranks_one_gpu "no MPI"
  fi
fi

if wanted sanitizer; then
  if [ ! -x $suite ] || ! command -v compute-sanitizer >/dev/null; then
    skip sanitizer "needs GoogleTest and compute-sanitizer"
  else
    # All at once: each leaves the GPU mostly idle. A refused allocation would count as an error.
    start=$SECONDS tools="memcheck racecheck synccheck initcheck"
    for tool in $tools; do
      timeout 400 compute-sanitizer --tool $tool --error-exitcode 1 $suite --gtest_brief=1 \
        --gtest_filter='-*Stochastic*:*SurvivesLarge*:*VeryWide*:*NoMachineHas*' >"$out/$tool.log" 2>&1 </dev/null &
      declare "job_$tool=$!"
    done
    for tool in $tools; do
      job=job_$tool state=ok
      wait "${!job}" || { state=FAILED failed=1; tail -5 "$out/$tool.log" >&2; }
      record "sanitizer_$tool" $state $((SECONDS - start))
    done
  fi
fi

value() { sed -n "s/^ *\"$2\": *\"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$out/$1.json" | head -1; }  # BENCH KEY
bench() {  # NAME COMMAND...
  local name=$1
  shift
  check "$name" $rowan bench "$@" --device cuda --json "$out/$name.json" && figures+=("$out/$name.json")
}
note() { rows+=("  $*"); }
step() {  # MODEL BATCH SEQ OPTION...
  local name="step_$1_T$3${5:+_$5}" model=configs/models/$1.json batch=$2 seq=$3
  shift 3
  [ -f "$model" ] || { skip "$name" "no $model"; return; }
  bench "$name" step --precision bf16 --steps 20 --model "$model" --batch "$batch" --seq "$seq" "$@" || return
  note "$(printf '%.0f tokens/s, MFU %.3f with causal attention, %.3f with full' "$(value "$name" tokens_per_second)" \
    "$(value "$name" mfu_causal)" "$(value "$name" mfu_full)")"
}
if wanted step; then
  bench products_and_copy gemm && note "$(sed -n '$p' "$out/products_and_copy.log")" "bf16 products" \
    "$(awk '$1 == "product" {print $6, $7}' "$out/products_and_copy.log" | tail -1)"
  step gpt2_124m 64 1024
  if [ -f "$out/step_gpt2_124m_T1024.json" ]; then
    export ROWAN_CUDA_GRAPHS=1
    check step_gpt2_124m_graphs $rowan bench step --device cuda --precision bf16 --steps 20 --batch 64 --seq 1024 \
      --model configs/models/gpt2_124m.json --json "$out/step_gpt2_124m_graphs.json" &&
      note "$(printf '%.0f tokens/s with CUDA graphs' "$(value step_gpt2_124m_graphs tokens_per_second)")"
    unset ROWAN_CUDA_GRAPHS
  fi
  step llama_130m 256 256
  step llama_130m 64 1024
  step llama_350m 64 1024
  step smollm2_135m 32 2048
  for model in gpt2_124m llama_350m; do
    step $model 64 1024 --optimizer muon && plain=step_${model}_T1024 &&
      note "$(awk "BEGIN { print $(value ${plain}_muon seconds) / $(value $plain seconds) }") of the step with AdamW"
  done
  if [ -n "$cudnn" ]; then step gpt2_124m 64 1024 --attention cudnn; else skip step_cudnn "$no_cudnn"; fi
fi
if wanted kernels; then
  for model in gpt2_124m llama_130m; do
    bench "kernels_$model" kernels --precision bf16 --batch 64 --seq 1024 --model "configs/models/$model.json" \
      --recipe adamw --recipe rmnp --recipe nora --recipe muon && rows+=("$(sed 's/^/  /' "$out/kernels_$model.log")")
  done
  bench kernels_newton_schulz kernels --precision bf16 --batch 4 --seq 1024 --model configs/models/llama_350m.json \
    --recipe muon && rows+=("$(grep -E 'ceilings|matmul' "$out/kernels_newton_schulz.log")")
  if [ -n "$cudnn" ]; then
    bench kernels_cudnn kernels --precision bf16 --batch 64 --seq 1024 --model configs/models/gpt2_124m.json \
      --recipe adamw --attention cudnn && rows+=("$(grep attention "$out/kernels_cudnn.log")")
  else
    skip kernels_cudnn "$no_cudnn"
  fi
fi
if wanted optimizer; then
  for model in llama_130m llama_350m; do
    bench "optimizers_$model" optimizer --steps 20 --model "configs/models/$model.json" &&
      rows+=("$(sed 's/^/  /' "$out/optimizers_$model.log")")
  done
fi
if wanted quickstart; then
  rm -rf "$out/runs/quickstart"
  [ -f data/tales/validation.bin ] || $rowan tales --out data/tales
  check quickstart $rowan train configs/quickstart.json --set "run.dir=$out/runs/quickstart" --set device=cuda \
    --set precision=bf16 && note "$(grep -h '^validation loss' "$out/quickstart.log")"
fi
finish
