#!/usr/bin/env bash
# Tests scripts/gpu_check.sh without a GPU, with fake versions of nvidia-smi, of other tools and of the programs that
# the script runs. The test checks the order of the script's parts, the time budget, the results after a kill during
# each part, the fallbacks, missing tools and libraries, and wrong options.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "gpu_check_test: $*" >&2; exit 1; }
cp -r "$source/scripts" "$folder/"
mkdir -p "$folder/configs" "$folder/bin" "$folder/tools" "$folder/gpu_pack/golden/0" "$folder/gpu_pack/lib/no_nccl"
cp -r "$source/configs/models" "$source/configs/quickstart.json" "$folder/configs/"
cd "$folder"

# The script finds only these tools and the fake ones, so that this machine's CUDA and MPI do not matter.
for tool in awk basename bash cat chmod cmp cp cut date dirname du env find grep gzip head ln ls mkdir mktemp mv nproc paste pkill printf \
  python3 readlink rm sed seq setsid sleep sort tail tar tee touch tr uname wc; do
  ln -s "$(command -v $tool)" tools/$tool
done
real_timeout=$(command -v timeout)
export real_timeout
# Every fake program starts with this. If its command line contains $HANG, it creates the file `hanging` and hangs. If
# the command line contains $BREAK, it fails.
cat >tools/fake <<'FALSE'
line="${0##*/} $*"
echo "$line" >>calls
if [ -n "${HANG:-}" ] && [[ "$line " == *"$HANG"* ]]; then
  while [ $# -gt 1 ]; do [ "$1" = --json ] && echo '{"rows": [1], "complete": false}' >"$2"; shift; done
  echo "[ RUN      ] Suite.Hangs"
  touch hanging
  exec sleep 600
fi
if [ -n "${BREAK:-}" ] && [[ "$line " == *"$BREAK"* ]]; then echo "broken on purpose"; exit 1; fi
FALSE
fake() { { printf '#!/usr/bin/env bash\n. fake\n' && cat; } >"$1" && chmod +x "$1"; }  # FILE, its commands on stdin
fake bin/nvidia-smi <<'FALSE'
case $* in
  *compute_cap*) echo "${CAPABILITY:-9.0}" ;;
  *timestamp*) echo $$ >clocks_process
    echo "timestamp, clocks.current.sm [MHz], clocks.current.memory [MHz], power.draw [W], temperature.gpu"
    echo "2026/01/01, 1980 MHz, 3201 MHz, 650.00 W, 60"; exec sleep 600 ;;
  *) echo "False GPU" ;;
esac
FALSE
# Notes the limit of each check. Ends at once what contains $CUT, as soon as it hangs.
cat >bin/timeout <<'FALSE'
#!/usr/bin/env bash
echo "$3 ${*:7}" >>limits
if [ -n "${CUT:-}" ] && [[ "$*" == *"$CUT"* ]]; then
  "${@:4}" &
  until [ -e hanging ]; do sleep 0.05; done
  kill $!
  exit 124
fi
exec "$real_timeout" "$@"
FALSE
# The libraries that a program needs are in the file `needs` beside it.
cat >bin/ldd <<'FALSE'
#!/usr/bin/env bash
IFS=:
while read -r library; do
  found="not found"
  for place in ${LD_LIBRARY_PATH:-}; do [ ! -e "$place/$library" ] || found=$place/$library; done
  echo "$library => $found"
