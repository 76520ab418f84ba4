// A small model trains under every shard setting as in one process, up to rounding errors. Under all settings but
// `weights`, a step of one micro-step sends as many bytes as one all-reduce. Differing weights and gradients that are
// not finite are detected.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "comm/agreement.h"
#include "comm/transports.h"
#include "distances.h"
#include "ranks.h"
#include "sharding/sharding.h"

namespace rowan {
namespace {

constexpr int64_t sequences = 12, length = 8;
constexpr int steps = 4;

ModelConfig tiny_model(bool tied) {
  std::string text = R"({"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 24, "vocab_size": 80, "max_position_embeddings": 16, "rms_norm_eps": 1e-6,
    "initializer_range": 0.2, "tie_word_embeddings": )" +
                     std::string(tied ? "true}" : "false}");
  auto source = std::make_shared<JsonSource>(JsonSource{"tiny", text});
  Json json = parse_json(*source);
  return parse_model(JsonObject(source, json));
}

std::vector<UpdateCost> costs_of(const ParameterTable& table, Atom matrices) {
  std::vector<UpdateCost> costs;
  for (const Parameter& p : table.parameters()) {
    double n = static_cast<double>(p.numel());
    costs.push_back({p.role == Role::matrix ? matrices : Atom::element, n, 4 * n});
  }
  return costs;
}

struct Result {
  std::vector<double> losses, squares;
  std::map<std::string, std::vector<float>> weights;
  double bytes_per_step = 0;  // sent by all ranks together
};

// Returns the whole weights, or the masters if there are masters, by parameter name. Gathers the shares of all ranks.
std::map<std::string, std::vector<float>> whole_weights(Communicator& communicator, const Sharding& sharding,
                                                        const ParameterTable& table) {
  std::string mine;
  for (const Share& share : sharding.shares()) {
    std::vector<float> values(static_cast<size_t>(share.count));
    backend().download(values.data(), share.master.empty() ? share.weight : share.master);
    int64_t head[] = {share.parameter - table.parameters().data(), share.begin, share.count};
    mine.append(reinterpret_cast<char*>(head), sizeof head);
    mine.append(reinterpret_cast<char*>(values.data()), values.size() * sizeof(float));
  }
  std::map<std::string, std::vector<float>> all;
  for (const std::string& part : communicator.gather(mine)) {
    for (const char* p = part.data(); p < part.data() + part.size();) {
      int64_t head[3];
      std::memcpy(head, p, sizeof head);
      const Parameter& parameter = table.parameters()[head[0]];
      auto& values = all[parameter.name];
      values.resize(static_cast<size_t>(parameter.numel()));
      std::memcpy(values.data() + head[1], p + sizeof head, head[2] * sizeof(float));
      p += sizeof head + head[2] * sizeof(float);
    }
  }
  return all;
}

// Gradient descent with momentum. This test needs no real optimizer.
void update(const Share& share, std::vector<float>& momentum) {
  momentum.resize(static_cast<size_t>(share.count));
  std::vector<float> gradient(momentum.size()), weight(momentum.size());
  Tensor wide = share.master.empty() ? share.weight : share.master;
  backend().download(gradient.data(), share.gradient);
  backend().download(weight.data(), wide);
  for (size_t i = 0; i < weight.size(); ++i) {
    momentum[i] = 0.9f * momentum[i] + gradient[i];
    weight[i] -= 0.05f * momentum[i];
  }
  backend().upload(wide, weight.data());
  if (!share.master.empty()) backend().copy(share.weight, share.master);
}

Result train(Communicator& communicator, ShardMode shard, Atom matrices, bool tied, DType compute = DType::f32,
             int64_t micro_batch = 1, DType reduce = DType::f32) {
  ModelOptions options;
  options.batch = micro_batch;
  options.seq = length;
  options.compute = compute;
  apply_shard(shard, communicator.size(), options);
  Model model(backend(), tiny_model(tied), options);
  Sharding sharding(communicator, backend(), model, costs_of(model.parameters(), matrices), shard, reduce, true);
  sharding.initialize(7);
  sharding.weights_changed();  // now, so that the count below holds the messages of the steps only
  std::vector<std::vector<float>> momentum(sharding.shares().size());
  Arena memory(backend(), Category::data);
  Tensor tokens = memory.take(DType::i32, {micro_batch * length}),
         targets = memory.take(DType::i32, {micro_batch * length}), loss = memory.take(DType::f32, {1});

  Result result;
  uint64_t before = communicator.traffic().tensor_bytes();
  for (int step = 0; step < steps; ++step) {
    sharding.begin_step();
    int64_t micro_steps = sequences / micro_batch / communicator.size();
    for (int64_t m = 0; m < micro_steps; ++m) {
      int64_t first = (communicator.rank() * micro_steps + m) * micro_batch;
      std::vector<int32_t> drawn;
      for (int64_t i = 0; i <= micro_batch * length; ++i) {
        uint64_t at = static_cast<uint64_t>((step * sequences + first) * length + i);
        drawn.push_back(static_cast<int32_t>(philox(1, at).word[0] % 80));
      }
      backend().upload(tokens, drawn.data());
      backend().upload(targets, drawn.data() + 1);
      sharding.begin_micro_step(m == micro_steps - 1);
      Tensor losses = model.loss_and_gradients(tokens, targets, 1.0f / (sequences * length), m > 0);
      backend().sum(loss, losses, m > 0);
    }
    sharding.finish_gradients();
    StepTotals totals = sharding.sum_over_ranks(loss, {});
    result.losses.push_back(totals.loss / (sequences * length));
    result.squares.push_back(totals.gradient_squares);
    for (size_t i = 0; i < momentum.size(); ++i) update(sharding.shares()[i], momentum[i]);
    sharding.weights_changed();
  }
  model.loss(tokens, targets);  // a forward pass waits for the weights that are being sent
  result.bytes_per_step =
      communicator.sum({static_cast<double>(communicator.traffic().tensor_bytes() - before)})[0] / steps;
  result.weights = whole_weights(communicator, sharding, model.parameters());
  return result;
}

struct Setting {
  ShardMode shard;
  Atom atom;
  bool tied;
};

class EverySetting : public testing::TestWithParam<Setting> {};

TEST_P(EverySetting, TrainsAsOneProcessDoes) {
  auto [shard, atom, tied] = GetParam();
  auto alone = make_single_communicator();
  Result want = train(*alone, ShardMode::none, atom, tied);
  Result got = train(ranks(), shard, atom, tied);
  for (int step = 0; step < steps; ++step) {
    EXPECT_NEAR(got.losses[step], want.losses[step], 1e-5) << "step " << step;
    EXPECT_NEAR(got.squares[step], want.squares[step], 1e-4 * want.squares[step]) << "step " << step;
  }
  ASSERT_EQ(got.weights.size(), want.weights.size());
  for (const auto& [name, values] : want.weights)
    EXPECT_LT(largest_difference(got.weights[name], values), 1e-4) << name;
}

TEST_P(EverySetting, TwoRunsGiveTheSameBits) {
  auto [shard, atom, tied] = GetParam();
  if (atom == Atom::element) return;
  Result a = train(ranks(), shard, atom, tied), b = train(ranks(), shard, atom, tied);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.squares, b.squares);
  for (const auto& [name, values] : a.weights) EXPECT_EQ(largest_difference(b.weights[name], values), 0) << name;
}

