#include "corpus/tokenize_notes.h"

#include <fmt/core.h>

#include <cstdint>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "data/shard.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

void check_shard(const fs::path& folder, const Json& entry) {
  const fs::path path = folder / entry.at("file").get<std::string>();
  const Shard shard(path);
  if (shard.tokens() != entry.at("tokens").get<int64_t>())
    fail("{}: found {} tokens, expected {} from the manifest", path.string(), shard.tokens(), entry["tokens"].dump());
  const std::string found = hex(hash64(shard.token_bytes()));
  if (found != entry.at("checksum").get<std::string>())
    fail("{}: damaged: found checksum {}, expected {} from the manifest", path.string(), found,
         entry["checksum"].dump());
  const int64_t documents = shard.index() ? shard.index()->size() : -1;
  if (documents != entry.at("documents").get<int64_t>())
    fail("{}{}: found {}, expected {} documents from the manifest", path.string(), shard::documents_suffix,
         shard.index() ? fmt::format("{} documents", documents) : "no file", entry["documents"].dump());
  for (int64_t i = 0; i < documents; ++i) shard.index()->start(i);
}

[[noreturn]] void refuse_damaged(const fs::path& path, const std::string& why) {
  fail("{}: damaged: {}; remove it and the shards beside it to start afresh", path.string(), why);
}

// A kind of values in a note.
struct ValueKind {
  const char* name;
  bool (*fits)(const Json&);
};
bool is_checksum(const Json& value) {
  if (!value.is_string()) return false;
  const auto& digits = value.get_ref<const std::string&>();
  return digits.size() == 16 && digits.find_first_not_of("0123456789abcdef") == std::string::npos;
}
constexpr ValueKind an_object{"an object", [](const Json& value) { return value.is_object(); }};
constexpr ValueKind a_list{"a list", [](const Json& value) { return value.is_array(); }};
constexpr ValueKind a_text{"a text", [](const Json& value) { return value.is_string(); }};
constexpr ValueKind a_count{"an integer of at least 0", [](const Json& value) { return value.is_number_unsigned(); }};
constexpr ValueKind a_checksum{"16 hexadecimal digits", is_checksum};

// Checks that a note has the values that a job reads, each of the right kind.
class NoteCheck {
 public:
  explicit NoteCheck(const fs::path& path) : path_(path) {}

  void check(const Json& note) const {
    if (!note.is_object()) refuse("the file", note, an_object.name);
    const Json& settings = get(note, "", "settings", an_object);
    get(settings, "settings/", "validation_inputs", a_count);
    each(settings, "settings/", "inputs",
         [&](const Json& input, const std::string& place) { get(input, place, "path", a_text); });
    for (const char* key : {"documents", "tokens", "text_bytes"}) get(note, "", key, a_count);
    each(note, "", "sources", [&](const Json& source, const std::string& place) {
      get(source, place, "path", a_text);
      get(source, place, "hash64", a_checksum);
      for (const char* key : {"bytes", "documents", "tokens"}) get(source, place, key, a_count);
    });
    for (const auto& [reason, skipped] : get(note, "", "skipped", an_object).items()) {
      get(skipped, "skipped/" + reason + "/", "count", a_count);
      get(skipped, "skipped/" + reason + "/", "first", a_text);
    }
    path_.filename() == "progress.json" ? check_progress(note) : check_manifest(note);
  }

 private:
  const fs::path& path_;

