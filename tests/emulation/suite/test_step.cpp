// Tests training steps on the CUDA backend, with the stand-ins for the CUDA runtime and cuBLASLt. After the first step,
// a step must wait once and allocate nothing. Replayed graphs must give the same results. Also tests products in TF32,
// the planned scratch memory, and error messages.
#include <gtest/gtest.h>

#include <cstdlib>
#include <tuple>

#include "emulation/runtime.h"
#include "emulation/suite/runs.h"
#include "kernels/dry/dry_backend.h"
#include "train/loop.h"

namespace rowan {
namespace {

class Step : public testing::TestWithParam<std::string> {};

TEST_P(Step, WaitsOnceAndAllocatesNothing) {
  for (const Json& model : {small_llama(), small_gpt2()}) {
    const TrainConfig config = config_of(model, GetParam());
    auto backend = make_cuda_backend(0);
    auto alone = make_single_communicator();
    Trainer trainer(config, *backend, *alone);
    trainer.step();
    for (int step = 1; step < 3; ++step) {
      const emulation::RuntimeCounts before = emulation::counts();
      trainer.step();
      EXPECT_EQ(emulation::counts().waits - before.waits, 1);
      EXPECT_EQ(emulation::counts().allocations - before.allocations, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, Step, testing::Values("adamw", "muon", "rmnp", "nora", "mano", "namo-d"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(Graphs, ReplayedPassesGiveTheSameBits) {
  for (const Json& model : {small_llama(), small_gpt2()}) {
    const TrainConfig config = config_of(model, "muon");
    const std::vector<float> plain = run(config);
    EXPECT_EQ(run(config), plain);
    const int64_t before = emulation::counts().replays;
    EXPECT_EQ(run(config, *recording_backend()), plain);
    // There are 8 passes with 2 keys. The first pass of each key is not replayed. The second pass of the first key is
    // not replayed either, because scratch memory grew in the first pass of this key, which dropped the key.
    EXPECT_EQ(emulation::counts().replays - before, 5);
  }
}

// Two trainers on one backend use equal keys. A recording of one trainer must not be replayed for the other trainer,
// which has other memory.
TEST(Graphs, ATrainerReplaysOnlyItsOwnPasses) {
  const TrainConfig config = config_of(small_llama(), "adamw");
  const std::vector<float> plain = run(config);
  auto backend = recording_backend();
  EXPECT_EQ(run(config, *backend), plain);
  Arena between(*backend, Category::workspace);
  between.take(DType::f32, {1 << 18});
  EXPECT_EQ(run(config, *backend), plain);

  auto alone = make_single_communicator();
  Trainer first(config, *backend, *alone), second(config, *backend, *alone);
  for (int step = 0; step < 4; ++step) {
    EXPECT_EQ(static_cast<float>(first.step().loss), plain[step]);
    EXPECT_EQ(static_cast<float>(second.step().loss), plain[step]);
  }
}

// Uses more keys than the number of recordings that the backend keeps. A later key that repeats is still recorded.
TEST(Graphs, KeysThatNeverComeBackAreForgotten) {
  auto backend = recording_backend();
  Arena arena(*backend, Category::workspace);
  Tensor x = arena.take(DType::f32, {3}), narrow = arena.take(DType::bf16, {3});
  for (uint64_t key = 0; key < 40; ++key) backend->repeat(&arena, key, [&] { backend->copy(narrow, x); });
  const int64_t before = emulation::counts().replays;
  for (int i = 0; i < 3; ++i) backend->repeat(&arena, 40, [&] { backend->copy(narrow, x); });
  EXPECT_EQ(emulation::counts().replays - before, 2);
}

// An operation that cannot be recorded throws an error that names the operation. The backend stays usable.
TEST(Graphs, WhatCannotBeRecordedIsRefused) {
  auto backend = recording_backend();
  Arena arena(*backend, Category::workspace);
  Tensor x = arena.take(DType::f32, {3}), narrow = arena.take(DType::bf16, {3});
  const float given[] = {1, 2, 3};
  uint64_t key = 0;
  auto refused = [&](const std::string& operation, const std::function<void()>& work) {
    backend->repeat(&arena, ++key, work);
    EXPECT_EQ(error_of([&] { backend->repeat(&arena, key, work); }),
              operation + ": CUDA reports: operation not permitted when stream is capturing");
  };
  refused("upload on fp32[3]", [&] { backend->upload(x, given); });
  float taken[3];
  refused("download on fp32[3]", [&] { backend->download(taken, x); });
  ++key;
  for (int i = 0; i < 3; ++i) backend->repeat(&arena, key, [&] { backend->copy(narrow, x); });
  bf16 result[3];
  backend->download(result, narrow);
  EXPECT_EQ(to_float(result[2]), 3);
}

TEST(Graphs, TheSwitchIsChecked) {
  setenv("ROWAN_CUDA_GRAPHS", "yes", 1);
  EXPECT_EQ(error_of([] { make_cuda_backend(0); }), "ROWAN_CUDA_GRAPHS: found 'yes', expected 0 or 1");
  unsetenv("ROWAN_CUDA_GRAPHS");
}

TEST(Failures, SlowAttentionIsNamed) {
  auto backend = make_cuda_backend(0);
  EXPECT_EQ(backend->slow_attention({1, 8, 1, 1, 128, 1}, DType::bf16), "");
  const std::string why =
      ", tens of times slower than tensor-core kernels, which need bf16 and a head_dim that is a multiple of 8, at "
      "most 128";
  EXPECT_EQ(backend->slow_attention({1, 8, 1, 1, 64, 1}, DType::f32), "plain kernels for fp32 and head_dim 64" + why);
  EXPECT_EQ(backend->slow_attention({1, 8, 1, 1, 136, 1}, DType::bf16),
            "plain kernels for bf16 and head_dim 136" + why);
}

TEST(Precision, Tf32RoundsTheFactorsOfProducts) {
  auto backend = make_cuda_backend(0);
  Arena arena(*backend, Category::workspace);
  Tensor a = arena.take(DType::f32, {1, 1}), b = arena.take(DType::f32, {1, 1}), c = arena.take(DType::f32, {1, 1});
  const float factor = 1 + 0x1p-11f + 0x1p-12f, one = 1;
  backend->upload(a, &factor);
  backend->upload(b, &one);
  float exact, rounded;
  backend->matmul(c, a, b);
  backend->download(&exact, c);
  backend->allow_tf32();
  backend->matmul(c, a, b);
  backend->download(&rounded, c);
  EXPECT_EQ(exact, factor);
  EXPECT_EQ(rounded, 1 + 0x1p-10f);
}

size_t held(const DryBackend& dry) { return dry.bytes(); }

// Bytes of scratch memory that the first attention_backward() on a backend takes.
template <typename Device>
size_t scratch_of_attention(Device& backend, DType dtype, const AttentionShape& s) {
  Arena arena(backend, Category::activations);
  Tensor qkv = arena.take(dtype, {s.tokens(), s.qkv_width()}), dqkv = arena.take(dtype, {s.tokens(), s.qkv_width()}),
         out = arena.take(dtype, {s.tokens(), s.out_width()}), dout = arena.take(dtype, {s.tokens(), s.out_width()}),
         log_sum_exp = arena.take(DType::f32, {s.batch, s.heads, s.seq});
  const size_t before = held(backend);
  backend.attention_backward(dqkv, dout, out, log_sum_exp, qkv, s);
  return held(backend) - before;
}

template <typename Device>
size_t scratch_of_eigenvectors(Device& backend, bool orthonormal) {
  Arena arena(backend, Category::activations);
  std::vector<Tensor> a, q, values;
  for (int i = 0; i < 3; ++i) {
    a.push_back(arena.take(DType::f32, {20, 20}));
    q.push_back(arena.take(DType::f32, {20, 20}));
    values.push_back(arena.take(DType::f32, {20}));
  }
  const size_t before = held(backend);
  if (orthonormal)
    backend.orthonormalize(a);
  else
    backend.eigenvectors(q, values, a);
  return held(backend) - before;
}

// Bytes of scratch memory that a normalized step of `n` matrices [rows, cols] takes.
template <typename Device>
size_t scratch_of_steps(Device& backend, Along along, int64_t n, int64_t rows, int64_t cols) {
  Arena arena(backend, Category::weights);
  std::vector<OptimizerSlot> slots(static_cast<size_t>(n));
  for (OptimizerSlot& slot : slots)
    for (Tensor OptimizerSlot::*part : {&OptimizerSlot::weight, &OptimizerSlot::gradient, &OptimizerSlot::first})
      slot.*part = arena.take(DType::f32, {rows, cols});
  NormalizedStepRule rule{};
  rule.along = along;
  rule.eps = 1e-8f;
  const size_t before = held(backend);
  backend.normalized_step(slots, rule);
  return held(backend) - before;
}

// For attention_backward(), eigenvectors(), orthonormalize() and normalized_step(), the dry backend must count the
// scratch memory that the CUDA backend takes. The emulated GPU has 4 multiprocessors.
TEST(Workspace, IsWhatThePlanCounts) {
  auto dry = [] { return make_dry_backend(AttentionKernels::rowan, 4); };
  auto expect_same = [](size_t planned, size_t taken) {  // the stand-in rounds up to 256 bytes and adds a gap
    EXPECT_GT(taken, planned);
    EXPECT_LE(taken, planned + 512);
  };
  // On tensor cores: one owner per key/value head, three owners, and the variant without owners
  // (attention_backward.cu). Last: the plain kernels.
  for (const AttentionShape& s : {AttentionShape{4, 40, 4, 2, 64, 1}, AttentionShape{1, 300, 1, 1, 32, 1},
                                  AttentionShape{1, 330, 1, 1, 72, 1}, AttentionShape{2, 9, 2, 1, 20, 1}}) {
    expect_same(scratch_of_attention(*dry(), DType::bf16, s),
                scratch_of_attention(*make_cuda_backend(0), DType::bf16, s));
  }
  for (bool orthonormal : {false, true})
    expect_same(scratch_of_eigenvectors(*dry(), orthonormal),
                scratch_of_eigenvectors(*make_cuda_backend(0), orthonormal));
  // Two steps that normalize columns, the first with more slots than one launch takes. Then a step that normalizes rows
  // that do not fit into shared memory.
  for (const auto& [along, n, rows, cols] :
       {std::tuple{Along::column, 50, 6, 10}, {Along::column, 3, 6, 10}, {Along::row, 2, 1, 60000}})
    expect_same(scratch_of_steps(*dry(), along, n, rows, cols),
                scratch_of_steps(*make_cuda_backend(0), along, n, rows, cols));
  EXPECT_EQ(scratch_of_steps(*dry(), Along::row, 2, 3, 40000), 0u);
  EXPECT_EQ(scratch_of_steps(*make_cuda_backend(0), Along::row, 2, 3, 40000), 0u);
}

TEST(Failures, AttentionOfAnAbsentLibrary) {
  EXPECT_EQ(error_of([] { make_cuda_backend(-1); }), "device: found GPU -1, expected 0 or more");
  EXPECT_NE(
      error_of([] { make_cuda_backend(0, AttentionKernels::cudnn); }).find("attention: this rowan was built without"),
      std::string::npos);
}

TEST(Failures, OutOfMemoryNamesTheCategoryTheSizeAndThePlan) {
  const TrainConfig config = config_of(small_llama(), "adamw");
  auto backend = make_cuda_backend(0);
  auto alone = make_single_communicator();
  emulation::limit_memory(size_t{33} << 20);  // cuBLASLt's workspace takes 32 MB of this
  Json model = small_llama();
  model["vocab_size"] = 40000;
  const std::string message = error_of([&] { train(config_of(model, "adamw"), *backend, *alone, {}); });
  emulation::limit_memory(size_t{16} << 30);
  EXPECT_TRUE(message.find("bytes (") != std::string::npos && message.find(" for ") != std::string::npos &&
              message.find("taken so far: ") != std::string::npos &&
              message.find("the memory plan of this run: ") != std::string::npos &&
              message.find("at most: weights ") != std::string::npos)
      << message;
}

TEST(Failures, AKernelsFailureNamesOperationAndShape) {
  auto backend = make_cuda_backend(0);
  Arena arena(*backend, Category::workspace);
  Tensor x = arena.take(DType::f32, {3, 5});
  emulation::break_device(cudaErrorIllegalAddress);
  const std::string launched = error_of([&] { backend->scale(x, 2); });
  float value[15];
  const std::string waited = error_of([&] { backend->download(value, x); });
  emulation::break_device(cudaSuccess);
  const std::string what =
      " on fp32[3, 5]: CUDA reports: an illegal memory access was encountered; an earlier operation may have caused "
      "it: "
      "set CUDA_LAUNCH_BLOCKING=1 to see which";
  EXPECT_EQ(launched, "scale" + what);
  EXPECT_EQ(waited, "download" + what);
}

TEST(Failures, AScaleThatTurnsTheOrderOfScores) {
  auto backend = make_cuda_backend(0);
  Arena arena(*backend, Category::workspace);
  const AttentionShape shape{1, 2, 1, 1, 8, -1.0f};
  Tensor qkv = arena.take(DType::bf16, {2, 24}), out = arena.take(DType::bf16, {2, 8});
  Tensor log_sum_exp = arena.take(DType::f32, {1, 1, 2});
  EXPECT_EQ(error_of([&] { backend->attention_forward(out, log_sum_exp, qkv, shape); }),
            "attention_forward: scale: found -1, expected more than 0 on a GPU");
}

TEST(Failures, AHeadTooWideIsRefusedAtTheStart) {
  Json model = small_llama();
  model["head_dim"] = 264;
  auto backend = make_cuda_backend(0);
  EXPECT_EQ(error_of([&] { Model(*backend, model_from(model), ModelOptions()); }),
            "model: head_dim (hidden_size / num_attention_heads): found 264, expected at most 256 on a GPU");
  Json gpt2 = small_gpt2();
  gpt2["n_embd"] = 528;
  EXPECT_EQ(error_of([&] { Model(*backend, model_from(gpt2), ModelOptions()); }),
            "model: n_embd / n_head: found 264, expected at most 256 on a GPU");
}

}  // namespace
}  // namespace rowan
