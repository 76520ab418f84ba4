// Tests Trainer::step(). The loss and the gradient are means over the targets of the step. The gradient is clipped to a
// global norm. A step whose gradient is not finite changes nothing, and ten such steps in a row are an error.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "comm/transports.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "small_run.h"
#include "temporary_folder.h"
#include "train/trainer.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

constexpr int64_t step_rows = 4, row_length = 8;

// A trainer on one process and one thread, which processes the 4 rows of a step in micro-batches of 2.
class TrainerStep : public ::testing::Test {
 protected:
  TrainConfig config_for(const Tokens& tokens, const Json& more = Json::object()) {
    folder_.write("train.bin", llmc(tokens));
    Json config = {{"model", small_llama()},
                   {"data", {{"train", folder_ / "train.bin"}, {"order", "sequential"}}},
                   {"batch", {{"sequences", step_rows}, {"sequence_length", row_length}, {"micro_batch", 2}}},
                   {"optimizer", {{"name", "muon-moonlight"}, {"lr", 0.01}}},
                   {"precision", "fp32"},
                   {"run", {{"dir", folder_ / "run"}, {"steps", 100}}}};
    config["model"]["tie_word_embeddings"] = false;
    config.merge_patch(more);
    return load_config(folder_.write("config.json", config.dump()), {});
  }

  std::vector<float> floats(Tensor tensor) {
    std::vector<float> values(static_cast<size_t>(tensor.numel()));
    backend_->download(values.data(), tensor);
    return values;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_ = make_cpu_backend(1);
  std::unique_ptr<Communicator> alone_ = make_single_communicator();
};

double norm_of(const std::vector<float>& values) {
  double squares = 0;
  for (float value : values) squares += double{value} * value;
  return std::sqrt(squares);
}

// A row holds at most 7 tokens of a document, then the end token, then padding. Every token but the last of a row is
// followed by its target. The documents have 1 to 12 tokens, so the micro-batches of a step have different numbers of
// targets.
TEST_F(TrainerStep, LossAndGradientAreMeansOverTheTargets) {
  constexpr int32_t end = 101, padding = 0;
  constexpr int steps = 3;
  Tokens stream;
  std::vector<Tokens> inputs, targets;
  for (int length : {3, 12, 1, 7, 5, 8, 2, 6, 1, 4, 9, 1}) {
    Tokens row;
    stream.push_back(end);
    for (int i = 0; i < length; ++i) {
      stream.push_back(static_cast<int32_t>(1 + (7 * stream.size()) % 90));
      if (i < row_length - 1) row.push_back(stream.back());
    }
    row.push_back(end);
    Tokens next(row.begin() + 1, row.end());
    row.resize(row_length, padding);
    next.resize(row_length, ignored_target);
    inputs.push_back(row);
    targets.push_back(next);
  }
  ASSERT_EQ(inputs.size(), steps * step_rows);

  const TrainConfig config = config_for(stream, {{"data", {{"reading", "documents"}, {"end_id", end}}}});
  Trainer trainer(config, *backend_, *alone_);
  ModelOptions one_row;
  one_row.seq = row_length;
  Model model(*backend_, config.model, one_row);
  Arena memory(*backend_, Category::data);
  const Tensor tokens = memory.take(DType::i32, {row_length}), wanted = memory.take(DType::i32, {row_length});
  for (size_t step = 0; step < steps; ++step) {
    for (const Parameter& parameter : model.parameters().parameters())
      model.set(parameter, floats(trainer.model().weight(parameter)).data());
    double loss = 0, count = 0;
    for (size_t i = step * step_rows; i < (step + 1) * step_rows; ++i) {
      backend_->upload(tokens, inputs[i].data());
      backend_->upload(wanted, targets[i].data());
      for (float one : floats(model.loss_and_gradients(tokens, wanted, 1, i % step_rows > 0))) loss += double{one};
      count += static_cast<double>(row_length - std::count(targets[i].begin(), targets[i].end(), ignored_target));
    }
    const StepResult result = trainer.step();
    EXPECT_NEAR(result.loss, loss / count, 1e-5) << "step " << step;
    EXPECT_NEAR(result.grad_norm / (norm_of(floats(model.gradients())) / count), 1, 1e-5) << "step " << step;
  }
}

// SGD without momentum: the step is the clipped gradient times the learning rate.
TEST_F(TrainerStep, TheGradientIsClippedToAGlobalNorm) {
  double grad_norm = 0;
  // Returns the change of a matrix in the first step.
  auto change = [&](double clip) {
    const TrainConfig config =
        config_for(counting(100), {{"optimizer", {{"name", "sgdm"}, {"lr", 1}, {"momentum", 0}}}, {"grad_clip", clip}});
    Trainer trainer(config, *backend_, *alone_);
    const Tensor matrix = trainer.model().weight(trainer.model().parameters().find("lm_head.weight"));
    const std::vector<float> before = floats(matrix);
    const StepResult result = trainer.step();
    if (grad_norm == 0) grad_norm = result.grad_norm;
    EXPECT_EQ(result.grad_norm, grad_norm) << "the norm before clipping is reported";
    std::vector<float> change = floats(matrix);
    for (size_t i = 0; i < change.size(); ++i) change[i] -= before[i];
    return change;
  };
  const std::vector<float> whole = change(0);
  ASSERT_GT(norm_of(whole), 0.01);
  for (double part : {0.01, 0.3, 0.9, 1.1, 20.0}) {
    const double clip = part * grad_norm, factor = std::min(1.0, clip / (grad_norm + 1e-6));
    const std::vector<float> clipped = change(clip);
    std::vector<float> difference;
    for (size_t i = 0; i < whole.size(); ++i)
      difference.push_back(static_cast<float>(clipped[i] - factor * double{whole[i]}));
    EXPECT_NEAR(norm_of(clipped) / norm_of(whole), factor, 1e-4) << part;
    EXPECT_LT(norm_of(difference), 1e-4 * factor * norm_of(whole)) << part;
  }
}

// The embedding of one token is NaN, so only steps whose inputs contain the token have a gradient that is not finite.
class StepsWithNaN : public TrainerStep {
 protected:
  static constexpr int32_t bad_token = 200;

