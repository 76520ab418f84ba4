#include "model/size.h"

namespace rowan {
namespace {

struct Number {
  const char *llama, *gpt2;  // the key in each family's config
  int64_t ModelConfig::*field;
};
constexpr Number numbers[] = {
    {"hidden_size", "n_embd", &ModelConfig::hidden},
    {"intermediate_size", "n_inner", &ModelConfig::intermediate},
    {"num_hidden_layers", "n_layer", &ModelConfig::layers},
    {"vocab_size", "vocab_size", &ModelConfig::vocabulary},
    {"max_position_embeddings", "n_positions", &ModelConfig::positions},
    {"num_attention_heads", "n_head", &ModelConfig::heads},
    {"num_key_value_heads", "n_head", &ModelConfig::kv_heads},
    {"head_dim", "n_embd", &ModelConfig::head_dim},
};

}  // namespace

double weight_count(const ModelConfig& config) {
  auto number = [](int64_t n) { return static_cast<double>(n); };
  const double hidden = number(config.hidden), q = number(config.heads) * number(config.head_dim),
               kv = number(config.kv_heads) * number(config.head_dim);
  const double words = number(config.vocabulary) * hidden * (config.tied ? 1 : 2),
               places = config.rope ? 0 : number(config.positions) * hidden,
               layer = hidden * (2 * q + 2 * kv) + (config.gated ? 3 : 2) * hidden * number(config.intermediate);
  return words + places + number(config.layers) * layer;
}

SizeKey largest_key(const ModelConfig& config) {
  const Number* largest = &numbers[0];
  double least = weight_count(config);
  for (const Number& number : numbers) {
    ModelConfig smaller = config;
    smaller.*number.field = 1;
    if (const double count = weight_count(smaller); count < least) largest = &number, least = count;
  }
  return {config.family == Family::gpt2 ? largest->gpt2 : largest->llama, config.*largest->field};
}

}  // namespace rowan
