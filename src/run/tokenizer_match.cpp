#include "run/tokenizer_match.h"

#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "run/checkpoint.h"

namespace rowan {

namespace {

uint64_t tokenizer_in(const Json& state, const std::filesystem::path& file) {
  if (!state.is_object() || !state.contains("tokenizer_hash")) return 0;
  const std::string text = state["tokenizer_hash"].is_string() ? state["tokenizer_hash"].get<std::string>() : "";
  uint64_t hash = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (text.empty() || parsed.ptr != text.data() + text.size())
    fail("{}: tokenizer_hash: expected a hexadecimal number in a string", file.string());
  return hash;
}

}  // namespace

uint64_t tokenizer_of_checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "state.json";
  return std::filesystem::exists(file) ? tokenizer_in(parse_json({file.string(), read_file(file)}), file) : 0;
}

uint64_t tokenizer_of_checkpoint(const Checkpoint& checkpoint) {
  return tokenizer_in(checkpoint.state(), checkpoint.folder() / "state.json");
}

void check_same_tokenizer(uint64_t found, const std::string& found_name, uint64_t expected,
                          const std::string& expected_name) {
  if (found != 0 && expected != 0 && found != expected)
    fail("{}: found another tokenizer than that of {}: hash {:016x}, expected {:016x}", found_name, expected_name,
         found, expected);
}

}  // namespace rowan
