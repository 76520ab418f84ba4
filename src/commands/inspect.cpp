// rowan inspect FILE: says what a file is, what it contains, and what is wrong with it.
#include "commands/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "base/console.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/human.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "commands/commands.h"
#include "corpus/json_line.h"
#include "corpus/raw_text.h"
#include "corpus/text_stream.h"
#include "evaluate/hellaswag.h"
#include "run/run_folder.h"

namespace rowan {

namespace fs = std::filesystem;

void inspect_safetensors(const fs::path& path, Report& report) {
  const SafeTensors file(path);
  int64_t elements = 0;
  std::map<std::string, int64_t> by_dtype;
  for (const StoredTensor& tensor : file.tensors()) {
    elements += tensor.numel();
    ++by_dtype[tensor.dtype];
  }
  report.line("kind", "safetensors");
  report.line("tensors", "{} with {} elements ({})", file.tensors().size(), elements,
              human_count(static_cast<double>(elements)));
  for (const auto& [dtype, count] : by_dtype) report.line("", "{} of {}", count, dtype);
  for (const auto& [key, value] : file.metadata()) report.line("metadata", "{} = {}", key, shown(value, 80));
  size_t listed = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    if (++listed > 12) {
      report.line("", "... and {} more", file.tensors().size() - 12);
      break;
    }
    report.line("", "{} {}", tensor.name, tensor.describe());
  }
}

namespace {

void show_checkpoint(const Checkpoint& checkpoint, Report& report) {
  report.line("checksums", "match");
  report.line("model", "{} tensors", checkpoint.model().names().size());
  report.line("optimizer", "{} tensors", checkpoint.optimizer().names().size());
  for (const auto& [key, value] : checkpoint.state().items())
    report.line("state", "{} = {}", key, shown(value.dump(), 80));
}

}  // namespace

void inspect_checkpoint(const fs::path& folder, Report& report) {
  report.line("kind", "checkpoint");
  try {
    verify_checkpoint(folder);
  } catch (const Error& error) {
    report.wrong("{}", error.what());
    return;
  }
  show_checkpoint(Checkpoint(folder), report);
}

