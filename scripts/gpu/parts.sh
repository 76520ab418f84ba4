# Sourced by gpu_check.sh. Each function part_NAME runs the checks or measurements of the part NAME.

no_cudnn="built without cuDNN or its frontend's headers"

# Whether a test program is there. If not, the check NAME is skipped, or fails where the program must be.
has_tests() {  # NAME PROGRAM
  [ -x "$2" ] && return
  if [ -n "$tests" ]; then miss "$1" "found no program $2"; else skip "$1" "built without GoogleTest"; fi
  return 1
}

part_suite() {
  has_tests suite "$suite" || return
  check 40 suite "$suite"  # not --gtest_brief: the last line of its log names a test that hangs
  if [ -n "$cudnn" ]; then
    check 20 suite_cudnn env ROWAN_TEST_CUDNN=1 "$suite" --gtest_brief=1 --gtest_filter='*Attention*'
  else
    skip suite_cudnn "$no_cudnn"
  fi
}
part_golden() {
  has_tests golden "$golden" && check 20 golden "$golden" --gtest_brief=1
}

# Trains the quickstart on a GPU for 20 steps. The OPTIONs are passed on to `rowan train` and may override these
# settings.
short() {  # NAME OPTION...
  local name=$1
  shift
  rm -rf "$work/runs/$name" && mkdir -p "$work/runs"
  [ -f data/tales/validation.bin ] || "$program" tales --out data/tales || return
  ${launcher:-} "$program" train configs/quickstart.json --set "run.dir=$work/runs/$name" --set device=cuda \
    --set batch.micro_batch=4 --set run.steps=20 --set schedule.warmup_steps=2 --set run.log_every=1 \
    --set run.eval_every=0 --set run.eval_tokens=2048 --set run.sample_tokens=0 "$@" 2>&1 | tee "$work/runs/$name.log"
}
same_bits() {  # NAME NAME
  local a b
  a=$(ls -d "$work/runs/$1"/checkpoints/step_*) && b=$(ls -d "$work/runs/$2"/checkpoints/step_*) || return
  cmp "$a/model.safetensors" "$b/model.safetensors" && cmp "$a/optimizer.safetensors" "$b/optimizer.safetensors"
}
figures_of() { sed -n "s/.*\"$2\": *\([0-9.e+-]*\).*/\1/p" "$work/runs/$1/metrics.jsonl" | grep .; }  # NAME KEY
close_runs() {  # NAME NAME KEY TOLERANCE
  local a b
  a=$(figures_of "$1" "$3") && b=$(figures_of "$2" "$3") || return
  paste <(echo "$a") <(echo "$b") | awk -v tolerance="$4" -v key="$3" '
    NF != 2 || !($1 > 0 && $2 > 0) { print "expected two positive values:", $0; bad = 1; exit }
    { d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (d > worst) worst = d; ++rows }
    END { printf "%s of %d steps differs by at most %.2g of its value, allowed %.2g\n", key, rows, worst, tolerance
          exit !(rows > 0 && !bad && worst <= tolerance) }'
}
same_bits_twice() {
  short first --set precision=bf16 && short second --set precision=bf16 && same_bits first second &&
    ROWAN_CUDA_GRAPHS=1 short graphs --set precision=bf16 && same_bits first graphs
}
cudnn_runs() {
  local options="--set precision=bf16 --set attention=cudnn"
  short cudnn $options && short cudnn_again $options && same_bits cudnn cudnn_again &&
    ROWAN_CUDA_GRAPHS=1 short cudnn_graphs $options && same_bits cudnn cudnn_graphs &&
    short ours --set precision=bf16 && close_runs cudnn ours loss 2e-2
}
against_cpu() {  # PRECISION TOLERANCE
  short "cuda_$1" --set "precision=$1" && short "cpu_$1" --set "precision=$1" --set device=cpu &&
    close_runs "cuda_$1" "cpu_$1" loss "$2"
}
part_repeat() {
  check 25 two_runs_and_graphs_same_bits same_bits_twice
  if [ -n "$cudnn" ]; then check 30 cudnn_same_bits_and_near_ours cudnn_runs; else skip cudnn_same_bits "$no_cudnn"; fi
}
part_compare() {
  check 20 fp32_against_cpu against_cpu fp32 1e-3
  check 20 bf16_against_cpu against_cpu bf16 2e-2
}