done <"$(dirname "$1")/needs"
FALSE
printf '#!/usr/bin/env bash\necho "glibc ${GLIBC:-2.36}"\n' >bin/getconf
fake bin/ncu <<'FALSE'
# Measures each launch whose name matches the filter ::regex:EXPRESSION:N, if it is the Nth of its name.
while [ $# -gt 0 ]; do
  case $1 in --kernel-id) filter=${2#::regex:} ;; --log-file) file=$2 ;; esac
  shift
done
declare -A launches
echo '"ID","Kernel Name"' >"$file"
for name in gated_forward_kernel norm_forward_kernel forward_kernel activation_forward_kernel norm_forward_kernel \
  forward_kernel cross_entropy_kernel key_value_kernel norm_backward_kernel head_norm_backward_kernel \
  norm_backward_kernel adamw_kernel adamw_kernel; do
  [[ $name =~ ${filter%:*} ]] || continue
  launches[$name]=$((${launches[$name]:-0} + 1))
  [ ${launches[$name]} != "${filter##*:}" ] || echo "\"1\",\"$name\"" >>"$file"
done
FALSE
fake bin/compute-sanitizer <<<'echo "no error"'
fake bin/mpirun <<'FALSE'
while [ $# -gt 0 ] && [[ $1 != */rowan ]]; do shift; done
exec "$@"
FALSE
fake gpu_pack/rowan <<'FALSE'
case $1 in
  --version) missing=$(ldd "$0" | grep "not found" | head -1)
    [ -z "$missing" ] || { echo "cannot open ${missing%% *}" >&2; exit 127; }
    echo "rowan false" ;;
  tales) mkdir -p data/tales && touch data/tales/validation.bin ;;
  train) for word; do case $word in run.dir=*) dir=${word#*=} ;; esac; done
    mkdir -p "$dir/checkpoints/step_1"
    norm=2.5
    [[ $dir != *_cuda ]] || norm=${NORM:-2.5}
    {
      [[ "$*" != *norms_every=1* ]] || echo "{\"step\": 1, \"norm/weights/head\":1e-05,\"norm/gradients/layer_0\":$norm}"
      echo '{"step": 1, "loss": 2.5, "grad_norm": 1.5}'
    } >"$dir/metrics.jsonl"
    touch "$dir/checkpoints/step_1/model.safetensors" "$dir/checkpoints/step_1/optimizer.safetensors"
    echo "validation loss 2.5; ${ROWAN_COMMUNICATOR:-single}" ;;
  bench) while [ $# -gt 1 ]; do [ "$1" = --json ] && json=$2; shift; done
    printf '{\n  "tokens_per_second": 1000,\n  "seconds": 0.5,\n  "mfu_causal": 0.4,\n  "mfu_full": 0.5\n}\n' >"$json"
    echo "attention 1" ;;
  *) echo "ran $*" ;;
esac
FALSE
for program in gpu_backend_tests gpu_golden_tests gpu_nccl_tests; do
  fake gpu_pack/$program <<<'echo "ROWAN_GOLDEN is ${ROWAN_GOLDEN:-}"'
done
printf '%s\n' nccl "glibc 2.36" "architectures 80-real;90-real;100-real" >gpu_pack/contents.txt
mkdir libraries && touch libraries/libmpi.so.98 gpu_pack/needs gpu_pack/lib/no_nccl/libnccl.so.98
chmod +x bin/*
export PATH=$folder/bin:$folder/tools CUDA_HOME=$folder/no_toolkit
unset LD_LIBRARY_PATH PYTHONPATH ROWAN_GOLDEN
valid() { python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$1" || fail "$1 is not JSON"; }
row() { grep -q "^$1 *$2 " out/table.txt || { cat out/table.txt; fail "the table has no row '$1 $2'"; }; }
says() { grep -qF -- "$1" out/table.txt || { cat out/table.txt; fail "the table does not say '$1'"; }; }
check() { rm -rf out hanging && : >calls && : >limits && scripts/gpu_check.sh --out out "$@" >log 2>&1; }
no_clocks() {  # the script has ended the process that logs the clocks
  for ((i = 0; i < 600; ++i)); do kill -0 "$(cat clocks_process)" 2>/dev/null || return 0; sleep 0.05; done
  fail "the process that logs the clocks still runs"
}

check || { cat log; fail "a whole run with nothing wrong failed"; }
for name in suite golden products_and_copy step_gpt2_124m_T1024 step_llama_350m_T1024_muon kernels_llama_130m profile \
  large_gpt2_124m_bf16 two_runs_and_graphs_same_bits bf16_against_cpu nccl_1_rank nccl_collectives quickstart \
  optimizers_llama_350m sanitizer_memcheck; do row $name ok; done
row mpi_2_ranks_one_gpu skipped
says "built without MPI"
valid out/results.json
grep -q "gpu_backend_tests" calls || fail "the suite did not run"
[ "$(find out -type f | wc -l)" -le 8 ] || fail "more than 8 result files: $(ls out)"
grep -q "SM clock 1980 MHz, power 650 W" out/table.txt || fail "no clock and power beside the figures"
order=$(sed -nE 's/^(golden|step_gpt2_124m_T1024|large_gpt2_124m_fp32|kernels_gpt2_124m|profile|sanitizer_memcheck) .*/\1/p' \
  out/table.txt | paste -sd' ')
[ "$order" = "golden step_gpt2_124m_T1024 large_gpt2_124m_fp32 kernels_gpt2_124m profile sanitizer_memcheck" ] ||
  fail "the parts come in another order: $order"
no_clocks
tar xzf out/logs.tgz
[ "$(cat logs/golden.log)" = "ROWAN_GOLDEN is $folder/gpu_pack/golden/0" ] || fail "golden files of the pack: $(cat logs/golden.log)"

