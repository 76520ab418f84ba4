// Computes the transformers of configs/README.md in plain float64 loops. test_switches.cpp compares the model and the
// kernels with this program in many combinations of switches.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "base/json.h"
#include "kernels/dropout.h"
#include "model/model.h"

namespace rowan {

using Doubles = std::vector<double>;

// Holds settings that are not in the config: the length of rows, documents of packed rows, z-loss, and the seed and
// samples of dropout.
struct PlainPass {
  int64_t seq = 1;
  std::optional<DocumentOptions> documents = {};
  double z_loss = 0;
  bool dropping = false;
  uint64_t seed = 0;
  std::vector<int32_t> samples = {};  // Dropout::samples, [rows, 2]
};

struct PlainLoss {
  double mean = 0, objective = 0;  // means over counted targets; the objective includes z-loss
};

class PlainModel {
 public:
  std::map<std::string, Doubles> w;  // weights by Hugging Face's names, [out, in]

  PlainModel(Json config, std::map<std::string, Doubles> weights)
      : w(std::move(weights)), c_(std::move(config)), gpt2_(c_["model_type"] == "gpt2") {
    hidden_ = c_[gpt2_ ? "n_embd" : "hidden_size"], heads_ = c_[gpt2_ ? "n_head" : "num_attention_heads"];
    kv_heads_ = c_.value("num_key_value_heads", heads_);
    dim_ = c_.value("head_dim", c_["model_type"] == "qwen3" ? 128 : hidden_ / heads_);
    eps_ = gpt2_ ? c_.value("layer_norm_epsilon", 1e-5) : c_.value("rms_norm_eps", 1e-6);
    qk_norm_ = c_["model_type"] == "qwen3" ? "rms_gain" : c_.value("qk_norm", "none");
  }

  PlainLoss loss(const std::vector<int32_t>& ids, const std::vector<int32_t>& targets, const PlainPass& pass) {
    pass_ = &pass;
    PlainLoss total;
    int64_t counted = 0;
    for (int64_t row = 0; row < static_cast<int64_t>(ids.size()) / pass.seq; ++row) {
      const auto begin = ids.begin() + row * pass.seq;
      const std::vector<Doubles> stream = forward(row, {begin, begin + pass.seq});
      for (int64_t t = 0; t < pass.seq; ++t) {
        const int32_t target = targets[static_cast<size_t>(row * pass.seq + t)];
        if (target < 0) continue;
        const Doubles logits = head(stream[t]);
        double sum = 0;
        for (double l : logits) sum += std::exp(l);
        ++counted;
        total.mean += std::log(sum) - logits[target];
        total.objective += pass.z_loss * std::log(sum) * std::log(sum);
      }
    }
    total.mean /= static_cast<double>(counted);
    total.objective = total.mean + total.objective / static_cast<double>(counted);
    return total;
  }

 private:
  Json c_;
  bool gpt2_;
  int64_t hidden_, heads_, kv_heads_, dim_;
  double eps_;
  std::string qk_norm_;
  const PlainPass* pass_ = nullptr;

  // The dropout mask of a place in a layer: 0 attention, 1 output of attention, 2 output of the MLP. Layer -1 with
  // place 2 stands for the embedding.
  DropoutMask mask(const char* llama, const char* gpt2, int64_t layer, int64_t place) const {
    DropoutMask mask(Dropout{c_.value(gpt2_ ? gpt2 : llama, 0.0f), pass_->seed, 3 * (layer + 1) + place, Tensor()});
    mask.samples = pass_->samples.data();
    return mask;
  }
  void drop(std::vector<Doubles>& x, const DropoutMask& mask, int64_t row) const {
    for (size_t t = 0; pass_->dropping && mask.on() && t < x.size(); ++t)
      for (size_t i = 0; i < x[t].size(); ++i) {
        const size_t element = t * x[t].size() + i;
        float factors[4];
        mask.four(factors, mask.stream(row), static_cast<int64_t>(element / 4));
        x[t][i] *= double{factors[element % 4]};
      }
  }