  [[noreturn]] void refuse(const std::string& place, const Json& found, const std::string& expected) const {
    const std::string shown = found.is_structured() ? found.is_array() ? "a list" : "an object" : found.dump();
    refuse_damaged(path_, fmt::format("{}: found {}, expected {}", place, shown, expected));
  }
  const Json& get(const Json& of, const std::string& place, const std::string& key, const ValueKind& kind) const {
    if (!of.is_object()) refuse(place.substr(0, place.size() - 1), of, an_object.name);
    const auto found = of.find(key);
    if (found == of.end())
      refuse_damaged(path_, fmt::format("{}{}: found nothing, expected {}", place, key, kind.name));
    if (!kind.fits(*found)) refuse(place + key, *found, kind.name);
    return *found;
  }
  template <typename Check>
  void each(const Json& of, const std::string& place, const std::string& key, Check check) const {
    const Json& entries = get(of, place, key, a_list);
    for (size_t i = 0; i < entries.size(); ++i) check(entries[i], fmt::format("{}{}/{}/", place, key, i));
  }
  // Returns the sum of the shards' tokens.
  uint64_t check_list(const Json& of, const std::string& place, const std::string& key) const {
    uint64_t tokens = 0;
    each(of, place, key, [&](const Json& shard, const std::string& at) {
      get(shard, at, "file", a_text);
      get(shard, at, "checksum", a_checksum);
      get(shard, at, "documents", a_count);
      tokens += get(shard, at, "tokens", a_count).get<uint64_t>();
    });
    return tokens;
  }
  void check_manifest(const Json& note) const {
    if (const Json& format = get(note, "", "format", a_text); format != manifest_format)
      refuse("format", format, Json(manifest_format).dump());
    const uint64_t tokens = check_list(note, "", "train") + check_list(note, "", "validation");
    if (note["tokens"] != tokens) refuse("tokens", note["tokens"], fmt::format("{}, the sum of the shards", tokens));
  }
  void check_progress(const Json& note) const {
    for (const std::string split : {"train", "validation"}) {
      const Json& shards = get(note, "", split, an_object);
      check_list(shards, split + "/", "shards");
      for (const char* key : {"part_tokens", "part_documents"}) get(shards, split + "/", key, a_count);
    }
    const Json& next = get(note, "", "next", an_object);
    for (const char* key : {"source", "record"}) get(next, "next/", key, a_count);
    if (next.contains("hash64")) get(next, "next/", "hash64", a_text);
    if (!note.contains("pending")) return;
    const Json& pending = get(note, "", "pending", a_list);
    for (const Json& input : pending)
      if (!a_count.fits(input)) refuse("pending", input, a_count.name);
  }
};

Json read_any_size(const fs::path& path) { return try_parse_json(read_file(path), SIZE_MAX); }

}  // namespace

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }
uint64_t from_hex(const std::string& text) { return std::stoull(text, nullptr, 16); }

Json to_json(const ShardsState& state) {
  Json shards = Json::array();
  for (const ShardInfo& shard : state.shards)
    shards.push_back({{"file", shard.file},
                      {"tokens", shard.tokens},
                      {"documents", shard.documents},
                      {"checksum", hex(shard.checksum)}});
  return {{"shards", shards}, {"part_tokens", state.part_tokens}, {"part_documents", state.part_documents}};
}

ShardsState shards_from_json(const Json& json) {
  ShardsState state;
  for (const Json& shard : json.at("shards"))
    state.shards.push_back(
        {shard.at("file"), shard.at("tokens"), shard.at("documents"), from_hex(shard.at("checksum"))});
  if (!json.contains("part_tokens")) return state;  // shards of a manifest, all finished
  state.part_tokens = json.at("part_tokens");
  state.part_documents = json.at("part_documents");
  return state;
}

Json counts_json(const TokenizeResult& result, const std::vector<std::string>& inputs,
                 const std::vector<SourceCounts>& sources) {
  Json list = Json::array(), skipped = Json::object();
  for (size_t i = 0; i < sources.size(); ++i)
    list.push_back({{"path", inputs[i]},
                    {"bytes", sources[i].bytes},
                    {"hash64", hex(sources[i].hash)},
                    {"documents", sources[i].documents},
                    {"tokens", sources[i].tokens}});
  for (const auto& [reason, what] : result.skipped) skipped[reason] = {{"count", what.count}, {"first", what.first}};
  return {{"documents", result.total.documents},
          {"tokens", result.total.tokens},
          {"text_bytes", result.total.text_bytes},
          {"sources", list},
          {"skipped", skipped}};
}

