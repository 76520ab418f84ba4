// Tests the time budget of a step (`rowan plan --device`). One test compares budgets with budgets that were computed by
// hand for an H200. Other tests cover several micro-steps, several ranks, fp32, and the profiles of devices.
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/json.h"
#include "model/layout.h"
#include "paths.h"
#include "temporary_folder.h"
#include "train/step_budget.h"

namespace rowan {
namespace {

TrainConfig budget_config(const std::string& model, int64_t sequences, int64_t length, const std::string& precision) {
  TemporaryFolder folder;
  const Json json = {{"model", source_path("configs/models/" + model + ".json")},
                     {"data", {{"train", "train.bin"}}},
                     {"batch", {{"sequences", sequences}, {"sequence_length", length}}},
                     {"optimizer", {{"name", "adamw"}}},
                     {"precision", precision},
                     {"run", {{"dir", "run"}, {"steps", 1}}}};
  return load_config(folder.write("config.json", json.dump()), {});
}

double milliseconds(const StepBudget& budget, const std::function<bool(const Kernel&)>& counts) {
  double sum = 0;
  for (const BudgetRow& row : budget.rows)
    if (counts(row.kernel)) sum += 1e3 * row.seconds;
  return sum;
}

// Holds a model, a batch, and milliseconds per step for each kind of kernel. 0 means that the model has no such kernel.
struct HandBudget {
  const char* model;
  int64_t sequences, length;
  double layer_products, head_products, attention_forward, attention_backward, norm_forward, norm_backward,
      bias_gradients, rope, gated_forward, gated_backward, cross_entropy, embedding, adamw, norm_and_zero;
};

// Computed by hand. attention_backward computes five matrix products and does not keep its sums in shared memory.
// embedding counts only its bytes. rope counts only the forward pass, because attention_backward undoes the rotation
// for the head_dim of these models. Bias gradients are computed by the products of the weight gradients.
const HandBudget by_hand[] = {
    {"gpt2_124m", 64, 1024, 56.3, 25.3, 5.2, 15.2, 2.6, 2.6, 0, 0, 0, 0, 3.3, 0.16, 1.1, 0.25},
    {"llama_130m", 512, 256, 112.6, 32.2, 3.6, 10.3, 5.1, 5.1, 0, 2.55, 5.1, 8.5, 4.2, 0.17, 1.1, 0.3},
    {"llama_350m", 64, 1024, 190.9, 20.5, 13.8, 38.7, 6.8, 6.8, 0, 3.4, 6.8, 11.4, 2.1, 0.16, 3.1, 0.8},
};

TEST(StepBudget, IsTheOneWorkedOutByHand) {
  for (const HandBudget& hand : by_hand) {
    const TrainConfig config = budget_config(hand.model, hand.sequences, hand.length, "bf16");
    const StepBudget budget = step_budget(make_plan(config, 1), device_profile("h200"), false);
    const std::string head = "linear [" + std::to_string(config.model.logit_width()) + ",";
    auto is_head = [&](const Kernel& k) { return k.name.starts_with(head); };
    auto expect_row = [&](const std::string& name, double want, const std::function<bool(const Kernel&)>& counts) {
      EXPECT_NEAR(milliseconds(budget, counts), want, 0.1 * want) << hand.model << ": " << name;
    };
    auto named = [&](const std::string& name) { return [=](const Kernel& k) { return k.name == name; }; };
    expect_row("products of the layers", hand.layer_products,
               [&](const Kernel& k) { return k.name.starts_with("linear") && !is_head(k); });
    expect_row("products of the head", hand.head_products, is_head);
    expect_row("embedding", hand.embedding, [](const Kernel& k) { return k.name.starts_with("embedding"); });
    expect_row("gradient norm, zero", hand.norm_and_zero,
               [](const Kernel& k) { return k.name == "zero" || k.name == "sum_squares"; });
    expect_row("attention_forward", hand.attention_forward, named("attention_forward"));
    expect_row("attention_backward", hand.attention_backward, named("attention_backward"));
    expect_row("norm_forward", hand.norm_forward, named("norm_forward"));
    expect_row("norm_backward", hand.norm_backward, named("norm_backward"));
    expect_row("bias gradients", hand.bias_gradients, named("bias gradients"));
    expect_row("rope", hand.rope, named("rope"));
    expect_row("gated_forward", hand.gated_forward, named("gated_forward"));
    expect_row("gated_backward", hand.gated_backward, named("gated_backward"));
    expect_row("cross_entropy", hand.cross_entropy, named("cross_entropy"));
    expect_row("adamw", hand.adamw, named("adamw"));
  }
}

TEST(StepBudget, IsMadeOfItsRowsTheLongestFirst) {
  const StepBudget budget =
      step_budget(make_plan(budget_config("gpt2_124m", 64, 1024, "bf16"), 1), device_profile("h200"), false);
  double sum = 0, before = 1;
  for (const BudgetRow& row : budget.rows) {
    EXPECT_LE(row.seconds, before) << row.kernel.name;
    sum += before = row.seconds;
  }
  EXPECT_NEAR(budget.kernel_seconds, sum, 1e-12);
  EXPECT_EQ(budget.message_seconds, 0);
}

// A step of several micro-steps takes about the same kernel time as a step of one micro-step.
TEST(StepBudget, CountsEveryMicroStep) {
  TrainConfig config = budget_config("gpt2_124m", 64, 1024, "bf16");
  const StepBudget whole = step_budget(make_plan(config, 1), device_profile("h200"), false);
  config.batch.micro_batch = 16;
  const StepBudget parts = step_budget(make_plan(config, 1), device_profile("h200"), false);
  auto attention = [](const Kernel& k) { return k.name.starts_with("attention"); };
  EXPECT_NEAR(milliseconds(parts, attention), milliseconds(whole, attention), 1e-9);
  EXPECT_NEAR(parts.kernel_seconds / whole.kernel_seconds, 1, 0.05);
}

TEST(StepBudget, RanksSendOverTheLink) {
  const DeviceProfile device = device_profile("h200");
  const TrainConfig config = budget_config("gpt2_124m", 64, 1024, "bf16");
  const Plan plan = make_plan(config, 8);
  const double parameters = 4.0 * static_cast<double>(parameter_table(config.model).count());
  EXPECT_NEAR(step_budget(plan, device, false).message_seconds, 2.0 * 7 / 8 * parameters / device.link, 1e-5);
}

// A first-time user may choose fp32 on a GPU. Without TF32, products and attention then run without tensor
// cores.
TEST(StepBudget, Fp32TakesTensOfTimesAsLong) {
  const DeviceProfile device = device_profile("h200");
  const Plan wide = make_plan(budget_config("gpt2_124m", 64, 1024, "fp32"), 1),
             narrow = make_plan(budget_config("gpt2_124m", 64, 1024, "bf16"), 1);
  const double fp32 = step_budget(wide, device, false).kernel_seconds;
  EXPECT_GT(fp32, 30 * step_budget(narrow, device, false).kernel_seconds);
  EXPECT_LT(step_budget(wide, device, true).kernel_seconds, fp32);
}

std::string message_of(const std::string& device) {
  try {
    device_profile(device);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(DeviceProfile, IsNamedOrDescribedInAFile) {
  EXPECT_EQ(message_of("h20"),
            "--device: found 'h20', expected one of a100, h100, h200, b200 or a profile's JSON file; did you mean "
            "'h200'?");
  TemporaryFolder folder;
  Json own = {{"copy", 1e12},
              {"bf16", 1e14},
              {"tf32", 5e13},
              {"fp32", 1e13},
              {"attention_forward", 6e13},
              {"attention_backward", 5e13}};
  const std::string file = folder.write("gpu.json", own.dump());
  EXPECT_EQ(device_profile(file).copy, 1e12);
  EXPECT_EQ(device_profile(file).products(DType::f32, true), 5e13);
  EXPECT_EQ(device_profile(file).link, 0);
  own["copi"] = 1;
  EXPECT_NE(message_of(folder.write("gpu.json", own.dump())).find("copi: unknown key 'copi'; did you mean 'copy'?"),
            std::string::npos);
  own.erase("copi");
  own["bf16"] = -1;
  EXPECT_NE(message_of(folder.write("gpu.json", own.dump())).find("bf16: found -1"), std::string::npos);
}

}  // namespace
}  // namespace rowan
