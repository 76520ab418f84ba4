#include "run/export.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "base/console.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/folder_lock.h"
#include "base/json.h"
#include "model/export_config.h"
#include "model/layout.h"
#include "model/weights.h"
#include "run/metrics.h"

namespace rowan {

namespace fs = std::filesystem;

namespace {

const char* const exports = "exports into it";  // a part of the lock's error message

// Tokenizer files that an older export may have left. Those that the new export does not replace are removed, because
// transformers might load them.
const char* const tokenizer_names[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",         "merges.txt",
    "spiece.model",   "tokenizer.model",       "added_tokens.json",       "chat_template.jinja"};

// Every new file is written in full under a .part name before any file is replaced. A folder without config.json does
// not load as a model. Therefore config.json is removed first and its replacement is renamed last, so a folder with
// config.json holds a complete export.
void write_files(const fs::path& folder, const ModelConfig& config, const ModelWeights& weights,
                 const ParameterTable& table, DType dtype, const ExportFiles& texts, uint64_t tokenizer_hash) {
  std::vector<TensorInfo> declared;
  for (const Parameter& parameter : table.parameters()) {
    declared.push_back({parameter.name, safetensors_dtype(dtype), parameter.shape});
    if (is_conv1d(config, parameter)) std::swap(declared.back().shape[0], declared.back().shape[1]);
  }
  std::map<std::string, std::string> metadata = {{"format", "pt"}, {export_mark, "rowan"}};
  if (tokenizer_hash != 0) metadata["tokenizer_hash"] = fmt::format("{:016x}", tokenizer_hash);
  SafeTensorsWriter writer(folder / "model.safetensors", declared, metadata);
  for (const Parameter& parameter : table.parameters()) {
    std::vector<float> values = weights.read(parameter);
    if (is_conv1d(config, parameter)) values = transposed(values, parameter.rows(), parameter.cols());
    if (dtype == DType::f32) {
      writer.write(parameter.name, values.data());
    } else {
      std::vector<bf16> rounded(values.size());
      std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
      writer.write(parameter.name, rounded.data());
    }
  }
  std::map<std::string, std::unique_ptr<AtomicFile>> parts;
  for (const auto& [name, content] : texts) {
    parts[name] = std::make_unique<AtomicFile>(folder / name);
    parts[name]->write(content);
    parts[name]->sync();
  }
  if (fs::remove(folder / "config.json")) sync_directory(folder);
  writer.commit();
  for (const auto& [name, part] : parts)
    if (name != "config.json") part->commit();
  for (const char* name : tokenizer_names)
    if (!texts.contains(name)) fs::remove(folder / name);
  parts.at("config.json")->commit();
}

// Whether Rowan exported the model in `folder`. Earlier versions of Rowan wrote no mark into model.safetensors. Exports
// of these versions have Rowan's model card, and their config.json lacks transformers_version, a key that transformers
// adds when it saves a model.
bool is_own_export(const fs::path& folder) {
  try {
    if (SafeTensors(folder / "model.safetensors").metadata().contains(export_mark)) return true;
    const Json config = try_parse_json(read_file(folder / "config.json"));
    return has_own_card(folder) && config.is_object() && !config.contains("transformers_version");
  } catch (const Error&) {  // a file is missing or damaged
    return false;
  }
}

bool is_of_an_export(const std::string& name) {
  for (const char* own : {"config.json", "generation_config.json", "model.safetensors", "README.md", "lock"})
    if (name == own || name == part_of(own)) return true;
  return std::any_of(std::begin(tokenizer_names), std::end(tokenizer_names),
                     [&](const char* own) { return name == own || name == part_of(own); });
}

// Whether `folder` may be replaced as a whole: it does not exist, or every file in it has a name that an export uses.
// The working directory, a mount point, and a folder in a read-only parent may not be replaced.
bool is_replaceable(const fs::path& folder) {
  if (!fs::exists(folder)) return true;
  struct statx info = {};
  if (::statx(AT_FDCWD, folder.c_str(), 0, STATX_TYPE, &info) != 0 || info.stx_attributes & STATX_ATTR_MOUNT_ROOT ||
      ::access(folder.parent_path().c_str(), W_OK) != 0 || fs::equivalent(folder, fs::current_path()))
    return false;
  return std::all_of(fs::directory_iterator(folder), fs::directory_iterator(),
                     [](const auto& entry) { return is_of_an_export(entry.path().filename()); });
}

// Writes the files into FOLDER.part, then renames FOLDER.part to FOLDER.
void write_folder(const fs::path& folder, const std::function<void(const fs::path&)>& write, const Note& note) {
  const fs::path part = part_of(folder);
  make_directories(part);
  for (const auto& entry : fs::directory_iterator(part))
    if (!is_of_an_export(entry.path().filename()))
      fail("{}: found {}, expected only files of an export that was interrupted; remove it or choose another folder",
           part.string(), entry.path().filename().string());
  const FolderLock lock(part, exports, note);
  try {
    for (const auto& entry : fs::directory_iterator(part))  // files left by a killed process
      if (entry.path().filename() != "lock") fs::remove_all(entry.path());
    write(part);
    lock.check();
    if (!is_replaceable(folder)) fail("{}: another process writes into it", folder.string());
    if (fs::exists(folder)) fs::permissions(part, fs::status(folder).permissions());
    rename_durably(part, folder);
    fs::remove(folder / "lock");
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(part, ignored);
    throw;
  }
}

}  // namespace

void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const fs::path& folder, const ExportFiles& beside, uint64_t tokenizer_hash) {
  Json json = hugging_face_config(config);
  ModelConfig theirs = config;
  theirs.initialization.clear();
  if (config.family == Family::gpt2) {
    theirs.norm_bias = theirs.attention_bias = theirs.mlp_bias = true;
    theirs.split_qkv = false;
  }
  const ModelWeights weights(theirs, files);

  json["torch_dtype"] = dtype == DType::bf16 ? "bfloat16" : "float32";
  if (tokenizer) json["bos_token_id"] = json["eos_token_id"] = tokenizer->end_id();
  ExportFiles texts = beside;
  texts["config.json"] = json.dump(2) + "\n";
  Json generation = {{"do_sample", true}};
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"})
    if (tokenizer)
      generation[key] = tokenizer->end_id();
    else if (json.contains(key))  // beside generation_config.json, transformers does not look into config.json for it
      generation[key] = json[key];
  texts["generation_config.json"] = generation.dump(2) + "\n";
  check_folder(folder, FolderKind::exported);
  if (folder_kind(folder) && !is_own_export(folder))
    fail(
        "{}: found a model that rowan did not export, expected an older export or an empty folder; choose another "
        "folder, or remove that model first",
        folder.string());
  const ParameterTable table = parameter_table(theirs);
  auto write = [&](const fs::path& into) { write_files(into, config, weights, table, dtype, texts, tokenizer_hash); };
  const Note note = [](const std::string& text) { tell("rowan: {}\n", text); };
  fs::path place = fs::weakly_canonical(fs::absolute(folder));
  if (!place.has_filename()) place = place.parent_path();  // the path ended in "/"
  if (fs::exists(place) && !fs::is_directory(place)) fail("{}: found a file, expected a folder", folder.string());
  // If `beside` contains no model card, an existing README.md is kept.
  if (!texts.contains("README.md") && fs::exists(place / "README.md"))
    texts["README.md"] = read_file(place / "README.md");
  if (is_replaceable(place)) return write_folder(place, write, note);
  const FolderLock lock(place, exports, note);
  write(place);
}

}  // namespace rowan
