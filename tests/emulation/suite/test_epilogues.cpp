// Tests products with an epilogue (bias, bias gradient, GELU): where cuBLASLt declines them, and where timing finds
// that a product without the epilogue and separate passes are faster.
#include <gtest/gtest.h>

#include <set>

#include "base/json.h"
#include "emulation/runtime.h"
#include "emulation/suite/runs.h"
#include "kernels/arena.h"
#include "kernels/floats.h"

namespace rowan {
namespace {

struct Answers {
  cublasStatus_t heuristic, product;
};
constexpr Answers accepted{CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_SUCCESS};
constexpr Answers declined[] = {{CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_SUCCESS},
                                {CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_SUCCESS},
                                {CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_INVALID_VALUE},
                                {CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_NOT_SUPPORTED}};

class Epilogues : public testing::Test {
 protected:
  Epilogues() { gpt2_["bias"] = true; }
  ~Epilogues() override {
    answer(accepted);
    emulation::make_slow(emulation::Slow::none);
  }

  static void answer(const Answers& answers) { emulation::decline_epilogues(answers.heuristic, answers.product); }

  static void expect_close(const std::vector<float>& apart, const std::vector<float>& fused) {
    ASSERT_EQ(apart.size(), fused.size());
    for (size_t step = 0; step < 4; ++step) EXPECT_NEAR(apart[step] / fused[step], 1, 1e-2) << "loss of step " << step;
  }

  std::vector<float> timed_run() const {
    auto backend = make_cuda_backend(0);
    backend->time_products(file_);
    return run(config_of(gpt2_, "adamw"), *backend);
  }

  Json gpt2_ = small_gpt2();
  TemporaryFolder folder_;
  const std::string file_ = folder_ / "products.json";
};

TEST_F(Epilogues, ThatAreDeclinedCostPassesAndNothingElse) {
  auto kernels_of_run = [&](std::vector<float>& result) {
    const int64_t before = emulation::counts().kernels;
    result = run(config_of(gpt2_, "adamw"));
    return emulation::counts().kernels - before;
  };
  std::vector<float> fused, apart;
  const int64_t kernels = kernels_of_run(fused);
  for (const Answers& answers : declined) {
    answer(answers);
    EXPECT_GT(kernels_of_run(apart), kernels);
    expect_close(apart, fused);
  }
}

// dout [rows, outputs], in [rows, 1], and their gradients. Row by row, dout is 1, 2, ..., outputs, and `in` is 1.
struct BiasLayer {
  static constexpr int64_t rows = 70, outputs = 9;
  std::unique_ptr<Backend> backend = make_cuda_backend(0);
  Arena arena{*backend, Category::workspace};
  Tensor dout = arena.take(DType::bf16, {rows, outputs}), in = arena.take(DType::bf16, {rows, 1}),
         d_weight = arena.take(DType::f32, {outputs, 1}), d_bias = arena.take(DType::f32, {outputs});

  BiasLayer() {
    std::vector<float> values;
    for (int64_t i = 0; i < rows * outputs; ++i) values.push_back(static_cast<float>(i % outputs + 1));
    upload_floats(*backend, dout, values.data());
    upload_floats(*backend, in, std::vector<float>(rows, 1.0f).data());
  }
  void backward(bool accumulate) { backend->linear_backward_weight(d_weight, d_bias, dout, in, accumulate); }
  void expect_sums(int times) const {
    for (const Tensor& x : {d_weight, d_bias}) {
      std::vector<float> sums(outputs);
      backend->download(sums.data(), x);
      for (int64_t o = 0; o < outputs; ++o)
        EXPECT_EQ(sums[static_cast<size_t>(o)], static_cast<float>(times * rows * (o + 1))) << o;
    }
  }
};

// A product that also computes the bias gradient needs no scratch memory. A separate pass for the bias gradient keeps
// partial sums in scratch memory.
TEST_F(Epilogues, OfABiasGradientThatAreDeclinedTakeAPass) {
  for (const Answers& answers : {accepted, declined[0], declined[1], declined[2], declined[3]}) {
    answer(answers);
    BiasLayer layer;
    const size_t before = held(*layer.backend);
    layer.backward(false);
    EXPECT_EQ(held(*layer.backend) > before, answers.heuristic || answers.product);
    layer.expect_sums(1);
    layer.backward(true);
    layer.expect_sums(2);
  }
}

// The declined product would have been added to the gradient. If it failed while it ran, it may have changed the
// gradient, and the run must end.
TEST_F(Epilogues, ThatAreDeclinedLeaveAGradientThatIsAddedTo) {
  for (const Answers& answers : declined) {
    answer(answers);
    BiasLayer layer;
    for (int times : {1, 2}) {
      layer.backward(true);
      layer.expect_sums(times);
    }
  }
  answer({CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_EXECUTION_FAILED});
  BiasLayer added, replaced;
  EXPECT_NE(error_of([&] { added.backward(true); }).find("linear_backward_weight on"), std::string::npos);
  replaced.backward(false);
  replaced.expect_sums(1);
}

// The number of choices of the file for products with an epilogue. Expects that all of these are "apart", or that none
// is.
size_t epilogues_in(const std::string& file, bool apart) {
  const Json choices = Json::parse(read_file(file))["products"];
  std::set<std::string> epilogues;
  for (const auto& [product, choice] : choices.items()) {
    const std::string epilogue =
        product.substr(product.find("epilogue"), product.rfind(',') - product.find("epilogue"));
    const bool plain = epilogue == fmt::format("epilogue {}", int(CUBLASLT_EPILOGUE_DEFAULT));
    if (!plain) epilogues.insert(epilogue);
    EXPECT_EQ(choice == "apart", apart && !plain) << product;
  }
  return epilogues.size();
}

TEST_F(Epilogues, ThatAreSlowAreLeftOut) {
  const std::vector<float> fused = run(config_of(gpt2_, "adamw"));
  emulation::make_slow(emulation::Slow::with_epilogue);
  const std::vector<float> apart = timed_run();
  expect_close(apart, fused);
  EXPECT_EQ(epilogues_in(file_, true), 4u) << "bias, bias gradient, GELU forward and backward";

  // A continued run keeps the choice.
  const std::string choices = read_file(file_);
  emulation::make_slow(emulation::Slow::without);
  EXPECT_EQ(timed_run(), apart);
  EXPECT_EQ(read_file(file_), choices);
}

TEST_F(Epilogues, ThatAreFastAreKept) {
  emulation::make_slow(emulation::Slow::without);
  const std::vector<float> fused = timed_run();
  EXPECT_EQ(epilogues_in(file_, false), 4u);
  emulation::make_slow(emulation::Slow::with_epilogue);
  EXPECT_EQ(timed_run(), fused);
}

}  // namespace
}  // namespace rowan
