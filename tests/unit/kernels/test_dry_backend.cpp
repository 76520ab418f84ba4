#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "kernels/arena.h"
#include "kernels/dry/dry_backend.h"

namespace rowan {
namespace {

TEST(DryBackend, CountsMemoryByCategoryAndItsPeak) {
  auto dry = make_dry_backend();
  {
    Arena weights(*dry, Category::weights), activations(*dry, Category::activations);
    weights.take(DType::f32, {10, 3});
    activations.take(DType::bf16, {100});
    EXPECT_EQ(dry->bytes(Category::weights), 120u);
    EXPECT_EQ(dry->bytes(), 320u);
  }
  void* block = dry->allocate(240, Category::activations);
  EXPECT_EQ(dry->bytes(Category::weights), 0u);
  EXPECT_EQ(dry->peak_bytes(Category::weights), 120u);
  EXPECT_EQ(dry->peak_bytes(Category::activations), 240u);
  EXPECT_EQ(dry->peak_bytes(), 320u);
  dry->release(block);
  EXPECT_EQ(dry->bytes(), 0u);
}

// Allocates a tensor of 4 TiB and does not touch it.
TEST(DryBackend, TouchesNoMemory) {
  auto dry = make_dry_backend();
  Arena arena(*dry, Category::activations);
  Tensor big = arena.take(DType::f32, {int64_t{1} << 20, int64_t{1} << 20}), one = arena.take(DType::f32, {1});
  Tensor next = arena.take(DType::f32, {1});
  EXPECT_GE(reinterpret_cast<uintptr_t>(one.data), reinterpret_cast<uintptr_t>(big.data) + big.bytes());
  EXPECT_NE(one.data, next.data);
  dry->zero(big);
  dry->scale(big, 2.0f);
  dry->activation_forward(Activation::gelu_erf, big, big);
  dry->sum_squares(one, {big});
  float got = 3;
  dry->download(&got, one);
  EXPECT_EQ(got, 0.0f);
}

TEST(DryBackend, CountsProductsAndAttention) {
  auto dry = make_dry_backend();
  Arena arena(*dry, Category::activations);
  Tensor in = arena.take(DType::bf16, {6, 5}), weight = arena.take(DType::bf16, {7, 5});
  Tensor out = arena.take(DType::bf16, {6, 7}), d_weight = arena.take(DType::f32, {7, 5});
  dry->linear_forward(out, in, weight, Tensor());
  EXPECT_EQ(dry->work(OpFamily::product).flops, 2.0 * 6 * 7 * 5);
  EXPECT_EQ(dry->work(OpFamily::product).bytes, 2.0 * (30 + 35 + 42));
  dry->linear_backward_input(in, out, weight, false);
  const double before = dry->work(OpFamily::product).bytes;
  dry->linear_backward_weight(d_weight, Tensor(), out, in, false);
  EXPECT_EQ(dry->work(OpFamily::product).flops, 3 * 2.0 * 6 * 7 * 5);
  EXPECT_EQ(dry->work(OpFamily::product).bytes - before, 2.0 * (30 + 42) + 4.0 * 35);
  AttentionShape s{2, 4, 3, 1, 8, 1.0f};
  Tensor qkv = arena.take(DType::f32, {8, 40}), mixed = arena.take(DType::f32, {8, 24});
  Tensor sums = arena.take(DType::f32, {2, 3, 4});
  dry->attention_forward(mixed, sums, qkv, s);
  EXPECT_EQ(dry->work(OpFamily::attention).flops_full, 4.0 * 2 * 3 * 4 * 4 * 8);
  EXPECT_EQ(dry->work(OpFamily::attention).flops, 4.0 * 2 * 3 * 10 * 8);
  EXPECT_EQ(dry->work(OpFamily::attention).recomputed, 0.0);
  dry->attention_backward(qkv, mixed, mixed, sums, qkv, s);
  EXPECT_EQ(dry->work(OpFamily::attention).flops, 3 * 4.0 * 2 * 3 * 10 * 8);
  EXPECT_EQ(dry->work(OpFamily::attention).recomputed, 2.0 * 2 * 3 * 10 * 8);
  EXPECT_EQ(dry->work().calls, 5);
  dry->reset_work();
  EXPECT_EQ(dry->work().bytes, 0.0);
}

// The plain kernels of attention's backward compute the scores and the gradients of the softmax weights twice.
TEST(DryBackend, CountsWhatThePlainKernelsExecute) {
  for (const auto& [dtype, products] : {std::pair{DType::f32, 7}, {DType::bf16, 5}}) {
    auto dry = make_dry_backend(AttentionKernels::rowan, 132);
    Arena arena(*dry, Category::activations);
    const AttentionShape s{64, 256, 8, 8, 64, 1.0f};
    Tensor qkv = arena.take(dtype, {s.tokens(), s.qkv_width()}), out = arena.take(dtype, {s.tokens(), s.out_width()}),
           sums = arena.take(DType::f32, {s.batch, s.heads, s.seq});
    dry->attention_forward(out, sums, qkv, s);
    const double forward = dry->kernels().back().flops;
    dry->attention_backward(qkv, out, out, sums, qkv, s);
    EXPECT_EQ(dry->kernels().back().flops / forward, products / 2.0);
  }
}

// The loops of key_value_kernel in kernels/cuda/attention_backward.cu, for heads of 64 and rows of one document.
double bytes_moved_by_owners(const AttentionShape& s, int64_t owners) {
  constexpr int64_t keys = 128, queries = 32;
  double moved = 0;
  for (int64_t owner = 0; owner < owners; ++owner)
    for (int64_t t = owner; t * keys < s.seq; t += owners)
      for (int64_t query = t * keys; query < s.seq; query += queries) {
        const bool first = t - owners < 0, last = owners == 1 && query < (t + 1) * keys;
        const double values = queries * s.head_dim;
        moved += 2 * 2 * values;                                   // q and dout
        moved += 4 * values * ((first ? 0 : 1) + (last ? 0 : 1));  // sums of dq
      }
  // The operands' bytes have q and dout once.
  return static_cast<double>(s.batch * s.heads) * (moved - 2 * 2 * static_cast<double>(s.seq * s.head_dim));
}

TEST(DryBackend, CountsWhatAttentionReadsAgain) {
  struct Case {
    AttentionShape shape;
    int64_t owners;  // 0: what blocks come back to fits into the cache
  };
  for (const auto& [s, owners] : {Case{{64, 1024, 12, 12, 64, 1.0f}, 1}, Case{{8, 1024, 16, 16, 64, 1.0f}, 3},
                                  Case{{512, 256, 12, 12, 64, 1.0f}, 0}}) {
    auto dry = make_dry_backend(AttentionKernels::rowan, 132);
    Arena arena(*dry, Category::activations);
    Tensor qkv = arena.take(DType::bf16, {s.tokens(), s.qkv_width()}),
           out = arena.take(DType::bf16, {s.tokens(), s.out_width()}),
           sums = arena.take(DType::f32, {s.batch, s.heads, s.seq});
    dry->attention_backward(qkv, out, out, sums, qkv, s);
    const double operands = dry->work(OpFamily::attention).bytes;
    EXPECT_EQ(operands, static_cast<double>(2 * qkv.bytes() + 2 * out.bytes() + sums.bytes()));
    EXPECT_EQ(dry->kernels().back().bytes, operands + (owners ? bytes_moved_by_owners(s, owners) : 0));
  }
}

TEST(DryBackend, CountsSymmetricProducts) {
  struct Case {
    int multiprocessors;
    int64_t n;
    double elements;
  };
  const Case cases[] = {{0, 768, 768.0 * 769 / 2},
                        {132, 768, 256.0 * (256 + 512 + 768)},                  // three strips of 256 rows
                        {132, 1100, 320.0 * (320 + 640 + 960) + 140.0 * 1100},  // 320, 320, 320 and 140 rows
                        {132, 500, 500.0 * 500}};
  for (auto [multiprocessors, n, elements] : cases) {
    auto dry = make_dry_backend(AttentionKernels::rowan, multiprocessors);
    Arena arena(*dry, Category::workspace);
    Tensor x = arena.take(DType::bf16, {5, n, 7}), c = arena.take(DType::bf16, {5, n, n});
    dry->matmul(c, {x}, {x, true}, 1, 0, Result::symmetric);
    EXPECT_EQ(dry->work(OpFamily::product).flops, 5 * 2 * 7 * elements);
    EXPECT_EQ(dry->work(OpFamily::product).bytes, static_cast<double>(2 * x.bytes() + c.bytes()));
    if (!multiprocessors) continue;
    ASSERT_EQ(dry->kernels().size(), 2);
    EXPECT_EQ(dry->kernels()[0].flops, 5 * 2 * 7 * elements);
    EXPECT_EQ(dry->kernels()[1].name, "mirror");
    EXPECT_EQ(dry->kernels()[1].bytes, static_cast<double>(c.bytes()));
  }
}

TEST(DryBackend, CountsExponentials) {
  auto dry = make_dry_backend();
  Arena arena(*dry, Category::activations);
  AttentionShape s{2, 5, 4, 2, 8, 1.0f};  // 2 rows of 5 tokens, 4 heads: 15 unmasked scores per row and head
  Tensor qkv = arena.take(DType::f32, {10, 64}), mixed = arena.take(DType::f32, {10, 32});
  Tensor sums = arena.take(DType::f32, {2, 4, 5});
  dry->attention_forward(mixed, sums, qkv, s);
  EXPECT_EQ(dry->work(OpFamily::attention).exponentials, 2.0 * 4 * 15);
  dry->attention_backward(qkv, mixed, mixed, sums, qkv, s);
  EXPECT_EQ(dry->work(OpFamily::attention).exponentials, 2 * 2.0 * 4 * 15);

  Tensor logits = arena.take(DType::bf16, {6, 16}), losses = arena.take(DType::f32, {6});
  Tensor targets = arena.take(DType::i32, {6});
  dry->cross_entropy(losses, logits, targets, {11}, 1.0f, true);  // columns 11 to 15 are padding
  EXPECT_EQ(dry->work(OpFamily::loss).exponentials, 6.0 * 11);
  dry->cross_entropy(losses, logits, targets, {11}, 1.0f, false);
  EXPECT_EQ(dry->work(OpFamily::loss).exponentials, 2 * 6.0 * 11);
  EXPECT_EQ(dry->work().exponentials, 2 * 2.0 * 4 * 15 + 2 * 6.0 * 11);
  EXPECT_EQ(dry->exponential_rate(), 0.0);
}

TEST(DryBackend, CountsTheExponentialsOfActivations) {
  auto dry = make_dry_backend();
  Arena arena(*dry, Category::activations);
  Tensor out = arena.take(DType::f32, {6, 7}), gate_up = arena.take(DType::f32, {6, 14});
  Tensor weight = arena.take(DType::f32, {7, 7}), pre = arena.take(DType::f32, {6, 7});
  for (const Activation kind : {Activation::silu, Activation::gelu_tanh, Activation::gelu_erf}) {
    dry->reset_work();
    dry->gated_forward(kind, out, gate_up);
    EXPECT_EQ(dry->work().exponentials, 42.0);
    dry->gated_backward(kind, gate_up, out, gate_up);
    EXPECT_EQ(dry->work().exponentials, 2 * 42.0);
    dry->activation_forward(kind, out, pre);
    EXPECT_EQ(dry->work().exponentials, 3 * 42.0);
    dry->activation_backward(kind, pre, out, pre);
    EXPECT_EQ(dry->work().exponentials, 4 * 42.0);
    dry->linear_activation_forward(kind, out, pre, pre, weight, Tensor());
    EXPECT_EQ(dry->work(OpFamily::activation).exponentials, 5 * 42.0);
  }
  dry->reset_work();
  dry->gated_forward(Activation::relu_squared, out, gate_up);
  dry->activation_backward(Activation::relu_squared, pre, out, pre);
  EXPECT_EQ(dry->work().exponentials, 0.0);
}

// The dry backend accepts only sizes and addresses below 2^63.
TEST(DryBackend, RefusesMoreThanAnyMemory) {
  auto dry = make_dry_backend();
  Arena arena(*dry, Category::weights);
  auto error = [](const std::function<void()>& work) -> std::string {
    try {
      work();
    } catch (const OutOfMemory& refused) {
      return refused.what();
    }
    return "";
  };
  const std::string expected = "out of memory: 2^63 bytes or more for weights";
  EXPECT_EQ(error([&] { arena.take(DType::f32, {int64_t{1} << 31, int64_t{1} << 30}); }), expected);
  EXPECT_EQ(error([&] { dry->allocate(size_t{1} << 63, Category::weights); }), expected);
  EXPECT_EQ(error([&] { dry->allocate(PTRDIFF_MAX, Category::weights); }), "");
}

TEST(DryBackend, ChecksItsArguments) {
  auto dry = make_dry_backend();
  Arena arena(*dry, Category::activations);
  Tensor in = arena.take(DType::bf16, {6, 5}), weight = arena.take(DType::bf16, {7, 4});
  EXPECT_THROW(dry->linear_forward(in, in, weight, Tensor()), Error);
}

}  // namespace
}  // namespace rowan