# The filter of Nsight Compute takes one launch of each kernel that it names, and all these kernels exist.
. scripts/gpu/parts.sh
[ "$(cut -d'"' -f4 logs/ncu.csv | sort | paste -sd' ')" = "Kernel Name $(tr ' ' '\n' <<<"$profiled" | sort | paste -sd' ')" ] ||
  fail "Nsight Compute measured: $(cat logs/ncu.csv)"
for name in $profiled; do grep -qE " $name(<|\$)" scripts/gpu/kernels.txt || fail "no kernel is called $name"; done
says "measured: forward_kernel"
# The optimizers' benchmark takes few recipes, and they exist.
recipes=$(sed -n 's/^rowan bench optimizer --steps 5 .*llama_350m.json --recipe \(.*\) --device.*/\1/p' calls)
[ "$(wc -w <<<"$recipes")" -le 12 ] || fail "more than 12 recipes"
for name in ${recipes:?}; do grep -q "\"$name\"" "$source"/src/optim/recipes*.cpp || fail "no recipe is called $name"; done

# The comparison at real size sees one layer's norm that differs, or is missing.
for norm in 2.51 null; do
  if NORM=$norm check --only large; then fail "passed with a norm $norm on the GPU and 2.5 on the CPU"; fi
  row large_gpt2_124m_fp32 FAILED
done
grep -q "norm/gradients/layer_0" log || { cat log; fail "does not name the norm"; }

# A suite that hangs is stopped, and the others still have time.
if CUT=gpu_backend_tests HANG=gpu_backend_tests check --budget 560 --only suite,golden,step; then fail "passed with a suite that hangs"; fi
row suite FAILED
row golden ok
row step_gpt2_124m_T1024 ok
says "stopped after 120 s; the last line of its log: [ RUN      ] Suite.Hangs"
awk '$1 > 180 { exit 1 }' limits || fail "a check may take a third of the budget: $(sort -n limits | tail -1)"

# A kill in any part leaves the results of the part before, here `suite`, and the figures of a benchmark so far.
hang_in() {
  case $1 in
    build) echo cmake ;; suite) echo gpu_backend_tests ;; golden) echo gpu_golden_tests ;; step) echo "bench gemm" ;;
    large) echo llama_130m_fp32_cuda ;; variants) echo "--optimizer muon" ;; kernels) echo "bench kernels" ;;
    profile) echo "ncu " ;; repeat) echo runs/second ;; compare) echo runs/cpu_bf16 ;; ranks) echo runs/alone ;;
    optimizer) echo "bench optimizer" ;; quickstart) echo runs/quickstart ;; sanitizer) echo racecheck ;;
  esac
}
fake bin/cmake <<<'exit 1'
mkdir -p toolkit/bin && fake toolkit/bin/nvcc <<<'exit 1'
for part in $(sed -n 's/^all="\(.*\)"/\1/p' scripts/gpu_check.sh); do
  for signal in TERM KILL; do
    [ $signal = TERM ] || [[ $part =~ ^(golden|step|kernels)$ ]] || continue  # a kill is the same in the others
    rm -rf out hanging clocks_process
    hang=$(hang_in "$part")
    [ -n "$hang" ] || fail "no kill in the part $part"
    home=$CUDA_HOME
    [ $part != build ] || { mv gpu_pack other_pack && home=$folder/toolkit; }
    HANG=$hang CUDA_HOME=$home setsid scripts/gpu_check.sh --out out --only "suite,$part" >log 2>&1 &
    job=$!
    until [ -e hanging ]; do sleep 0.05; kill -0 $job 2>/dev/null || { cat log; fail "ended before '$hang'"; }; done
    if [ $signal = KILL ]; then kill -KILL -- -$job; else kill -TERM $job; fi
    wait $job 2>/dev/null && fail "SIG$signal in $part: exit code 0"
    [ ! -d other_pack ] || mv other_pack gpu_pack
    [[ $part =~ ^(build|suite)$ ]] || row suite ok
    valid out/results.json
    [[ $hang != *bench* ]] || grep -qs '"rows": \[1\]' out/results.json out/running.json ||
      fail "SIG$signal in $part: the figures so far are lost"
    if [ $signal = TERM ]; then
      says "stopped by a signal"
      no_clocks
      tar tzf out/logs.tgz >/dev/null || fail "SIGTERM in $part: no logs"
    fi
    pkill -KILL -s "$job" 2>/dev/null || true
  done
done

check --budget 30 || { cat log; fail "failed with a small budget"; }
row golden ok
row large_gpt2_124m_fp32 skipped
says "left out: needs about 40 s, but only "

if BREAK="bench kernels" check --only kernels,repeat; then fail "succeeded with a broken bench"; fi
row kernels_gpt2_124m FAILED
row two_runs_and_graphs_same_bits ok

