// Tests the CPU backend at every level that this machine supports. The results of a level must have the same bits on 1,
// 2, 3 and 5 threads. The results of different levels must agree up to rounding errors.
#include "kernels/cpu_levels.h"
#include "suite.h"

namespace rowan::test {
namespace {

// Matrix products with many rows and with few, single and batched. Some inner dimensions are large enough to be split.
std::vector<Doubles> products(Backend& cpu, DType dtype) {
  constexpr int64_t n = 210, o = 333, i = 700;
  Buffer in(dtype, {n, i}, 5), weight(dtype, {o, i}, 6), bias(dtype, {o}, 7), out(dtype, {n, o}), few(dtype, {3, o});
  Buffer d_in(dtype, {n, i}), d_weight(DType::f32, {o, i}, 8), d_bias(DType::f32, {o}), c(dtype, {9, 40, 50});
  Buffer a(dtype, {9, 60, 40}, 9), b(dtype, {9, 60, 50}, 10);
  cpu.linear_forward(out, in, weight, bias);
  cpu.linear_forward(few, in.tensor().slice(0, 3), weight, bias);
  cpu.linear_backward_input(d_in, out, weight, false);
  cpu.linear_backward_weight(d_weight, d_bias, out, in, true);
  cpu.matmul(c, Operand{a, true}, Operand{b, false}, 0.5f, 0);
  Buffer gram(dtype, {o, o}, 11), grams(dtype, {9, 40, 40}), wide(dtype, {600, 600}), rows(dtype, {600, 30}, 12);
  cpu.matmul(gram, Operand{weight, false}, Operand{weight, true}, 0.5f, 0.25f, Result::symmetric);
  cpu.matmul(grams, Operand{a, true}, Operand{a, false}, 1, 0, Result::symmetric);
  cpu.matmul(wide, Operand{rows, false}, Operand{rows, true}, 1, 0, Result::symmetric);
  return {out.read(), few.read(),  d_in.read(),  d_weight.read(), d_bias.read(),
          c.read(),   gram.read(), grams.read(), wide.read()};
}

// Results of norm, embedding, attention, sum of squares, loss and matrix products, on `threads` threads.
std::vector<Doubles> results(const std::string& level, int threads, DType dtype) {
  std::unique_ptr<Backend> cpu = make_cpu_backend_at(level, threads);
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
  cpu->cross_entropy(losses, out, ids, {width}, 0.5f, true);
  all.push_back(losses.read());
  all.push_back(out.read());
  for (const Doubles& product : products(*cpu, dtype)) all.push_back(product);
  return all;
}

TEST(CpuThreads, DoNotChangeResults) {
  for (const std::string& level : cpu_levels())
    for (DType dtype : {DType::f32, DType::bf16}) {
      std::vector<Doubles> one = results(level, 1, dtype);
      for (int threads : {2, 3, 5})
        EXPECT_EQ(results(level, threads, dtype), one) << level << ", " << threads << " threads, " << name_of(dtype);
      EXPECT_EQ(results(level, 2, dtype), results(level, 2, dtype));
    }
}

TEST(CpuLevels, Agree) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const std::vector<Doubles> want = results(cpu_levels()[0], 2, dtype);
    for (const std::string& level : cpu_levels()) {
      const std::vector<Doubles> got = results(level, 2, dtype);
      ASSERT_EQ(got.size(), want.size());
      // Intermediate results that were rounded to bf16 may differ by one or two roundings.
      for (size_t i = 0; i < want.size(); ++i)
        expect_close(got[i], want[i], dtype, level + ", result " + std::to_string(i),
                     dtype == DType::bf16 ? 3e-2 : 2e-5);
    }
  }
}

}  // namespace
}  // namespace rowan::test