namespace {

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

// The number of text files in a folder, without its subfolders.
size_t text_count(const fs::path& folder) {
  return static_cast<size_t>(
      std::count_if(fs::directory_iterator(folder), fs::directory_iterator(),
                    [](const auto& entry) { return entry.is_regular_file() && has_text_name(entry.path().string()); }));
}

// Describes a folder: a checkpoint, a sweep, a tokenizer, a run, a model, token shards or text files.
void inspect_folder(const fs::path& folder, const InspectOptions& options, Report& report) {
  const std::optional<FolderKind> kind = folder_kind(folder);
  if (kind == FolderKind::checkpoint) return inspect_checkpoint(folder, report);
  if (kind == FolderKind::sweep) return report.line("kind", "sweep; rowan compare and rowan report read it");
  if (!fs::exists(folder / "config.json")) {  // a model may have the files of its tokenizer beside it
    if (fs::exists(folder / "tokenizer.json")) return inspect_tokenizer("huggingface:" + folder.string(), report);
    if (fs::exists(folder / "vocab.bpe") || fs::exists(folder / "merges.txt"))
      return inspect_tokenizer("gpt2:" + folder.string(), report);
  }
  if (kind == FolderKind::run) {
    if (!options.step.empty()) {
      auto note = [](const std::string& text) { tell("rowan: {}\n", text); };
      const OpenedCheckpoint opened = open_checkpoint(folder, options.step, note);  // verifies it, too
      report.line("kind", "checkpoint");
      return show_checkpoint(*opened.checkpoint, report);
    }
    report.line("kind", "run");
    for (const fs::path& checkpoint : list_checkpoints(folder / "checkpoints"))
      report.line("checkpoint", "{}", checkpoint.string());
    return;
  }
  if (fs::exists(folder / "config.json")) {
    const TensorFiles model(folder, "model");
    report.line("kind", "model in Hugging Face's layout");
    report.line("tensors", "{} in {} file{}", model.names().size(), model.files().size(),
                model.files().size() == 1 ? "" : "s");
    return;
  }
  if (inspect_shards(folder, options, report)) return;
  if (const size_t texts = text_count(folder))
    return report.line("kind", "folder with {} text file{}; rowan tokenize reads it", texts, texts == 1 ? "" : "s");
  fail("{}: found a folder, expected a checkpoint, run, model, token shards or GPT-2 vocabulary", folder.string());
}

// Describes a JSON Lines file by the keys of its first line: HellaSwag examples or other objects.
void inspect_json_lines(const fs::path& path, std::string_view text, const InspectOptions& options, Report& report) {
  std::vector<JsonMember> members;
  try {
    if (!read_members(text.substr(0, text.find('\n')), members)) fail("found no object");
  } catch (const Error&) {
    fail("{}:1: found no JSON object in this line, expected JSON lines; if it is plain JSON, name it *.json",
         path.string());
  }
  std::vector<std::string> keys;
  std::string_view content;
  for (const JsonMember& member : members) {
    keys.push_back(member.key);
    if (member.key == "text") content = member.value;
  }
  auto has = [&](const char* key) { return std::find(keys.begin(), keys.end(), key) != keys.end(); };
  if (has("ctx") && has("endings")) return inspect_hellaswag(path, options, report);
  report.line("kind", "JSON lines");
  report.line("fields", "{}", fmt::join(keys, ", "));
  if (!has("text")) return;
  report.line("use", "rowan tokenize reads the field text");
  if (content.starts_with('"')) report.line("head", "{}", shown(json_string(content)));
}

// Returns the description of the file type that the first bytes identify, or nullptr if they identify none.
const char* sentence_for(std::string_view text) {
  if (starts_with(text, "\x1f\x8b")) return "gzip; rowan tokenize reads text and JSON lines in it";
  if (is_zstd(text)) return "zstd; rowan tokenize reads text and JSON lines in it";
  if (starts_with(text, "PAR1")) return "parquet; scripts/parquet_text.py turns it into text for rowan tokenize";
  if (starts_with(text, "BIN.TOK\n")) return "llmq's tokens, which Rowan does not read";
  if (starts_with(text, std::string_view("\xc8\xd7\x34\x01", 4)))  // magic 20240328
    return "llm.c's tokenizer, which decodes only; Rowan reads GPT-2's from .tiktoken or vocab.bpe";
  return nullptr;
}

bool is_safetensors(std::string_view text) {
  uint64_t header = 0;
  if (text.size() < 9) return false;
  std::memcpy(&header, text.data(), sizeof header);
  return header < text.size() && text[8] == '{';
}

// Returns the shard that an index file belongs to, or "" if the file is not an index.
fs::path shard_of_index(const fs::path& path, std::string_view text) {
  fs::path shard = path;
  if (starts_with(text, "MMIDIDX")) return shard.replace_extension(".bin");
  if (path.extension() == ".index" || path.extension() == shard::documents_suffix) return shard.replace_extension();
  return {};
}

// Describes a JSON file by its keys.
std::string kind_of(const Json& json) {
  auto has = [&](const char* key) { return json.is_object() && json.contains(key); };
  if (has("axes") && has("runs")) return "list of a sweep's runs; rowan compare reads its folder";
  if (has("bench")) return "measurements of rowan bench";
  if (has("axes") || has("base")) return "sweep; rowan sweep reads it, and its --list shows the runs";
  if (has("model") && has("optimizer")) return "config of a run; rowan train and rowan plan read it";
  if (has("model_type")) return "model; the config of a run names it as \"model\"";
  if (has("targets")) return "published results; rowan compare --targets and sweeps read them";
  return fmt::format("JSON with {} entries at the top", json.size());
}

void inspect_file(const fs::path& path, const InspectOptions& options, Report& report) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  const std::string name = path.string(), extension = path.extension().string();
  int32_t magic = 0;
  if (text.size() >= 4) std::memcpy(&magic, text.data(), sizeof magic);
  if (options.shards.format != ShardFormat::automatic || magic == shard::magic_u16 || magic == shard::magic_u32)
    return inspect_shard(path, options, report);
  if (magic == hellaswag_magic) return inspect_hellaswag(path, options, report);
  if (const fs::path shard = shard_of_index(path, text); !shard.empty()) {
    report.line("index of", "{}", shard.string());
    return inspect_shard(shard, options, report);
  }
  if (const char* sentence = sentence_for(text)) return report.line("kind", "{}", sentence);
  if (extension == ".safetensors" || is_safetensors(text)) return inspect_safetensors(path, report);
  if (path.filename() == "tokenizer.json") return inspect_tokenizer("huggingface:" + name, report);
  if (extension == ".tiktoken") return inspect_tokenizer("gpt2:" + name, report);
  if (extension == ".model") return inspect_tokenizer("sentencepiece:" + name, report);
  if (extension == ".json") {
    const Json json = parse_json({name, std::string(text)});
    return report.line("kind", "{}", kind_of(json));
  }
  if (extension == ".jsonl" || starts_with(text, "{")) return inspect_json_lines(path, text, options, report);
  if (extension == ".txt" || looks_like_text(text)) return report.line("kind", "text; rowan tokenize reads it");
  inspect_shard(path, options, report);
}

}  // namespace

void add_inspect(CommandLine& command) {
  struct Settings {
    std::string file, tokenizer, format = "auto";
    InspectOptions options;
  };
  auto settings = std::make_shared<Settings>();
  command.add("file", settings->file, "token shard, checkpoint, safetensors, tokenizer, evaluation set ...").required();
  command.add("--tokenizer", settings->tokenizer,
              "decodes the tokens shown: bytes, gpt2:FILE, sentencepiece:FILE or huggingface:FILE");
  command.add("--format", settings->format, "format of a token shard").one_of<ShardFormat>();
  command.add("--width", settings->options.shards.width, "bytes per token of a file without a header")
      .one_of({"2", "4"});
  command.add("--end-id", settings->options.shards.end_id, "id of the end token, if the file does not name it");
  command.add("--step", settings->options.step, "which checkpoint of a run: a step, best or newest");
  command.add("--head", settings->options.head, "number of tokens to show").at_least(0);
  command.set_action([settings] {
    InspectOptions options = settings->options;
    options.shards.format = named<ShardFormat>("--format", settings->format);
    std::unique_ptr<Tokenizer> tokenizer;
    if (!settings->tokenizer.empty()) tokenizer = make_tokenizer(settings->tokenizer);
    options.tokenizer = tokenizer.get();
    if (tokenizer && options.shards.end_id < 0) options.shards.end_id = tokenizer->end_id();
    if (!fs::exists(settings->file)) fail("{}: no such file or folder", settings->file);
    if (!options.step.empty() && !fs::exists(fs::path(settings->file) / "checkpoints"))
      fail("{}: --step {}: found no run, expected the folder of a run", settings->file, options.step);
    Report report;
    report.line("file", "{}", settings->file);
    if (fs::is_directory(settings->file))
      inspect_folder(settings->file, options, report);
    else
      inspect_file(settings->file, options, report);
    if (report.problems() > 0)
      fail("{}: found {} problem{}", settings->file, report.problems(), report.problems() == 1 ? "" : "s");
  });
}

}  // namespace rowan
