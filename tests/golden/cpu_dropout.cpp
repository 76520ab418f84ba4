// Tests dropout in whole models. The tests compare mean losses and mean gradients of many draws with golden files, and
// check the slope of the loss. The masks of a sample must not depend on the micro-batch or on recomputation. An
// evaluation must drop nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "golden_files.h"
#include "golden_model.h"

namespace rowan {
namespace {

// A golden model whose rows are repeated in the micro-batch.
class Draws {
 public:
  Draws(const Golden& golden, const DropoutRates& rates, int64_t copies, Recompute recompute = Recompute::none)
      : golden_(golden), copies_(copies), rates_(rates) {
    ModelConfig config = golden.config;
    config.dropout = rates;
    ModelOptions options;
    options.batch = copies * golden.rows();
    options.seq = golden.sequence_length();
    options.dropout_seed = 7;
    options.recompute = recompute;
    model_ = std::make_unique<Model>(*backend_, config, options);
    golden.load(*model_);
    auto repeated = [&](const char* name) {
      std::vector<int32_t> all;
      for (int64_t i = 0; i < copies; ++i) {
        const std::vector<int32_t> one = golden.ints(name);
        all.insert(all.end(), one.begin(), one.end());
      }
      return all;
    };
    const std::vector<int32_t> ids = repeated("input_ids"), wanted = repeated("targets");
    counted_ = static_cast<int64_t>(wanted.size()) - std::count(wanted.begin(), wanted.end(), -100);
    tokens_ = data_.take(DType::i32, {static_cast<int64_t>(ids.size())});
    targets_ = data_.take(DType::i32, {static_cast<int64_t>(ids.size())});
    backend_->upload(tokens_, ids.data());
    backend_->upload(targets_, wanted.data());
  }

  // Returns the losses of all targets with the masks of samples [first, first + rows), and computes the gradients of
  // their mean.
  std::vector<float> draw(int64_t first) {
    if (rates_.any()) {
      std::vector<int32_t> numbers;
      for (int64_t i = 0; i < model_->options().batch; ++i) {
        numbers.push_back(static_cast<int32_t>(first + i));
        numbers.push_back(0);
      }
      backend_->upload(model_->samples(), numbers.data());
    }
    std::vector<float> losses(static_cast<size_t>(tokens_.numel()));
    backend_->download(losses.data(),
                       model_->loss_and_gradients(tokens_, targets_, 1.0f / static_cast<float>(counted_), false));
    return losses;
  }
  double mean(int64_t first) {
    const std::vector<float> losses = draw(first);
    return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(counted_);
  }
  std::vector<float> losses_without() {
    std::vector<float> losses(static_cast<size_t>(tokens_.numel()));
    backend_->download(losses.data(), model_->loss(tokens_, targets_));
    return losses;
  }
  std::vector<float> gradients() const {
    std::vector<float> values(static_cast<size_t>(model_->gradients().numel()));
    backend_->download(values.data(), model_->gradients());
    return values;
  }
  int64_t rows() const { return copies_ * golden_.rows(); }
  Model& model() { return *model_; }
  Backend& backend() { return *backend_; }

