#!/usr/bin/env bash
# Tests scripts/gpu_check.sh without a GPU, with fake versions of nvidia-smi and of the programs that the script runs.
# The test checks the order of the script's parts, the time budget, the results after a kill during a part, the
# fallbacks, and wrong options.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "gpu_check_test: $*" >&2; exit 1; }
cp -r "$source/scripts" "$folder/"
mkdir -p "$folder/configs" "$folder/bin" "$folder/gpu_pack"
cp -r "$source/configs/models" "$source/configs/quickstart.json" "$folder/configs/"
cd "$folder"

cat >bin/nvidia-smi <<'FALSE'
#!/usr/bin/env bash
case $* in
  *compute_cap*) echo 9.0 ;;
  *timestamp*) echo "timestamp, clocks.current.sm [MHz], clocks.current.memory [MHz], power.draw [W], temperature.gpu"
    echo "2026/01/01, 1980 MHz, 3201 MHz, 650.00 W, 60"; exec sleep 600 ;;
  *) echo "False GPU" ;;
esac
FALSE
cat >gpu_pack/rowan <<'FALSE'
#!/usr/bin/env bash
# If the command line contains $HANG, creates the file `hanging` and hangs. If it contains $BREAK, fails.
echo "$*" >>calls
if [ -n "${HANG:-}" ] && [[ " $* " == *"$HANG"* ]]; then touch hanging; exec sleep 600; fi
if [ -n "${BREAK:-}" ] && [[ " $* " == *"$BREAK"* ]]; then echo "broken on purpose"; exit 1; fi
case $1 in
  --version) echo "rowan false" ;;
  tales) mkdir -p data/tales && touch data/tales/validation.bin ;;
  train) for word; do case $word in run.dir=*) dir=${word#*=} ;; esac; done
    mkdir -p "$dir/checkpoints/step_1"
    echo '{"step": 1, "loss": 2.5, "grad_norm": 1.5}' >"$dir/metrics.jsonl"
    touch "$dir/checkpoints/step_1/model.safetensors" "$dir/checkpoints/step_1/optimizer.safetensors"
    echo "validation loss 2.5; ${ROWAN_COMMUNICATOR:-single}" ;;
  bench) while [ $# -gt 1 ]; do [ "$1" = --json ] && json=$2; shift; done
    printf '{\n  "tokens_per_second": 1000,\n  "seconds": 0.5,\n  "mfu_causal": 0.4,\n  "mfu_full": 0.5\n}\n' >"$json"
    echo "attention 1" ;;
  *) echo "ran $*" ;;