std::vector<Setting> every_setting() {
  std::vector<Setting> all;
  for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights}) {
    for (Atom atom : {Atom::element, Atom::row}) all.push_back({shard, atom, false});
    all.push_back({shard, Atom::matrix, true});
  }
  return all;
}

std::string name_of_setting(const testing::TestParamInfo<Setting>& info) {
  static const char* const atoms[] = {"element", "row", "matrix"};
  return std::string(name_of(info.param.shard)) + "_" + atoms[static_cast<int>(info.param.atom)] +
         (info.param.tied ? "_tied" : "");
}

INSTANTIATE_TEST_SUITE_P(Sharding, EverySetting, testing::ValuesIn(every_setting()), name_of_setting);

TEST(Sharding, Bf16WeightsWithMastersTrainAlike) {
  Result want = train(ranks(), ShardMode::none, Atom::matrix, false, DType::bf16);
  for (ShardMode shard : {ShardMode::optimizer, ShardMode::gradients, ShardMode::weights}) {
    Result got = train(ranks(), shard, Atom::matrix, false, DType::bf16);
    for (int step = 0; step < steps; ++step) EXPECT_NEAR(got.losses[step], want.losses[step], 2e-3);
  }
}

TEST(Sharding, GradientsMayTravelInBf16) {
  Result want = train(ranks(), ShardMode::none, Atom::matrix, false);
  const int n = ranks().size();
  for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights}) {
    Result got = train(ranks(), shard, Atom::matrix, false, DType::f32, sequences / n, DType::bf16);
    Result wide = train(ranks(), shard, Atom::matrix, false, DType::f32, sequences / n);
    for (int step = 0; step < steps; ++step) EXPECT_NEAR(got.losses[step], want.losses[step], 2e-3);
    if (n == 1) continue;
    EXPECT_NE(got.losses, wide.losses) << "the choice has no effect";
    if (shard == ShardMode::none) {
      EXPECT_EQ(got.bytes_per_step, wide.bytes_per_step / 2);
    } else if (shard != ShardMode::weights) {
      EXPECT_EQ(got.bytes_per_step, wide.bytes_per_step * 3 / 4);
    }
  }
}