# Trains a model for two steps on the GPU and on the CPU. Compares loss, gradient norm, and the norms of each layer's
# weights, gradients and updates. The model is larger than the models of the test suite.
large_model() {  # MODEL PRECISION TOLERANCE
  local device options=(--set "model=$PWD/configs/models/$1.json" --set batch.sequences=4 --set batch.micro_batch=2
    --set batch.sequence_length=256 --set run.steps=2 --set schedule.warmup_steps=0 --set "precision=$2"
    --set run.checkpoint_every=0 --set run.norms_every=1)
  for device in cuda cpu; do
    short "$1_$2_$device" "${options[@]}" --set device=$device || return
    rm -r "$work/runs/$1_$2_$device/checkpoints"  # gigabytes
  done
  close_runs "$1_$2_cuda" "$1_$2_cpu" loss "$3" && close_runs "$1_$2_cuda" "$1_$2_cpu" grad_norm "$3" &&
    close_norms "$1_$2_cuda" "$1_$2_cpu" "$3"
}
norms_of() {  # NAME
  grep -o '"norm/[^,}]*' "$work/runs/$1/metrics.jsonl" | sed 's/"\(.*\)": */\1 /'
}
close_norms() {  # NAME NAME TOLERANCE
  local a b
  a=$(norms_of "$1") && b=$(norms_of "$2") || return
  paste <(echo "$a") <(echo "$b") | awk -v tolerance="$3" '
    NF != 4 || $1 != $3 || !($2 > 0 && $4 > 0) { print "expected two positive norms of one layer:", $0; bad = 1; exit }
    { d = ($2 - $4) / $4; d = d < 0 ? -d : d; ++rows; if (d > worst) { worst = d; name = $1 } }
    END { printf "%d norms differ by at most %.2g of their value (%s), allowed %.2g\n", rows, worst, name, tolerance
          exit !(rows > 0 && !bad && worst <= tolerance) }'
}
part_large() {
  local model
  for model in gpt2_124m llama_130m; do
    check 40 "large_${model}_fp32" large_model $model fp32 1e-3
    check 40 "large_${model}_bf16" large_model $model bf16 2e-2
  done
}

ranks_run() {  # NAME COMMUNICATOR LAUNCHER...
  local name=$1 communicator=$2
  shift 2
  launcher="$*" ROWAN_COMMUNICATOR=$communicator short "$name" --set precision=fp32 &&
    grep -i "; $communicator" "$work/runs/$name.log" && short alone --set precision=fp32 &&
    close_runs "$name" alone loss 1e-3
}
part_ranks() {
  if [ -z "$nccl" ]; then
    skip nccl_1_rank "${no_nccl:-built without NCCL}"
    skip nccl_collectives "${no_nccl:-built without NCCL}"
  else
    check 20 nccl_1_rank ranks_run nccl nccl
    has_tests nccl_collectives "$nccl_tests" && check 20 nccl_collectives env ROWAN_COMMUNICATOR=nccl "$nccl_tests" \
      --gtest_filter='Comm*:Agreement*:GatherTensors*'
  fi
  if [ -z "$(ldd "$program" | grep libmpi)" ]; then
    skip mpi_2_ranks_one_gpu "built without MPI"
  elif ! command -v mpirun >/dev/null; then
    skip mpi_2_ranks_one_gpu "no mpirun"
  else
    check 20 mpi_2_ranks_one_gpu ranks_run mpi mpi mpirun --allow-run-as-root --oversubscribe -n 2
  fi
}

