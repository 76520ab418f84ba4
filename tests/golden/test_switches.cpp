// For each of LLaMA, Qwen3 and GPT-2, a few cases together contain every pair of choices of two switches. The loss, and
// its slope along a random direction of each parameter, are compared with a plain float64 program. The gradients in
// bf16 are compared with those in fp32.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/random.h"
#include "golden_files.h"
#include "plain_model.h"

namespace rowan {
namespace {

// The choices of one switch. A choice is merged into a case {"model": keys, "pass": other settings}.
using Switch = std::vector<Json>;

Json model(Json keys) { return {{"model", std::move(keys)}}; }
Json pass(Json keys) { return {{"pass", std::move(keys)}}; }

const Json none = Json::object();

std::vector<Switch> beside_the_model() {
  return {{none, pass({{"z_loss", 0.02}})},
          {none, pass({{"documents", "first"}}), pass({{"documents", "last"}})},
          {none, pass({{"continue", true}})},
          {none, pass({{"recompute", "mlp"}}), pass({{"recompute", "block"}})},
          {none, pass({{"fp32_residual", true}})},
          {none, model({{"attention_scale", 0.3}})},
          {none, model({{"logit_softcap", 3}})},
          {none, model({{"tie_word_embeddings", true}}), model({{"tie_word_embeddings", false}})}};
}

std::vector<Switch> with(std::vector<Switch> own) {
  for (Switch& common : beside_the_model()) own.push_back(std::move(common));
  return own;
}

const Json llama3 = {{"rope_type", "llama3"},
                     {"factor", 8},
                     {"low_freq_factor", 1},
                     {"high_freq_factor", 4},
                     {"original_max_position_embeddings", 24}};

std::vector<Switch> llama() {
  return with({{model({{"model_type", "llama"}, {"hidden_size", 16}, {"intermediate_size", 20}, {"vocab_size", 19}}),
                model({{"model_type", "llama"}, {"hidden_size", 32}, {"intermediate_size", 13}, {"vocab_size", 24}})},
               {none, model({{"num_key_value_heads", 2}}), model({{"num_key_value_heads", 1}})},
               {none, model({{"head_dim", 8}}), model({{"head_dim", 12}})},
               {none, model({{"embedding_norm", true}})},
               {none, model({{"attention_bias", true}})},
               {none, model({{"mlp_bias", true}})},
               {none, model({{"head_bias", true}})},
               {none, model({{"qk_norm", "rms"}}), model({{"qk_norm", "rms_gain"}})},
               {none, model({{"hidden_act", "relu2"}})},
               {none, model({{"gated_mlp", false}})},
               {none, model({{"rope_fraction", 0.5}})},
               {none, model({{"rope_frequencies", "endpoint"}})},
               {none, model({{"rope_direction", -1}})},
               {none, model({{"rope_theta", 50}}), model({{"rope_theta", 50}, {"rope_scaling", llama3}})},
               {none, model({{"rms_norm_eps", 0.01}})},
               {none, model({{"embedding_dropout", 0.3}})},
               {none, model({{"attention_dropout", 0.2}})},
               {none, model({{"residual_dropout", 0.4}})}});
}

std::vector<Switch> qwen3() {
  return with({{model({{"model_type", "qwen3"}, {"hidden_size", 16}, {"intermediate_size", 20}, {"vocab_size", 19}})},
               {none, model({{"num_key_value_heads", 2}})},
               {model({{"head_dim", 8}}), model({{"head_dim", 6}})},
               {none, model({{"attention_bias", true}})},
               {none, model({{"rope_theta", 50}, {"rope_scaling", llama3}})},
               {none, model({{"attention_dropout", 0.2}})}});
}

std::vector<Switch> gpt2() {
  return with({{model({{"model_type", "gpt2"}, {"n_embd", 16}, {"vocab_size", 19}}),
                model({{"model_type", "gpt2"}, {"n_embd", 20}, {"n_inner", 13}, {"vocab_size", 24}})},
               {none, model({{"bias", false}})},
               {none, model({{"split_qkv", true}})},
               {none, model({{"activation_function", "gelu"}})},
               {none, model({{"scale_attn_by_inverse_layer_idx", true}})},
               {none, model({{"qk_clip", 0.5}})},
               {none, model({{"embd_pdrop", 0.3}})},
               {none, model({{"attn_pdrop", 0.2}})},
               {none, model({{"resid_pdrop", 0.4}})}});
}

// Rows with one choice per switch. Together they contain every pair of choices of two switches. Each row is the best of
// 100 random rows that contain the first missing pair: the row with the most missing pairs.
std::vector<std::vector<size_t>> all_pairs(const std::vector<Switch>& switches) {
  using Pair = std::array<size_t, 4>;
  std::set<Pair> open;
  for (size_t a = 0; a < switches.size(); ++a)
    for (size_t b = a + 1; b < switches.size(); ++b)
      for (size_t i = 0; i < switches[a].size(); ++i)
        for (size_t j = 0; j < switches[b].size(); ++j) open.insert({a, b, i, j});
  Random random(11, 0);
  std::vector<std::vector<size_t>> rows;
  while (!open.empty()) {
    std::vector<size_t> best;
    size_t most = 0;
    for (int attempt = 0; attempt < 100; ++attempt) {
      std::vector<size_t> row;
      for (const Switch& one : switches) row.push_back(random.below(one.size()));
      const Pair& wanted = *open.begin();
      row[wanted[0]] = wanted[2], row[wanted[1]] = wanted[3];
      size_t fresh = 0;
      for (size_t a = 0; a < row.size(); ++a)
        for (size_t b = a + 1; b < row.size(); ++b) fresh += open.contains({a, b, row[a], row[b]});
      if (fresh > most) best = row, most = fresh;
    }
    for (size_t a = 0; a < best.size(); ++a)
      for (size_t b = a + 1; b < best.size(); ++b) open.erase({a, b, best[a], best[b]});
    rows.push_back(best);
  }
  return rows;
}

constexpr int64_t rows_of_batch = 2, seq = 11;

using Gradients = std::map<std::string, std::vector<float>>;

// A model with random weights, its tokens, and the same model as a PlainModel.
class Case {
 public:
  explicit Case(Json json) : keys_(std::move(json["model"])), beside_(json.value("pass", Json::object())) {
    const bool gpt2 = keys_["model_type"] == "gpt2";
    keys_.update(gpt2 ? Json{{"n_layer", 2}, {"n_head", 4}, {"n_positions", 16}}
                      : Json{{"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"max_position_embeddings", 16}});
    auto source = std::make_shared<JsonSource>(JsonSource{"model", keys_.dump()});
    config_ = parse_model(JsonObject(source, keys_));
    plain_pass_.seq = seq;
    plain_pass_.z_loss = beside_.value("z_loss", 0.0);
    plain_pass_.seed = 7;
    plain_pass_.samples = {40, 0, 41, 0};
    if (beside_.contains("documents"))
      plain_pass_.documents = DocumentOptions{{3, beside_["documents"] == "first"}, !beside_.value("continue", false)};
    Random random(5, 1);
    const auto vocabulary = static_cast<uint64_t>(config_.vocabulary);
    for (int64_t i = 0; i < rows_of_batch * seq; ++i) {
      ids_.push_back(random.below(4) == 0 ? 3 : static_cast<int32_t>(random.below(vocabulary)));
      targets_.push_back(random.below(6) == 0 ? -100 : static_cast<int32_t>(random.below(vocabulary)));
    }
    const ParameterTable table = parameter_table(config_);
    for (const Parameter& parameter : table.parameters()) {
      Doubles& values = weights_[parameter.name];
      for (int64_t i = 0; i < parameter.numel(); ++i)
        values.push_back(double{static_cast<float>((parameter.role == Role::norm ? 1 : 0) + 0.3 * random.normal())});
    }
  }

  // Returns the loss, and the gradients by parameter name.
  std::pair<double, Gradients> run(DType compute) const {
    auto backend = make_golden_backend();
    ModelOptions options;
    options.batch = rows_of_batch, options.seq = seq;
    options.compute = compute;
    options.recompute = named<Recompute>("recompute", beside_.value("recompute", "none"));
    options.fp32_residual = beside_.value("fp32_residual", false);
    options.documents = plain_pass_.documents;
    options.dropout_seed = plain_pass_.seed;
    options.z_loss = plain_pass_.z_loss;
    Model model(*backend, config_, options);
    for (const Parameter& parameter : model.parameters().parameters()) {
      const Doubles& values = weights_.at(parameter.name);
      model.set(parameter, std::vector<float>(values.begin(), values.end()).data());
    }
    Arena data(*backend, Category::data);
    Tensor tokens = data.take(DType::i32, {rows_of_batch * seq}),
           targets = data.take(DType::i32, {rows_of_batch * seq});
    backend->upload(tokens, ids_.data());
    backend->upload(targets, targets_.data());
    if (config_.dropout.any()) backend->upload(model.samples(), plain_pass_.samples.data());
    const auto counted = static_cast<double>(rows_of_batch * seq - std::count(targets_.begin(), targets_.end(), -100));
    std::vector<float> losses(rows_of_batch * seq);
    backend->download(losses.data(), model.loss_and_gradients(tokens, targets, static_cast<float>(1 / counted), false));
    std::pair<double, Gradients> result;
    for (float loss : losses) result.first += double{loss} / counted;
    for (const Parameter& parameter : model.parameters().parameters()) {
      std::vector<float>& gradient = result.second[parameter.name];
      gradient.resize(static_cast<size_t>(parameter.numel()));
      backend->download(gradient.data(), model.gradient(parameter));
    }
    return result;
  }

  PlainModel plain() const { return {keys_, weights_}; }
  PlainLoss plain_loss(PlainModel& model) const {
    PlainPass pass = plain_pass_;
    pass.dropping = true;
    return model.loss(ids_, targets_, pass);
  }
  const std::map<std::string, Doubles>& weights() const { return weights_; }

 private:
  Json keys_, beside_;
  ModelConfig config_;
  PlainPass plain_pass_;
  std::vector<int32_t> ids_, targets_;
  std::map<std::string, Doubles> weights_;
};

double squares_of(const std::vector<float>& values) {
  double squares = 0;
  for (float value : values) squares += double{value} * value;
  return squares;
}

// Rounding to bf16 changes a gradient by less than two thirds of this bound. Its second part is for parameters whose
// gradient is small compared with the rounding errors of activations, such as GPT-2's key bias, whose exact gradient is
// 0.
void expect_near(const Gradients& narrow, const Gradients& wide) {
  double all = 0;
  for (const auto& [name, values] : wide) all += squares_of(values);
  for (const auto& [name, values] : wide) {
    std::vector<float> difference = narrow.at(name);
    for (size_t i = 0; i < values.size(); ++i) difference[i] -= values[i];
    EXPECT_LT(std::sqrt(squares_of(difference)), 0.3 * std::sqrt(squares_of(values)) + 6e-3 * std::sqrt(all)) << name;
  }
}

void check(const Json& json) {
  const Case one(json);
  PlainModel plain = one.plain();
  const double want = one.plain_loss(plain).mean;
  const auto result = one.run(DType::f32);
  EXPECT_NEAR(result.first / want, 1, 1e-6);
  const auto rounded = one.run(DType::bf16);
  EXPECT_NEAR(rounded.first / want, 1, 1e-2);
  expect_near(rounded.second, result.second);
  Random random(9, 0);
  for (auto& entry : plain.w) {
    Doubles& values = entry.second;
    const std::vector<float>& gradient = result.second.at(entry.first);
    const Doubles before = values;
    Doubles direction;
    double ours = 0, squares = 0;
    for (float g : gradient) {
      direction.push_back(random.normal());
      ours += double{g} * direction.back();
      squares += double{g} * double{g};
    }
    auto moved = [&](double step) {
      for (size_t i = 0; i < values.size(); ++i) values[i] = before[i] + step * direction[i];
      return one.plain_loss(plain).objective;
    };
    const double h = 1e-6, slope = (moved(h) - moved(-h)) / (2 * h);
    values = before;
    EXPECT_NEAR(ours, slope, 2e-4 * std::sqrt(squares) + 1e-7) << entry.first;
  }
}

void check_all(const std::vector<Switch>& switches) {
  for (const std::vector<size_t>& row : all_pairs(switches)) {
    Json json = none;
    for (size_t i = 0; i < row.size(); ++i) json.merge_patch(switches[i][row[i]]);
    SCOPED_TRACE(json.dump());
    check(json);
  }
}

TEST(GoldenSwitches, AllPairsOfLlama) { check_all(llama()); }
TEST(GoldenSwitches, AllPairsOfQwen3) { check_all(qwen3()); }
TEST(GoldenSwitches, AllPairsOfGpt2) { check_all(gpt2()); }

}  // namespace
}  // namespace rowan
