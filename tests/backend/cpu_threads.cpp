// Of the CPU backend alone: the number of threads does not change a bit of what its own loops compute.
#include "suite.h"

namespace rowan::test {
namespace {

// Everything a few operations with sums across rows give on `threads` threads.
std::vector<Doubles> results(int threads, DType dtype) {
  std::unique_ptr<Backend> cpu = make_cpu_backend(threads);
  constexpr int64_t rows = 150, width = 48;
  const AttentionShape shape{3, 50, 2, 1, 12, 0.3f};
  Buffer x(dtype, {rows, width}, 1), d(dtype, {rows, width}, 2), weight(dtype, {width}, 3), out(dtype, {rows, width});
  Buffer rstd(DType::f32, {rows}), d_weight(DType::f32, {width}), d_table(DType::f32, {9, width}), one(DType::f32, {1});
  Doubles tokens;
  for (int64_t n = 0; n < rows; ++n) tokens.push_back(static_cast<double>(n * n % 9));
  Buffer ids(DType::i32, {rows}, tokens), losses(DType::f32, {rows}), mixed(dtype, {rows, 24}),
      d_mixed(dtype, {rows, 24}, 4);
  Buffer sums(DType::f32, {3, 2, 50}), d_x(dtype, {rows, width});
  cpu->norm_forward({.out = out, .rstd = rstd, .residual = x, .weight = weight});
  cpu->norm_backward(
      {.d_residual = d, .d_weight = d_weight, .dout = out, .r = x, .weight = weight, .rstd = rstd, .accumulate = true});
  cpu->embedding_backward(d_table, Tensor(), d, ids, 50);
  cpu->attention_forward(mixed, sums, x, shape);
  cpu->attention_backward(d_x, d_mixed, mixed, sums, x, shape);
  cpu->sum_squares(one, {x, d_x});
  std::vector<Doubles> all;
  for (const Buffer* b : {&out, &d, &d_weight, &d_table, &mixed, &sums, &d_x, &one}) all.push_back(b->read());
  cpu->cross_entropy(losses, out, ids, width, 0.5f, true);
  all.push_back(losses.read());
  all.push_back(out.read());
  return all;
}

TEST(CpuThreads, DoNotChangeResults) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    std::vector<Doubles> one = results(1, dtype);
    for (int threads : {2, 3, 5}) EXPECT_EQ(results(threads, dtype), one) << threads << " threads, " << name_of(dtype);
    EXPECT_EQ(results(2, dtype), results(2, dtype));
  }
}

}  // namespace
}  // namespace rowan::test