void load_counts(const fs::path& path, const Json& note, const std::vector<std::string>& inputs, TokenizeResult& result,
                 std::vector<SourceCounts>& sources) {
  result.total.documents = note.at("documents");
  result.total.text_bytes = note.at("text_bytes");
  std::unordered_map<std::string, size_t> indices;
  for (size_t i = 0; i < inputs.size(); ++i) indices[inputs[i]] = i;
  for (const Json& source : note.at("sources")) {
    const auto input = indices.find(source.at("path").get<std::string>());
    if (input == indices.end())
      fail("{}: found the source {}, which is not an input", path.string(), source.at("path").dump());
    sources[input->second] = {source.at("bytes"), from_hex(source.at("hash64")), source.at("documents"),
                              source.at("tokens")};
  }
  for (const auto& [reason, skipped] : note.at("skipped").items())
    result.skipped[reason] = {skipped.at("count"), skipped.at("first")};
}

Json describe_settings(const TokenizeOptions& options, const std::vector<std::string>& inputs,
                       const Tokenizer& tokenizer, shard::EndPlace end) {
  auto check_text = [](const char* what, const std::string& text) {
    if (first_invalid_utf8(text) != text.size()) fail("{}: found {} that is not valid UTF-8", text, what);
  };
  check_text("a field", options.field);
  check_text("a tokenizer", tokenizer.spec());
  Json files = Json::array();
  for (const std::string& path : inputs) {
    check_text("the name of a file", path);
    Json input = {{"path", path}};
    if (path != "-") input["bytes"] = fs::file_size(path);
    files.push_back(input);
  }
  return {{"tokenizer", hex(tokenizer.hash())},      {"end", name_of(end)},
          {"invalid", name_of(tokenizer.invalid())}, {"format", name_of(options.format)},
          {"split", name_of(options.split)},         {"field", options.field},
          {"validation", options.validation},        {"validation_inputs", options.validation_inputs.size()},
          {"shard_tokens", options.shard_tokens},    {"inputs", files}};
}

std::vector<size_t> added_inputs(const Json& before, const Json& now) {
  const Json &old = before.at("inputs"), &all = now.at("inputs");
  auto held_out = [](const Json& settings, size_t i) {
    return i + settings.at("validation_inputs").get<size_t>() >= settings.at("inputs").size();
  };
  std::vector<size_t> added;
  size_t next = 0;
  for (size_t i = 0; i < all.size(); ++i)
    if (next < old.size() && all[i] == old[next] && held_out(now, i) == held_out(before, next))
      ++next;
    else
      added.push_back(i);
  return next == old.size() ? added : std::vector<size_t>();
}

Json without_inputs(Json settings) {
  for (const char* key : {"inputs", "validation_inputs"}) settings.erase(key);
  return settings;
}

std::optional<std::string> noted_validation(const fs::path& folder) {
  for (const char* name : {"manifest.json", "progress.json", manifest_before_growth}) {
    if (!fs::exists(folder / name)) continue;
    const Json note = read_any_size(folder / name);
    if (!note.is_object() || !note.contains("settings") || !note["settings"].is_object()) continue;
    const Json& settings = note["settings"];
    if (settings.contains("validation") && settings["validation"].is_string()) return settings["validation"];
  }
  return {};
}

void check_settings(const fs::path& path, const Json& before, const Json& now) {
  const size_t inputs_before = before.value("inputs", Json::array()).size(),
               inputs_now = now.value("inputs", Json::array()).size();
  const std::string start_afresh =
      fmt::format("remove {} and the shards beside it to start afresh", path.filename().string());
  if (inputs_before < inputs_now) {
    std::set<std::string> all;
    for (const Json& input : now.at("inputs")) all.insert(input.dump());
    for (const Json& input : before.at("inputs"))
      if (!all.contains(input.dump()))
        fail("{}: made from {}, which has changed or is no longer an input; {}", path.string(), input.at("path").dump(),
             start_afresh);
    fail(
        "{}: made from {} inputs, found {}; inputs can be added to finished shards only, without reordering the old "
        "ones",
        path.string(), inputs_before, inputs_now);
  }
  if (inputs_before != inputs_now)
    fail("{}: made from {} inputs, found {}; {}", path.string(), inputs_before, inputs_now, start_afresh);
  for (const Json& change : Json::diff(before, now)) {
    const Json::json_pointer place(change.at("path").get<std::string>());
    auto at = [&](const Json& settings) { return settings.contains(place) ? settings[place].dump() : "nothing"; };
    fail("{}: settings{}: found {}, but the shards were made with {}; {}", path.string(), place.to_string(), at(now),
         at(before), start_afresh);
  }
}