// A weight changes on only one rank, as with a faulty core or memory.
TEST(Sharding, WeightsThatDifferAreNamed) {
  const int n = ranks().size(), odd = n - 1;
  for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights}) {
    ModelOptions options;
    options.seq = length;
    apply_shard(shard, n, options);
    Model model(backend(), tiny_model(false), options);
    Sharding sharding(ranks(), backend(), model, costs_of(model.parameters(), Atom::matrix), shard, DType::f32, true);
    sharding.initialize(7);
    sharding.check_weights();
    if (n == 1) return;
    const Parameter& norm = model.parameters().find("model.norm.weight");
    if (ranks().rank() == odd) {
      float other = 1.0000001f;
      backend().upload(model.weight(norm).slice(3, 1), &other);
    }
    std::string message;
    try {
      sharding.check_weights();
    } catch (const AgreedError& error) {
      message = error.what();
    }
    EXPECT_NE(message.find("rank " + std::to_string(odd) + " differs from rank 0"), std::string::npos) << message;
    EXPECT_NE(message.find(norm.name), std::string::npos) << message;
  }
}

TEST(Sharding, TrafficIsThatOfOneAllReduce) {
  const int n = ranks().size();
  const int64_t micro_batch = sequences / n;  // one micro-step
  double parameters = static_cast<double>(parameter_table(tiny_model(false)).count()) * sizeof(float);
  for (ShardMode shard : {ShardMode::optimizer, ShardMode::gradients}) {
    Result result = train(ranks(), shard, Atom::matrix, false, DType::f32, micro_batch);
    EXPECT_DOUBLE_EQ(result.bytes_per_step / n, 2.0 * (n - 1) / n * parameters);
  }
  Result none = train(ranks(), ShardMode::none, Atom::matrix, false, DType::f32, micro_batch);
  double padded = static_cast<double>(parameter_table(tiny_model(false)).elements()) * sizeof(float);
  EXPECT_DOUBLE_EQ(none.bytes_per_step / n, 2.0 * (n - 1) / n * padded);
}

TEST(Sharding, AGradientThatIsNotFiniteIsSeenEverywhere) {
  ModelOptions options;
  options.seq = length;
  Model model(backend(), tiny_model(false), options);
  Sharding sharding(ranks(), backend(), model, costs_of(model.parameters(), Atom::matrix), ShardMode::optimizer,
                    DType::f32, true);
  sharding.initialize(7);
  sharding.begin_step();
  float bad = NAN;
  if (ranks().rank() == ranks().size() - 1) {
    Tensor gradient = sharding.shares().back().gradient;
    backend().upload(gradient.view({gradient.numel()}).slice(0, 1), &bad);
  }
  Arena memory(backend(), Category::data);
  Tensor tokens = memory.take(DType::i32, {length}), loss = memory.take(DType::f32, {1});
  EXPECT_FALSE(std::isfinite(sharding.sum_over_ranks(loss, {}).gradient_squares));
  model.loss(tokens, tokens);  // a forward pass waits for the weights that are being sent
}

TEST(Sharding, NamesItsSettings) {
  EXPECT_EQ(named<ShardMode>("shard", "gradients"), ShardMode::gradients);
  EXPECT_THROW(named<ShardMode>("shard", "gradient"), Error);
}

}  // namespace
}  // namespace rowan