# The prebuilt folder may have an absolute path. A test program that is missing in it is a failure.
cp -r gpu_pack "$folder/elsewhere"
check --prebuilt "$folder/elsewhere" --only check || { cat log; fail "failed with an absolute path"; }
grep -q "^gpu_backend_tests" calls && grep -q "programs: $folder/elsewhere" out/table.txt || fail "an absolute path: the suite did not run"
row suite ok
for part in suite golden ranks; do
  case $part in
    suite) program=gpu_backend_tests check=suite ;;
    golden) program=gpu_golden_tests check=golden ;;
    ranks) program=gpu_nccl_tests check=nccl_collectives ;;
  esac
  rm "$folder/elsewhere/$program"
  if check --prebuilt "$folder/elsewhere" --only $part; then fail "passed without $program"; fi
  row "$check" FAILED
  says "found no program $folder/elsewhere/$program"
done

# Tools that are missing are named, and cost only their own checks.
mkdir hidden
for tool in ncu:profile:"no Nsight Compute" compute-sanitizer:sanitizer:"no compute-sanitizer" mpirun:ranks:"no mpirun"; do
  IFS=: read -r tool part why <<<"$tool"
  echo libmpi.so.98 >gpu_pack/needs
  LD_LIBRARY_PATH=$folder/libraries check --only $part || { cat log; fail "failed with $tool"; }
  if grep -q " skipped " out/table.txt; then fail "skipped a check of $part, though nothing is missing"; fi
  mv bin/$tool hidden/
  LD_LIBRARY_PATH=$folder/libraries check --only suite,$part || { cat log; fail "failed without $tool"; }
  says "$why"
  row suite ok
  mv hidden/$tool bin/
done
: >gpu_pack/needs

# CUDA's libraries are found in the toolkit and in Python's packages. NCCL may be missing.
printf '%s\n' libcublasLt.so.98 libcudart.so.98 libnccl.so.98 >gpu_pack/needs
mkdir -p toolkit/lib64 site/nvidia/cu98/lib site/nvidia/nccl/lib
touch toolkit/lib64/libcublasLt.so.98 site/nvidia/cu98/lib/libcudart.so.98 site/nvidia/nccl/lib/libnccl.so.98
CUDA_HOME=$folder/toolkit PYTHONPATH=$folder/site check --only suite,ranks || { cat log; fail "did not find the libraries"; }
row nccl_collectives ok
rm site/nvidia/nccl/lib/libnccl.so.98
CUDA_HOME=$folder/toolkit PYTHONPATH=$folder/site check --only suite,ranks || { cat log; fail "failed without NCCL"; }
row suite ok
row nccl_1_rank skipped
row nccl_collectives skipped
says "found no libnccl.so.2 here"

# Where the prebuilt programs do not run and there is no nvcc, the script says both and leaves no process behind.
refuses() {  # REASON
  local code=0
  check --only build,suite || code=$?
  [ $code = 2 ] || { cat log; fail "exit code $code without a program, expected 2"; }
  grep -qF "gpu_check: $folder/gpu_pack does not run here ($1" log || { cat log; fail "does not say: $1"; }
  grep -q "^gpu_check: no nvcc" log || { cat log; fail "does not say that nvcc is missing"; }
  [ "$(wc -l <log)" = 2 ] || { cat log; fail "expected two lines"; }
  no_clocks
}
PYTHONPATH=$folder/site refuses "no libcublasLt.so.98 in LD_LIBRARY_PATH"
: >gpu_pack/needs
GLIBC=2.35 refuses "it needs glibc 2.36, found glibc 2.35"
CAPABILITY=12.0 refuses "it has machine code for 80-real;90-real;100-real, found a GPU of compute capability 12.0"
GLIBC=2.41 CAPABILITY=8.6 check --only build,suite || { cat log; fail "a newer glibc, or sm_80 on 8.6, was refused"; }
row suite ok

# If the prebuilt programs do not run here, the script uses programs built from the sources. If these are missing too,
# the script fails.
printf '#!/usr/bin/env bash\necho "no such library" >&2; exit 127\n' >gpu_pack/rowan
if check --only suite; then fail "ran without a program"; fi
grep -q "run the part build first" log && grep -q "does not run here (no such library)" out/table.txt || { cat log; fail "no fallback"; }
no_clocks
for bad in "--only nonsense" "--budget ten" "--prebuilt nowhere" "--prebuilt configs" "--outt x"; do
  code=0
  scripts/gpu_check.sh $bad >log 2>&1 || code=$?
  [ $code = 2 ] && [ "$(wc -l <log)" = 1 ] || { cat log; fail "'$bad': exit code $code, expected 2 and one line"; }
done
echo "gpu_check_test: passed"
