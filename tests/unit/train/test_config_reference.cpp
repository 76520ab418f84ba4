// configs/README.md names every key that a config may have.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "paths.h"
#include "train/config.h"

namespace rowan {
namespace {

// The keys allowed beside an unknown one, which the message lists.
std::vector<std::string> allowed_keys(const Json& config) {
  const std::string path = testing::TempDir() + "config_reference.json";
  write_file_atomically(path, config.dump());
  std::string message;
  try {
    load_config(path, {});
  } catch (const Error& error) {
    message = error.what();
  }
  std::filesystem::remove(path);
  const std::string start = "(allowed: ";
  const size_t begin = message.find(start);
  EXPECT_NE(message.find("unknown key 'unheard'"), std::string::npos) << message;
  if (begin == std::string::npos) return {};
  std::istringstream list(message.substr(begin + start.size(), message.rfind(')') - begin - start.size()));
  std::vector<std::string> keys;
  for (std::string key; std::getline(list >> std::ws, key, ',');) keys.push_back(key);
  return keys;
}

TEST(ConfigReference, NamesEveryKey) {
  const std::string page = read_file(source_path("configs/README.md"));
  const Json llama = {{"model_type", "llama"},    {"hidden_size", 16},       {"num_hidden_layers", 1},
                      {"num_attention_heads", 2}, {"intermediate_size", 24}, {"vocab_size", 64}},
             gpt2 = {{"model_type", "gpt2"}, {"n_embd", 16}, {"n_layer", 1}, {"n_head", 2}};
  const Json config = {{"model", llama},
                       {"data", {{"train", "x.bin"}}},
                       {"batch", {{"sequences", 4}, {"sequence_length", 8}}},
                       {"optimizer", {{"name", "muon"}}},
                       {"schedule", {{"name", "wsd"}}},
                       {"run", {{"dir", "x"}, {"steps", 10}}}};
  std::vector<Json> trials;
  for (const char* section : {"model", "data", "batch", "schedule", "run", "skip"}) {
    trials.push_back(config);
    trials.back()[section]["unheard"] = 1;
  }
  trials.push_back(config);
  trials.back()["unheard"] = 1;
  trials.push_back(config);
  trials.back()["model"] = gpt2;
  trials.back()["model"]["unheard"] = 1;
  for (const Json& trial : trials) {
    const std::vector<std::string> keys = allowed_keys(trial);
    EXPECT_GE(keys.size(), 2u);
    for (const std::string& key : keys) EXPECT_NE(page.find('`' + key + '`'), std::string::npos) << key;
  }
}

}  // namespace
}  // namespace rowan