esac
FALSE
printf '#!/usr/bin/env bash\necho "$0 $*" >>calls\n' | tee gpu_pack/gpu_backend_tests gpu_pack/gpu_golden_tests >gpu_pack/gpu_nccl_tests
echo nccl >gpu_pack/contents.txt
chmod +x bin/* gpu_pack/*
export PATH=$folder/bin:$PATH
valid() { python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$1" || fail "$1 is not JSON"; }
row() { grep -q "^$1 *$2 " out/table.txt || { cat out/table.txt; fail "the table has no row '$1 $2'"; }; }

scripts/gpu_check.sh --out out >log 2>&1 || { cat log; fail "a whole run with nothing wrong failed"; }
for name in suite golden products_and_copy step_gpt2_124m_T1024 kernels_llama_130m large_gpt2_124m_bf16 \
  two_runs_and_graphs_same_bits bf16_against_cpu nccl_1_rank quickstart; do row $name ok; done
valid out/results.json
grep -q "gpu_backend_tests" calls || fail "the suite did not run"
[ "$(find out -type f | wc -l)" -le 8 ] || fail "more than 8 result files: $(ls out)"
grep -q "SM clock 1980 MHz, power 650 W" out/table.txt || fail "no clock and power beside the figures"
order=$(grep -nE '^(golden|step_gpt2_124m_T1024|sanitizer)' out/table.txt | cut -d: -f1 | tr '\n' ' ')
[ "$order" = "$(tr ' ' '\n' <<<"$order" | grep . | sort -n | tr '\n' ' ')" ] || fail "benchmarks do not come before sanitizers"

# After a kill in a later part, the results of the part `suite` must exist.
for signal in TERM KILL; do
  hangs=(gpu_golden "bench gemm" "bench kernels" llama_130m_fp32_cuda "bench optimizer")
  [ $signal = TERM ] || hangs=("bench gemm")
  for hang in "${hangs[@]}"; do
    rm -rf out hanging
    case $hang in
      gpu_golden) printf '#!/usr/bin/env bash\ntouch hanging\nexec sleep 600\n' >gpu_pack/gpu_golden_tests ;;
      *) printf '#!/usr/bin/env bash\n' >gpu_pack/gpu_golden_tests ;;
    esac
    HANG=$hang setsid scripts/gpu_check.sh --out out >log 2>&1 &
    job=$!
    until [ -e hanging ]; do sleep 0.05; kill -0 $job 2>/dev/null || { cat log; fail "ended before '$hang'"; }; done
    if [ $signal = KILL ]; then kill -KILL -- -$job; else kill -TERM $job; fi
    wait $job 2>/dev/null && fail "SIG$signal in '$hang': exit code 0"
    row suite ok
    valid out/results.json
    pkill -KILL -s "$job" 2>/dev/null || true
  done
done
printf '#!/usr/bin/env bash\n' >gpu_pack/gpu_golden_tests

scripts/gpu_check.sh --out out --budget 30 >log 2>&1 || { cat log; fail "failed with a small budget"; }
row golden ok
row large_gpt2_124m_fp32 skipped
grep -q "left out: needs about 40 s, but only [0-9]* s of the budget are left" out/table.txt || fail "does not say what was left out"

if BREAK="bench kernels" scripts/gpu_check.sh --out out --only kernels,repeat >log 2>&1; then fail "succeeded with a broken bench"; fi
row kernels_gpt2_124m FAILED
row two_runs_and_graphs_same_bits ok

# The prebuilt folder may have an absolute path. A test program that is missing in it is a failure.
cp -r gpu_pack "$folder/elsewhere"
rm calls
scripts/gpu_check.sh --out out --prebuilt "$folder/elsewhere" --only check >log 2>&1 || { cat log; fail "failed with an absolute path"; }
grep -q "^$folder/elsewhere/gpu_backend_tests " calls || fail "an absolute path: the suite did not run"
row suite ok
for part in suite golden ranks; do
  case $part in
    suite) program=gpu_backend_tests check=suite ;;
    golden) program=gpu_golden_tests check=golden ;;
    ranks) program=gpu_nccl_tests check=nccl_collectives ;;
  esac
  rm "$folder/elsewhere/$program"
  if scripts/gpu_check.sh --out out --prebuilt "$folder/elsewhere" --only $part >log 2>&1; then fail "passed without $program"; fi
  row "$check" FAILED
  grep -q "found no program $folder/elsewhere/$program" out/table.txt || fail "does not name $program"
done

# If the prebuilt programs do not run here, the script uses programs built from the sources. If these are missing too,
# the script fails.
printf '#!/usr/bin/env bash\necho "no such library" >&2; exit 127\n' >gpu_pack/rowan
if scripts/gpu_check.sh --out out --only suite >log 2>&1; then fail "ran without a program"; fi
grep -q "run the part build first" log && grep -q "does not run here (no such library)" out/table.txt || { cat log; fail "no fallback"; }
for bad in "--only nonsense" "--budget ten" "--prebuilt nowhere" "--prebuilt configs" "--outt x"; do
  code=0
  scripts/gpu_check.sh $bad >log 2>&1 || code=$?
  [ $code = 2 ] && [ "$(wc -l <log)" = 1 ] || { cat log; fail "'$bad': exit code $code, expected 2 and one line"; }
done
echo "gpu_check_test: passed"