step() {  # MODEL BATCH SEQ OPTION...
  local name="step_$1_T$3${5:+_$(basename "$5" .json)}" model=configs/models/$1.json batch=$2 seq=$3
  shift 3
  [ -f "$model" ] || { skip "$name" "no $model"; return; }
  bench 25 "$name" step --precision bf16 --steps 20 --model "$model" --batch "$batch" --seq "$seq" "$@" || return
  note "$(printf '%.0f tokens/s, MFU %.3f with causal attention, %.3f with full' "$(value "$name" tokens_per_second)" \
    "$(value "$name" mfu_causal)" "$(value "$name" mfu_full)")"
}
part_step() {
  bench 20 products_and_copy gemm && note "$(sed -n '$p' "$logs/products_and_copy.log")" "bf16 products" \
    "$(awk '$1 == "product" {print $6, $7}' "$logs/products_and_copy.log" | tail -1)"
  step gpt2_124m 64 1024
  step llama_130m 512 256
  step llama_350m 64 1024
}
# Steps with other settings than those of part_step, which they are compared with.
part_variants() {
  local model name batch seq plain
  for model in llama_130m:512:256 llama_350m:64:1024; do
    IFS=: read -r name batch seq <<<"$model"
    step "$name" "$batch" "$seq" --optimizer muon && plain=step_${name}_T$seq && [ -f "$logs/$plain.json" ] &&
      note "$(awk "BEGIN { print $(value "${plain}_muon" seconds) / $(value "$plain" seconds) }") of the step with AdamW"
  done
  if [ -n "$cudnn" ]; then
    step gpt2_124m 64 1024 --attention cudnn
    step llama_350m 64 1024 --attention cudnn
  else
    skip step_cudnn "$no_cudnn"
  fi
  ROWAN_CUDA_GRAPHS=1 step gpt2_124m 64 1024 --optimizer adamw && note "the same with CUDA graphs"
  step gpt2_124m 64 1024 --products "$work/timed.json"
  step llama_130m 512 256 --products "$work/timed.json"
  step smollm2_135m 32 2048
}
part_kernels() {
  local model
  for model in gpt2_124m:64:1024 llama_130m:512:256; do
    IFS=: read -r name batch seq <<<"$model"
    bench 30 "kernels_$name" kernels --precision bf16 --batch "$batch" --seq "$seq" \
      --model "configs/models/$name.json" --recipe adamw --recipe rmnp --recipe nora --recipe muon &&
      rows+=("$(sed 's/^/  /' "$logs/kernels_$name.log")")
  done
  if [ -n "$cudnn" ]; then
    bench 15 kernels_cudnn kernels --precision bf16 --batch 64 --seq 1024 --model configs/models/gpt2_124m.json \
      --recipe adamw --attention cudnn && note "$(grep attention "$logs/kernels_cudnn.log")"
  fi
}
# Measures with Nsight Compute what limits the largest kernels: the first launch of each, in a step of GPT-2. A name in
# the filter must be a whole name, because many kernels are called ..._forward_kernel. The clocks are not locked.
profiled="forward_kernel key_value_kernel cross_entropy_kernel norm_forward_kernel norm_backward_kernel adamw_kernel"
profile_kernels() {
  local name found=
  ncu --clock-control none --csv --print-kernel-base function --log-file "$logs/ncu.csv" \
    --kernel-id "::regex:^(${profiled// /|})\$:1" \
    --section SpeedOfLight --section WarpStateStats --section Occupancy \
    "$program" bench step --device cuda --precision bf16 --steps 1 --batch 64 --seq 1024 \
    --model configs/models/gpt2_124m.json || { grep -h '^==' "$logs/ncu.csv"; return 1; }
  for name in $profiled; do
    if grep -q "\"$name\"" "$logs/ncu.csv"; then found+=" $name"; else echo "not measured: $name"; fi
  done
  echo "measured:${found:- no kernel}"
  [ -n "$found" ]
}
part_profile() {
  if ! command -v ncu >/dev/null; then skip profile "no Nsight Compute (ncu)"; return; fi
  export profiled
  check 60 profile profile_kernels && note "Nsight Compute's figures: logs/ncu.csv in logs.tgz;" \
    "$(grep -hE '^(not )?measured:' "$logs/profile.log" | paste -sd';')"
}
part_optimizer() {
  local model
  for model in llama_130m llama_350m; do
    bench 30 "optimizers_$model" optimizer --steps 5 --model "configs/models/$model.json" \
      --recipe adamw lion rmnp nora mano muon normuon adamuon namo-d muoneq-rc
    [ ! -s "$logs/optimizers_$model.log" ] || rows+=("$(sed 's/^/  /' "$logs/optimizers_$model.log")")
  done
  write_results
}
part_quickstart() {
  [ -f data/tales/validation.bin ] || "$program" tales --out data/tales >/dev/null
  check 40 quickstart "$program" train configs/quickstart.json --set "run.dir=$work/runs/quickstart" \
    --set device=cuda --set precision=bf16 && note "$(grep -h '^validation loss' "$logs/quickstart.log")"
}
part_sanitizer() {
  local tool
  if ! command -v compute-sanitizer >/dev/null; then skip sanitizer "no compute-sanitizer"; return; fi
  has_tests sanitizer "$suite" || return
  # Tests named NoMachineHas are left out, because the sanitizer counts a failed allocation as an error.
  for tool in memcheck racecheck synccheck initcheck; do
    check 60 "sanitizer_$tool" compute-sanitizer --tool $tool --error-exitcode 1 "$suite" --gtest_brief=1 \
      --gtest_filter='*Attention*:*Norm*:*Embedding*:*Loss*:*Linear*-*Stochastic*:*SurvivesLarge*:*VeryWide*:*NoMachineHas*'
  done
}