  Doubles linear(const Doubles& x, const std::string& name) const {
    const Doubles& weight = w.at(name + ".weight");
    const auto bias = w.find(name + ".bias");
    Doubles y(weight.size() / x.size());
    for (size_t o = 0; o < y.size(); ++o) {
      y[o] = bias == w.end() ? 0 : bias->second[o];
      for (size_t i = 0; i < x.size(); ++i) y[o] += weight[o * x.size() + i] * x[i];
    }
    return y;
  }
  void over_rms(double* x, int64_t count, const Doubles* gain) const {
    double squares = 0;
    for (int64_t i = 0; i < count; ++i) squares += x[i] * x[i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(count) + eps_);
    for (int64_t i = 0; i < count; ++i) x[i] *= scale * (gain ? (*gain)[i] : 1);
  }
  Doubles norm(Doubles x, const std::string& name) const {
    const Doubles& gain = w.at(name + ".weight");
    if (!gpt2_) {
      over_rms(x.data(), hidden_, &gain);
      return x;
    }
    double mean = 0, variance = 0;
    for (double v : x) mean += v / static_cast<double>(hidden_);
    for (double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(hidden_);
    const auto bias = w.find(name + ".bias");
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = gain[i] * (x[i] - mean) / std::sqrt(variance + eps_) + (bias == w.end() ? 0 : bias->second[i]);
    return x;
  }

  // For each position, the first position of its document.
  std::vector<int64_t> begins(const std::vector<int32_t>& ids) const {
    std::vector<int64_t> result(ids.size());
    for (int64_t t = 1; pass_->documents && t < static_cast<int64_t>(ids.size()); ++t) {
      const DocumentRule& rule = pass_->documents->rule;
      result[t] = ids[rule.opens ? t : t - 1] == rule.end_token ? t : result[t - 1];
    }
    return result;
  }

  double frequency(int64_t pair) const {
    const auto turning = static_cast<int64_t>(std::lround(c_.value("rope_fraction", 1.0) * double(dim_) / 2));
    if (pair >= turning) return 0;
    const bool endpoint = c_.value("rope_frequencies", "standard") == "endpoint";
    const int64_t steps = std::max<int64_t>(1, endpoint ? turning - 1 : turning);
    const double plain = std::pow(c_.value("rope_theta", 10000.0), -double(pair) / double(steps));
    if (!c_.contains("rope_scaling")) return plain;
    const Json& s = c_["rope_scaling"];
    const double context = s["original_max_position_embeddings"], low = s["low_freq_factor"],
                 high = s["high_freq_factor"], factor = s["factor"];
    const double wave = 2 * std::numbers::pi / plain;
    if (wave > context / low) return plain / factor;
    if (wave < context / high) return plain;
    const double smooth = (context / wave - low) / (high - low);
    return (1 - smooth) * plain / factor + smooth * plain;
  }

  // Applies norm, rotation and clipping to the heads of the query or key at a position.
  void prepare(Doubles& x, int64_t position, const std::string& gain) const {
    const double clip = c_.value("qk_clip", 0.0);
    for (size_t first = 0; first < x.size(); first += static_cast<size_t>(dim_)) {
      double* head = x.data() + first;
      if (qk_norm_ != "none") over_rms(head, dim_, qk_norm_ == "rms_gain" ? &w.at(gain) : nullptr);
      for (int64_t j = 0; !gpt2_ && j < dim_ / 2; ++j) {
        const double angle = c_.value("rope_direction", 1) * double(position) * frequency(j), a = head[j],
                     b = head[j + dim_ / 2];
        head[j] = a * std::cos(angle) - b * std::sin(angle);
        head[j + dim_ / 2] = b * std::cos(angle) + a * std::sin(angle);
      }
      for (int64_t d = 0; clip > 0 && d < dim_; ++d) head[d] = std::clamp(head[d], -clip, clip);
    }
  }

  double activate(double x) const {
    const std::string name = gpt2_ ? c_.value("activation_function", "gelu_new") : c_.value("hidden_act", "silu");
    if (name == "silu") return x / (1 + std::exp(-x));
    if (name == "relu2") return x > 0 ? x * x : 0;
    if (name == "gelu") return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }

  std::vector<Doubles> attention(const std::vector<Doubles>& x, int64_t layer, int64_t row,
                                 const std::vector<int64_t>& begin) const {
    const std::string name = gpt2_ ? "transformer.h." + std::to_string(layer) + ".attn."
                                   : "model.layers." + std::to_string(layer) + ".self_attn.";
    std::vector<Doubles> q, k, v, out;
    for (const Doubles& at : x) {
      if (gpt2_ && !c_.value("split_qkv", false)) {
        const Doubles all = linear(at, name + "c_attn");
        for (auto* part : {&q, &k, &v}) {
          const int64_t first = part == &q ? 0 : part == &k ? hidden_ : 2 * hidden_;
          part->emplace_back(all.begin() + first, all.begin() + first + hidden_);
        }
      } else {
        q.push_back(linear(at, name + (gpt2_ ? "q_attn" : "q_proj")));
        k.push_back(linear(at, name + (gpt2_ ? "k_attn" : "k_proj")));
        v.push_back(linear(at, name + (gpt2_ ? "v_attn" : "v_proj")));
      }
      prepare(q.back(), static_cast<int64_t>(q.size()) - 1, name + "q_norm.weight");
      prepare(k.back(), static_cast<int64_t>(k.size()) - 1, name + "k_norm.weight");
    }
    double scale = c_.value("attention_scale", 1 / std::sqrt(double(dim_)));
    if (c_.value("scale_attn_by_inverse_layer_idx", false)) scale /= double(layer + 1);
    const DropoutMask drops = mask("attention_dropout", "attn_pdrop", layer, 0);
    for (int64_t t = 0; t < pass_->seq; ++t) {
      Doubles mixed(static_cast<size_t>(heads_ * dim_));
      for (int64_t h = 0; h < heads_; ++h) {
        const int64_t kv = h / (heads_ / kv_heads_) * dim_;
        Doubles p;
        double total = 0;
        for (int64_t u = begin[t]; u <= t; ++u) {
          double score = 0;
          for (int64_t d = 0; d < dim_; ++d) score += q[t][h * dim_ + d] * k[u][kv + d];
          p.push_back(std::exp(scale * score));
          total += p.back();
        }
        for (int64_t u = begin[t]; u <= t; ++u) {
          float four[4] = {1, 1, 1, 1};
          if (pass_->dropping && drops.on())
            drops.four(four, drops.stream(row), DropoutMask::attention_group(h, t, u, pass_->seq));
          const double weight = p[u - begin[t]] / total * double{four[u % 4]};
          for (int64_t d = 0; d < dim_; ++d) mixed[h * dim_ + d] += weight * v[u][kv + d];
        }
      }
      out.push_back(linear(mixed, name + (gpt2_ ? "c_proj" : "o_proj")));
    }
    drop(out, mask("residual_dropout", "resid_pdrop", layer, 1), row);
    return out;
  }

  std::vector<Doubles> mlp(const std::vector<Doubles>& x, int64_t layer, int64_t row) const {
    const std::string name =
        gpt2_ ? "transformer.h." + std::to_string(layer) + ".mlp." : "model.layers." + std::to_string(layer) + ".mlp.";
    const bool gated = !gpt2_ && c_.value("gated_mlp", true);
    std::vector<Doubles> out;
    for (const Doubles& at : x) {
      Doubles inner = linear(at, name + (gpt2_ ? "c_fc" : gated ? "gate_proj" : "up_proj"));
      for (double& value : inner) value = activate(value);
      if (gated) {
        const Doubles up = linear(at, name + "up_proj");
        for (size_t i = 0; i < inner.size(); ++i) inner[i] *= up[i];
      }
      out.push_back(linear(inner, name + (gpt2_ ? "c_proj" : "down_proj")));
    }
    drop(out, mask("residual_dropout", "resid_pdrop", layer, 2), row);
    return out;
  }

  // The normalized residual stream after the last block.
  std::vector<Doubles> forward(int64_t row, const std::vector<int32_t>& ids) const {
    const std::vector<int64_t> begin = begins(ids);
    std::vector<Doubles> x;
    for (int64_t t = 0; t < pass_->seq; ++t) {
      const Doubles& table = w.at(gpt2_ ? "transformer.wte.weight" : "model.embed_tokens.weight");
      const auto at = table.begin() + ids[t] * hidden_;
      x.emplace_back(at, at + hidden_);
      const int64_t position = pass_->documents && pass_->documents->restart ? t - begin[t] : t;
      for (int64_t i = 0; gpt2_ && i < hidden_; ++i)
        x.back()[i] += w.at("transformer.wpe.weight")[position * hidden_ + i];
    }
    drop(x, mask("embedding_dropout", "embd_pdrop", -1, 2), row);
    if (c_.value("embedding_norm", false))
      for (Doubles& at : x) at = norm(at, "model.embed_norm");
    const int64_t layers = c_[gpt2_ ? "n_layer" : "num_hidden_layers"];
    for (int64_t l = 0; l < layers; ++l) {
      const std::string name =
          gpt2_ ? "transformer.h." + std::to_string(l) + "." : "model.layers." + std::to_string(l) + ".";
      auto add = [&](const char* norm_name, auto branch) {
        std::vector<Doubles> normed;
        for (const Doubles& at : x) normed.push_back(norm(at, name + norm_name));
        const std::vector<Doubles> more = branch(normed);
        for (size_t t = 0; t < x.size(); ++t)
          for (int64_t i = 0; i < hidden_; ++i) x[t][i] += more[t][i];
      };
      add(gpt2_ ? "ln_1" : "input_layernorm", [&](const auto& normed) { return attention(normed, l, row, begin); });
      add(gpt2_ ? "ln_2" : "post_attention_layernorm", [&](const auto& normed) { return mlp(normed, l, row); });
    }
    for (Doubles& at : x) at = norm(at, gpt2_ ? "transformer.ln_f" : "model.norm");
    return x;
  }

  Doubles head(const Doubles& x) const {
    const bool tied = c_.value("tie_word_embeddings", gpt2_);
    const Doubles& table = w.at(!tied   ? "lm_head.weight"
                                : gpt2_ ? "transformer.wte.weight"
                                        : "model.embed_tokens.weight");
    const double cap = c_.value("logit_softcap", 0.0);
    Doubles logits(table.size() / x.size());
    for (size_t o = 0; o < logits.size(); ++o) {
      if (c_.value("head_bias", false)) logits[o] = w.at("lm_head.bias")[o];
      for (size_t i = 0; i < x.size(); ++i) logits[o] += table[o * x.size() + i] * x[i];
      if (cap > 0) logits[o] *= cap / std::sqrt(logits[o] * logits[o] + cap * cap);
    }
    return logits;
  }
};

}  // namespace rowan