 private:
  const Golden& golden_;
  int64_t copies_;
  DropoutRates rates_;
  std::unique_ptr<Backend> backend_ = make_golden_backend();
  std::unique_ptr<Model> model_;
  Arena data_{*backend_, Category::data};
  Tensor tokens_, targets_;
  int64_t counted_ = 0;
};

class GoldenDropouts : public testing::TestWithParam<std::filesystem::path> {
 protected:
  Golden golden_ = Golden::open(GetParam());
  const DropoutRates everywhere_{0.2, 0.2, 0.2};
};

TEST_P(GoldenDropouts, MeanLossesAreThoseOfManyDraws) {
  constexpr int64_t copies = 50, passes = 200;
  for (const GoldenDropout& row : golden_.dropout) {
    Draws draws(golden_, row.rates, copies);
    double sum = 0;
    for (int64_t i = 0; i < passes; ++i) sum += draws.mean(i * draws.rows());
    const double error = row.deviation * std::sqrt(1.0 / (copies * passes) + 1 / row.draws);
    EXPECT_NEAR(sum / passes, row.mean, 4 * error)
        << row.rates.embedding << " " << row.rates.attention << " " << row.rates.residual;
  }
}

// The mean gradient differs from the reference by less than twice the standard error of the draws.
TEST_P(GoldenDropouts, MeanGradientIsThatOfManyDraws) {
  constexpr int64_t copies = 50, passes = 200;
  const SafeTensors want(golden_.folder / "dropout_grads.safetensors");
  const double reference_draws = golden_.dropout.front().draws;
  Draws draws(golden_, everywhere_, copies);
  std::vector<double> sum(draws.gradients().size()), squares(sum.size());
  for (int64_t i = 0; i < passes; ++i) {
    draws.mean(i * draws.rows());
    const std::vector<float> gradient = draws.gradients();
    for (size_t j = 0; j < sum.size(); ++j)
      sum[j] += double{gradient[j]}, squares[j] += std::pow(double{gradient[j]}, 2);
  }
  for (const Parameter& parameter : draws.model().parameters().parameters()) {
    const std::vector<float> expected = read_floats(want.find(parameter.name));
    double difference = 0, error = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t at = static_cast<size_t>(parameter.offset) + i;
      const double mean = sum[at] / passes;
      difference += std::pow(mean - expected[i], 2);
      error += (squares[at] / passes - mean * mean) * (1.0 / passes + copies / reference_draws);
    }
    EXPECT_LT(std::sqrt(difference), 2 * std::sqrt(error) + 1e-6) << parameter.name;
  }
}

// With fixed masks, the slope of the loss along the gradient is the norm of the gradient.
TEST_P(GoldenDropouts, GradientIsTheSlopeUnderTheSameMasks) {
  Draws draws(golden_, everywhere_, 1);
  draws.mean(11);
  const std::vector<float> gradient = draws.gradients();
  double squares = 0;
  for (float g : gradient) squares += double{g} * g;
  std::vector<float> weights(gradient.size());
  draws.backend().download(weights.data(), draws.model().weights());
  auto moved = [&](double step) {
    std::vector<float> values = weights;
    for (size_t i = 0; i < values.size(); ++i) values[i] += static_cast<float>(step * gradient[i] / std::sqrt(squares));
    draws.backend().upload(draws.model().weights(), values.data());
    return draws.mean(11);
  };
  const double h = 3e-3, slope = (moved(h) - moved(-h)) / (2 * h);
  EXPECT_NEAR(slope / std::sqrt(squares), 1, 1e-2);
}

TEST_P(GoldenDropouts, MasksBelongToSamples) {
  Draws four(golden_, everywhere_, 4), kept(golden_, everywhere_, 1), again(golden_, everywhere_, 1, Recompute::block),
      mlp(golden_, everywhere_, 1, Recompute::mlp);
  const std::vector<float> all = four.draw(100);
  const size_t part = all.size() / 4;
  for (int64_t i = 0; i < 4; ++i) {
    const std::vector<float> one = kept.draw(100 + i * kept.rows());
    EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + static_cast<int64_t>(i * part))) << i;
    for (Draws* draws : {&again, &mlp}) {
      EXPECT_EQ(draws->draw(100 + i * kept.rows()), one);
      EXPECT_EQ(draws->gradients(), kept.gradients());
    }
  }
}

TEST_P(GoldenDropouts, NothingIsDroppedAtEvaluation) {
  Draws with(golden_, everywhere_, 1), without(golden_, {}, 1);
  EXPECT_EQ(with.losses_without(), without.losses_without());
  EXPECT_EQ(without.draw(3), without.losses_without());
  EXPECT_NE(with.draw(3), without.losses_without());
  EXPECT_EQ(with.losses_without(), without.losses_without());
}

std::vector<std::filesystem::path> cases() {
  std::vector<std::filesystem::path> result;
  for (const std::filesystem::path& folder : golden_models())
    if (std::filesystem::exists(folder / "dropout_grads.safetensors")) result.push_back(folder);
  return result;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenDropouts, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.filename().string(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenDropouts);

TEST(GoldenFiles, OfDropout) {
  if (cases().empty()) GTEST_SKIP() << "needs models with dropout in the folder named by ROWAN_GOLDEN";
}

}  // namespace
}  // namespace rowan
