// Reads GPT-2's vocabulary in its published forms.
#include <charconv>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "tokenizer/base64.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/gpt2.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

constexpr size_t gpt2_tokens = 50256;  // number of tokens without the end token
constexpr size_t single_bytes = 256;

// Calls each(line number from 1, line) for every line that is not empty.
template <typename Each>
void each_line(std::string_view text, Each each) {
  for (size_t number = 1; !text.empty(); ++number) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) each(number, line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void check_vocabulary(const std::vector<std::string>& tokens, const fs::path& path) {
  if (tokens.size() > gpt2_tokens)
    fail("{}: found {} tokens, expected at most the {} of GPT-2; larger vocabularies split text by another rule",
         path.string(), tokens.size(), gpt2_tokens);
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < tokens.size(); ++id)
    if (auto [first, added] = ids.emplace(tokens[id], id); !added)
      fail("{}: ids {} and {} are the same token", path.string(), first->second, id);
  for (size_t byte = 0; byte < single_bytes; ++byte)
    if (!ids.contains(std::string(1, static_cast<char>(byte))))
      fail("{}: no token for the single byte 0x{:02x}", path.string(), byte);
}

std::vector<std::string> read_tiktoken(const fs::path& path) {
  std::vector<std::string> tokens;
  each_line(read_file(path), [&](size_t number, std::string_view line) {
    size_t space = std::min(line.find(' '), line.size());
    auto bytes = decode_base64(line.substr(0, space));
    std::string_view digits = line.substr(std::min(space + 1, line.size()));
    size_t rank = 0;
    auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (!bytes || parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size())
      fail("{}: line {}: expected base64, a space and a rank", path.string(), number);
    if (rank != tokens.size())
      fail("{}: line {}: found rank {}, expected {}", path.string(), number, rank, tokens.size());
    tokens.push_back(std::move(*bytes));
  });
  check_vocabulary(tokens, path);
  return tokens;
}

fs::path first_existing(const fs::path& folder, const char* name, const char* other) {
  for (const char* candidate : {name, other})
    if (fs::exists(folder / candidate)) return folder / candidate;
  fail("{}: found no {} (or {}) in this folder", folder.string(), name, other);
}

std::vector<std::string> read_encoder(const fs::path& path, const ByteAlphabet& alphabet) {
  const Json json = try_parse_json(read_file(path));
  if (!json.is_object() || json.size() <= single_bytes)
    fail("{}: expected a JSON object of tokens and ids", path.string());
  std::unordered_map<uint64_t, std::string> texts;
  for (const auto& [text, id] : json.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= json.size())
      fail("{}: token '{}': found id {}, expected 0 to {}", path.string(), text, id.dump(), json.size() - 1);
    if (const auto [first, is_first] = texts.emplace(id.get<uint64_t>(), text); !is_first)
      fail("{}: found the tokens '{}' and '{}' with id {}, expected one token for an id", path.string(), first->second,
           text, id.dump());
  }
  std::vector<std::string> tokens(json.size() - 1);
  for (const auto& [text, id] : json.items()) {
    if (text == "<|endoftext|>") {
      if (id != tokens.size())
        fail("{}: <|endoftext|>: found id {}, expected the last id {}", path.string(), id.dump(), tokens.size());
      continue;
    }
    auto bytes = alphabet.decode(text);
    if (!bytes || bytes->empty()) fail("{}: token '{}' is not written in GPT-2's byte alphabet", path.string(), text);
    if (id == tokens.size())
      fail("{}: token '{}' has the last id, which belongs to <|endoftext|>", path.string(), text);
    tokens[id.get<size_t>()] = std::move(*bytes);
  }
  return tokens;
}

std::vector<std::string> read_folder(const fs::path& folder) {
  ByteAlphabet alphabet;
  fs::path encoder = first_existing(folder, "encoder.json", "vocab.json");
  fs::path merges = first_existing(folder, "vocab.bpe", "merges.txt");
  std::vector<std::string> tokens = read_encoder(encoder, alphabet);
  check_vocabulary(tokens, encoder);
  // Ids serve as merge ranks, so they must be in the order of the merges, as in GPT-2's vocabulary.
  size_t next = single_bytes;
  each_line(read_file(merges), [&](size_t number, std::string_view line) {
    if (number == 1 && line.starts_with("#version")) return;
    size_t space = line.find(' ');
    auto left = alphabet.decode(line.substr(0, space));
    auto right = alphabet.decode(line.substr(std::min(space, line.size() - 1) + 1));
    if (space == std::string_view::npos || !left || !right)
      fail("{}: line {}: expected two tokens in GPT-2's byte alphabet", merges.string(), number);
    if (next >= tokens.size() || tokens[next] != *left + *right)
      fail("{}: line {}: found the merge '{}', expected the merge that makes token {} of {}", merges.string(), number,
           line, next, encoder.string());
    ++next;
  });
  if (next != tokens.size())
    fail("{}: found {} merges, expected {} for the tokens of {}", merges.string(), next - single_bytes,
         tokens.size() - single_bytes, encoder.string());
  return tokens;
}

}  // namespace

std::vector<std::string> read_gpt2_vocabulary(const fs::path& path) {
  if (fs::is_directory(path)) return read_folder(path);
  for (const char* part : {"vocab.bpe", "merges.txt", "encoder.json", "vocab.json"})
    if (path.filename() == part) return read_folder(path.has_parent_path() ? path.parent_path() : ".");
  return read_tiktoken(path);
}

}  // namespace rowan
