#include "train/initial_weights.h"

#include <algorithm>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/mapped_guard.h"
#include "comm/agreement.h"
#include "comm/communicator.h"
#include "run/run_folder.h"
#include "run/tokenizer_match.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// The keys that check_function() reads from the config of the weights. For other keys it uses the values of this run's
// model.
const char* const silent_keys[] = {"n_head",
                                   "num_attention_heads",
                                   "num_key_value_heads",
                                   "head_dim",
                                   "layer_norm_epsilon",
                                   "rms_norm_eps",
                                   "qk_norm",
                                   "rope_theta",
                                   "rope_parameters",
                                   "rope_scaling",
                                   "rope_interleaved",
                                   "partial_rotary_factor",
                                   "use_mrope",
                                   "use_sliding_window",
                                   "layer_types",
                                   "rope_fraction",
                                   "rope_frequencies",
                                   "rope_direction",
                                   "activation_function",
                                   "hidden_act",
                                   "gated_mlp",
                                   "attention_scale",
                                   "scale_attn_weights",
                                   "qk_clip",
                                   "scale_attn_by_inverse_layer_idx",
                                   "logit_softcap"};

// Throws Error if the model in `config` has another model_type or other function_keys() than `model`. `config` is the
// path of a Hugging Face config.json or of a run's config.json.
void check_function(const ModelConfig& model, const fs::path& config) {
  auto source = std::make_shared<JsonSource>(JsonSource{config.string(), read_file(config)});
  Json theirs = parse_json(*source);
  if (theirs.contains("model")) theirs = Json(theirs["model"]);
  auto check = [&](const char* what, const auto& there, const auto& here) {
    if (there != here)
      fail(
          "init: {}: {}: found {}, expected {} as in this run's model; to use the weights anyway, set init to "
          "their file",
          config.string(), what, there, here);
  };
  const Json type = theirs.contains("model_type") ? theirs["model_type"] : Json();
  check("model_type", type.dump(), model.resolved["model_type"].dump());

  Json merged = model.resolved;
  for (const char* key : silent_keys) {
    merged.erase(key);
    if (theirs.contains(key)) merged[key] = theirs[key];
  }
  const auto there = function_keys(parse_model(JsonObject(source, merged))), here = function_keys(model);
  for (size_t i = 0; i < here.size(); ++i) check(here[i].first.c_str(), there[i].second, here[i].second);
}

// find_initial_weights() without further tries. Sets `place` to the folder of the weights before it reads them.
fs::path find_weights(const std::string& init, const ModelConfig& model,
                      const std::function<void(const std::string&)>& warn, fs::path& place) {
  fs::path path = init;
  // `init` may have the form RUN@best or RUN@400.
  if (const size_t at = init.rfind('@'); at != std::string::npos && !fs::exists(path)) {
    try {
      path = find_checkpoint(init.substr(0, at), init.substr(at + 1), warn).checkpoint;
    } catch (const Error& error) {
      fail("init: {}", error.what());
    }
  }
  if (!fs::exists(path)) fail("init: {}: no such file or folder", init);
  if (!fs::is_directory(path)) {
    if (!init.ends_with(".safetensors") && !init.ends_with(".safetensors.index.json"))
      fail("init: {}: expected a .safetensors file, a .safetensors.index.json, a folder of these or a run", init);
    return path;
  }
  if (fs::is_directory(path / "checkpoints")) {
    const auto newest = newest_checkpoint(path / "checkpoints", warn);
    if (!newest) fail("init: {}: found no checkpoint", init);
    path = *newest;
  } else if (folder_kind(path) == FolderKind::checkpoint) {
    verify_checkpoint(path);
  }
  place = path;
  // RUN/config.json for RUN/checkpoints/step_N. RUN/checkpoints may lead elsewhere, so ".." is taken from the path.
  const char* name_there = folder_kind(path) == FolderKind::checkpoint ? "../../config.json" : "config.json";
  if (const fs::path config = (path / name_there).lexically_normal(); fs::exists(config)) check_function(model, config);
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
    if (fs::exists(path / name)) return path / name;
  fail("init: {}: found neither model.safetensors nor model.safetensors.index.json", path.string());
}

// Each rank reads the weights of its own shares. Throws AgreedError if the ranks would take them from different files:
// if the tensors differ in names, shapes or first bytes.
void check_same_weights(Communicator& communicator, const InitialWeights& weights) {
  if (communicator.size() == 1) return;
  constexpr size_t most = 4096;
  Json tensors = Json::object();
  run_on_all_ranks(communicator, [&] {
    for (const std::string& name : weights.tensors.names()) {
      const StoredTensor& tensor = weights.tensors.find(name);
      const std::string_view begin(reinterpret_cast<const char*>(tensor.data), std::min(most, tensor.bytes()));
      tensors[name] = fmt::format("{} {:016x}", tensor.describe(), hash64(begin));
    }
    check_mapped_files();
  });
  check_same(communicator, fmt::format("init: {}: shape and checksum of ", weights.file.string()), tensors);
}

}  // namespace

fs::path find_initial_weights(const std::string& init, const ModelConfig& model,
                              const std::function<void(const std::string&)>& warn) {
  return look_again([&](fs::path& place) { return find_weights(init, model, warn, place); });
}

std::unique_ptr<InitialWeights> open_initial_weights(Communicator& communicator, const std::string& init,
                                                     const ModelConfig& model,
                                                     const std::function<void(const std::string&)>& warn) {
  for (int tries = 1;; ++tries) {
    fs::path file;
    run_on_all_ranks(communicator, [&] {
      if (communicator.rank() == 0) file = find_initial_weights(init, model, warn);
    });
    file = communicator.gather(file.string())[0];
    std::unique_ptr<InitialWeights> opened;
    run_on_all_ranks(communicator, [&] {
      try {
        opened.reset(new InitialWeights{file, tokenizer_of_weights(file), TensorFiles(file)});
      } catch (const Error&) {
        if (!has_vanished(file.parent_path()) || tries == most_tries) throw;
      }
    });
    if (communicator.sum({opened ? 0.0 : 1.0})[0] > 0) continue;
    check_same_weights(communicator, *opened);
    return opened;
  }
}

}  // namespace rowan
