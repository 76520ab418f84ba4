// Compares averages of the weights (optim/average.h) with their formulas. Also tests that an average can take the place
// of the weights, and that a tail average starts again in a longer run.
#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "optim/average.h"
#include "unit/optim/optimizer_bench.h"

namespace rowan::test {
namespace {

constexpr int64_t size = 35;

// Holds the weights of one parameter, with or without masters. A test sets the weights.
struct Weights {
  std::unique_ptr<Backend> backend = make_cpu_backend(1);
  ParameterTable table;
  Arena arena{*backend, Category::weights};
  std::vector<Share> shares{1};

  Weights(DType dtype, bool masters) {
    table.add({"w", Role::matrix, {5, 7}});
    shares[0].parameter = &table.parameters()[0];
    shares[0].count = size;
    shares[0].weight = arena.take(dtype, {5, 7});
    if (masters) shares[0].master = arena.take(DType::f32, {5, 7});
  }
  void set(const Floats& values) {
    Tensor from(const_cast<float*>(values.data()), DType::f32, {size});
    if (!shares[0].master.empty()) backend->copy(shares[0].master, from);
    backend->copy(shares[0].weight, from);
  }
  Floats read(const Tensor& x) const {
    Floats values(size);
    backend->copy(Tensor(values.data(), DType::f32, {size}), x);
    return values;
  }
};

Floats weights_after(int64_t step) { return normal_floats(size, 10 + static_cast<uint64_t>(step)); }

TEST(Averages, AreThoseOfTheirFormulas) {
  Weights weights(DType::bf16, true);
  Averages averages(*weights.backend, {.ema = 0.75, .ema_start = 2, .tail = 4}, 9, weights.shares);
  std::vector<double> ema, tail(size);
  for (int64_t step = 1; step <= 9; ++step) {
    const Floats w = weights_after(step);
    weights.set(w);
    averages.update(step);
    if (step == 3) ema.assign(w.begin(), w.end());
    for (size_t i = 0; i < size; ++i) {
      if (step > 3) ema[i] = 0.75 * ema[i] + 0.25 * double{w[i]};
      if (step > 5) tail[i] += double{w[i]} / 4;
    }
    EXPECT_EQ(averages.all()[0].count, std::max<int64_t>(0, step - 2));
    EXPECT_EQ(averages.all()[1].count, std::max<int64_t>(0, step - 5));
  }
  const Floats got_ema = weights.read(averages.all()[0].values[0]),
               got_tail = weights.read(averages.all()[1].values[0]);
  for (size_t i = 0; i < size; ++i) {
    EXPECT_NEAR(got_ema[i], ema[i], 1e-6);
    EXPECT_NEAR(got_tail[i], tail[i], 1e-6);
  }
}

TEST(Averages, TakeThePlaceOfWeightsAndLeaveIt) {
  for (auto [dtype, masters] : {std::pair(DType::f32, false), {DType::bf16, false}, {DType::bf16, true}}) {
    Weights weights(dtype, masters);
    Averages averages(*weights.backend, {.ema = 0.5, .ema_start = 0, .tail = 0}, 9, weights.shares);
    for (int64_t step = 1; step <= 2; ++step) {
      weights.set(weights_after(step));
      averages.update(step);
    }
    const Tensor& weight = weights.shares[0].weight;
    const Floats before = weights.read(weight), average = weights.read(averages.all()[0].values[0]);
    averages.show(averages.all()[0]);
    for (size_t i = 0; i < size; ++i)
      EXPECT_EQ(weights.read(weight)[i], dtype == DType::f32 ? average[i] : to_float(to_bf16(average[i])));
    averages.hide();
    EXPECT_EQ(weights.read(weight), before);
  }
}

// The tail average covers the last steps of a run. A longer run has other last steps, so the average starts again.
TEST(Averages, ATailBeginsAnew) {
  Weights weights(DType::f32, false);
  Averages averages(*weights.backend, {.ema = 0, .ema_start = 0, .tail = 2}, 8, weights.shares);
  averages.all()[0].count = 2;  // as in a checkpoint of a run of 4 steps
  weights.set(weights_after(5));
  averages.update(5);
  EXPECT_EQ(averages.all()[0].count, 0);
  weights.set(weights_after(7));
  averages.update(7);
  EXPECT_EQ(weights.read(averages.all()[0].values[0]), weights_after(7));
}

}  // namespace
}  // namespace rowan::test
