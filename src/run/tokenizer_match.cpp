#include "run/tokenizer_match.h"

#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "run/checkpoint.h"
#include "run/export.h"

namespace rowan {

namespace {

uint64_t parsed_hash(const std::string& text, const std::filesystem::path& file) {
  uint64_t hash = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (text.empty() || parsed.ptr != text.data() + text.size())
    fail("{}: tokenizer_hash: expected a hexadecimal number in a string", file.string());
  return hash;
}

uint64_t tokenizer_in(const Json& state, const std::filesystem::path& file) {
  if (!state.is_object() || !state.contains("tokenizer_hash")) return 0;
  return parsed_hash(state["tokenizer_hash"].is_string() ? state["tokenizer_hash"].get<std::string>() : "", file);
}

}  // namespace

uint64_t tokenizer_of_checkpoint(const Checkpoint& checkpoint) {
  return tokenizer_in(checkpoint.state(), checkpoint.folder() / "state.json");
}

uint64_t tokenizer_of_weights(const std::filesystem::path& file) {
  const std::filesystem::path state = file.parent_path() / "state.json";
  if (std::filesystem::exists(state)) return tokenizer_in(parse_json({state.string(), read_file(state)}), state);
  if (file.extension() != ".safetensors") return 0;
  const std::map<std::string, std::string> metadata = SafeTensors(file).metadata();
  const auto hash = metadata.find("tokenizer_hash");
  return hash == metadata.end() || !metadata.contains(export_mark) ? 0 : parsed_hash(hash->second, file);
}

void check_same_tokenizer(uint64_t found, const std::string& found_name, uint64_t expected,
                          const std::string& expected_name) {
  if (found != 0 && expected != 0 && found != expected)
    fail("{}: found another tokenizer than that of {}: hash {:016x}, expected {:016x}", found_name, expected_name,
         found, expected);
}

}  // namespace rowan