  // A config whose step i has a bad gradient if order[i] is 'b'.
  TrainConfig config_of_order(const std::string& order) {
    Tokens tokens;
    for (char kind : order)
      for (int64_t i = 0; i < step_rows * row_length; ++i)
        tokens.push_back(kind == 'b' && i == 21 ? bad_token : static_cast<int32_t>(tokens.size() % 97));
    tokens.push_back(1);  // the last target
    return config_for(tokens);
  }
  void spoil(const Trainer& trainer) {
    const Parameter& embedding = trainer.model().parameters().find("model.embed_tokens.weight");
    const Tensor row = trainer.model().weight(embedding).at(bad_token);
    const std::vector<float> values(static_cast<size_t>(row.numel()), std::numeric_limits<float>::quiet_NaN());
    backend_->upload(row, values.data());
  }
  // The bytes of all weights and of the whole state of the optimizer.
  std::string bytes_of(const Trainer& trainer) {
    std::string all;
    auto add = [&](Tensor tensor) {
      std::string bytes(tensor.bytes(), '\0');
      backend_->download(bytes.data(), tensor);
      all += bytes;
    };
    add(trainer.model().weights());
    for (const StateTensor& state : trainer.optimizer().state()) add(state.tensor);
    return all;
  }
};

TEST_F(StepsWithNaN, ChangeNothingAndTheTenthInARowIsAnError) {
  const TrainConfig config = config_of_order("g" + std::string(9, 'b') + "g" + std::string(10, 'b'));
  Trainer trainer(config, *backend_, *alone_);
  spoil(trainer);
  for (int updates : {1, 2}) {
    const std::string before = bytes_of(trainer);
    EXPECT_EQ(trainer.step().skipped, "");
    EXPECT_EQ(trainer.optimizer().updates(), updates);
    const std::string after = bytes_of(trainer);
    EXPECT_TRUE(after != before);
    for (int i = 0; i < 9; ++i) {
      const StepResult result = trainer.step();
      EXPECT_FALSE(std::isfinite(result.grad_norm));
      EXPECT_EQ(result.skipped, "the gradient is not finite");
      EXPECT_EQ(trainer.optimizer().updates(), updates);
      EXPECT_TRUE(bytes_of(trainer) == after) << "skipped step " << i << " after update " << updates;
    }
  }
  const std::string last = bytes_of(trainer);
  EXPECT_ERROR(trainer.step(), "step 21: ");
  EXPECT_TRUE(bytes_of(trainer) == last);
}

}  // namespace
}  // namespace rowan
