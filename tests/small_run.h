// Writes a small run directory with the config, data and checkpoint that commands read. Also supplies configs of small
// models.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "kernels/thread_pool.h"
#include "model/layout.h"
#include "run/checkpoint.h"

namespace rowan {

inline ModelConfig model_from(const Json& model) {
  auto source = std::make_shared<JsonSource>(JsonSource{"model", model.dump()});
  return parse_model(JsonObject(source, model));
}

// A shard in llm.c's format, with `tokens` tokens that count 0, 1, 2, ..., 250, 0, 1, ...
inline void write_small_shard(const std::filesystem::path& path, int tokens) {
  std::vector<int32_t> header(256);
  header[0] = 20240520, header[1] = 1, header[2] = tokens;
  std::string bytes(reinterpret_cast<const char*>(header.data()), 1024);
  for (int i = 0; i < tokens; ++i) bytes += {static_cast<char>(i % 251), '\0'};
  write_file_atomically(path, bytes);
}

// Writes RUN/config.json, RUN/validation.bin and a checkpoint of the step, without optimizer state. Every weight is
// random, including norms and biases, so that a lost or swapped weight changes the results.
inline void write_small_run(const std::filesystem::path& run, const Json& model, uint64_t seed = 5, int64_t step = 1) {
  std::filesystem::create_directories(run);
  const std::string data = (run / "validation.bin").string();
  write_small_shard(data, 101);
  const Json config = {{"model", model},
                       {"tokenizer", "bytes"},
                       {"data", {{"train", data}, {"validation", data}}},
                       {"batch", {{"sequences", 4}, {"sequence_length", 16}}}};
  write_file_atomically(run / "config.json", config.dump(2));

  const ParameterTable table = parameter_table(model_from(model));
  std::vector<TensorSource> sources;
  ThreadPool alone(1);
  for (Parameter parameter : table.parameters()) {
    auto values = std::make_shared<std::vector<float>>(parameter.numel());
    parameter.init_std = 0.2;
    initial_values(parameter, seed, 0, parameter.numel(), values->data(), alone);
    sources.push_back({{parameter.name, "F32", parameter.shape}, [values] { return values->data(); }});
  }
  CheckpointWriter writer(run / "checkpoints", step);
  writer.write(sources, {});
  writer.commit({{"step", step}}, {});
}

inline Json small_llama() {
  return {{"model_type", "llama"},    {"hidden_size", 16},
          {"intermediate_size", 24},  {"num_hidden_layers", 2},
          {"num_attention_heads", 4}, {"num_key_value_heads", 2},
          {"vocab_size", 257},        {"max_position_embeddings", 32}};
}

inline Json small_gpt2() {
  return {{"model_type", "gpt2"}, {"n_embd", 16},      {"n_layer", 2},  {"n_head", 2},
          {"n_positions", 32},    {"vocab_size", 300}, {"bias", false}, {"split_qkv", true}};
}

}  // namespace rowan