void check_sources(const fs::path& path, const Json& note) {
  for (const Json& source : note.at("sources")) {
    const std::string input = source.at("path"), known = source.at("hash64");
    if (input == "-" || from_hex(known) == 0) continue;  // 0: not read to its end yet
    if (hex(hash64(MappedFile(input).text())) != known)
      fail("{}: has changed since {} was written; remove {} and the shards beside it to start afresh", input,
           path.string(), path.filename().string());
  }
}

void read_note(const fs::path& path, const std::function<void(const Json&)>& use) {
  const Json content = read_any_size(path);
  if (content.is_discarded()) refuse_damaged(path, "not JSON");
  NoteCheck(path).check(content);
  use(content);
}

void check_shards(const fs::path& folder, const Json& manifest) {
  for (const auto& [split, pattern] : {std::pair("train", train_shards), std::pair("validation", validation_shards)}) {
    for (const Json& shard : manifest.at(split)) check_shard(folder, shard);
    for (const fs::path& file : shard_files_from(folder, pattern, manifest.at(split).size()))
      if (file.extension() == ".bin")
        fail("{}: found a shard that manifest.json does not list, which training would read; remove it", file.string());
  }
}

void check_sizes(const fs::path& folder, const Json& shards, int32_t vocab_size) {
  auto check = [](const std::string& path, uint64_t expected) {
    std::error_code missing;
    const uint64_t found = fs::file_size(path, missing);
    if (missing || found != expected)
      fail("{}: found {}, expected the {} bytes written; remove progress.json and the shards beside it to start afresh",
           path, missing ? "no file" : fmt::format("{} bytes", found), expected);
  };
  for (const Json& shard : shards) {
    const std::string path = folder / shard.at("file").get<std::string>();
    check(path, shard::header_bytes + shard.at("tokens").get<uint64_t>() * shard::token_bytes(vocab_size));
    check(path + shard::documents_suffix,
          shard::documents_header_bytes + shard.at("documents").get<uint64_t>() * sizeof(uint64_t));
  }
}

void remove_shards_from(const fs::path& folder, const std::string& pattern, uint64_t first) {
  for (const fs::path& file : shard_files_from(folder, pattern, first)) fs::remove(file);
}

void remove_notes_of_work(const fs::path& folder) {
  // On a file system that is read-only, even the removal of an absent file is an error.
  for (const char* name : {"progress.json", manifest_before_growth})
    if (fs::exists(folder / name)) fs::remove(folder / name);
}

void restore_finished(const fs::path& folder, const Json& settings) {
  const fs::path manifest = folder / "manifest.json", progress = folder / "progress.json",
                 before = folder / manifest_before_growth;
  if (fs::exists(manifest) || !fs::exists(before)) return;
  if (!first_shard(folder)) {  // a user has removed the shards
    fs::remove(before);
    return;
  }
  const bool begun = fs::exists(progress);
  if (begun) {
    const Json note = read_any_size(progress);
    if (note.is_object() && note.value("settings", Json()) == settings) return;
  }
  read_note(before, [&](const Json& finished) {
    const Json& old = finished.at("settings");
    const bool extends = !added_inputs(old, settings).empty() && without_inputs(old) == without_inputs(settings);
    if (!extends && old != settings) {
      if (!begun) check_settings(before, old, settings);
      return;  // the job compares its settings with those of progress.json
    }
    const uint64_t train = finished.at("train").size(), validation = finished.at("validation").size();
    fs::remove(progress);  // first, because it lists shards that are removed
    remove_shards_from(folder, train_shards, train);
    remove_shards_from(folder, validation_shards, validation);
    rename_durably(before, manifest);
  });
}

std::optional<fs::path> first_shard(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".bin") return entry.path();
  return {};
}

}  // namespace rowan
