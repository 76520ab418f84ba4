#include "tokenizer/gpt2.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

uint64_t hash_of(std::string_view bytes) {
  constexpr uint64_t factor = 0x9e3779b97f4a7c15ull;
  const char* from = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = left * factor, word;
  auto add = [&](uint64_t value) {
    hash = (hash ^ value) * factor;
    hash ^= hash >> 29;
  };
  for (; left >= 8; from += 8, left -= 8) {
    std::memcpy(&word, from, 8);
    add(word);
  }
  // Loads the tail without reading past its end: two words of four bytes, which may overlap, or three bytes, which may
  // coincide.
  if (left >= 4) {
    uint32_t low, high;
    std::memcpy(&low, from, 4);
    std::memcpy(&high, from + left - 4, 4);
    add(low | static_cast<uint64_t>(high) << 32);
  } else if (left > 0) {
    auto byte = [&](size_t i) { return static_cast<uint64_t>(static_cast<unsigned char>(from[i])); };
    add(byte(0) | byte(left / 2) << 8 | byte(left - 1) << 16);
  }
  return hash * factor;
}

}  // namespace

Gpt2Tokenizer::Gpt2Tokenizer(const std::vector<std::string>& tokens, InvalidUtf8 invalid) {
  invalid_ = invalid;
  slots_.resize(std::bit_ceil(2 * tokens.size() + 1));
  Hash64 hash;
  hash.add("gpt2");
  for (const std::string& token : tokens) {
    begin_.push_back(static_cast<uint32_t>(bytes_.size()));
    bytes_ += token;
    longest_ = std::max(longest_, token.size());
    uint64_t size = token.size();
    hash.add(&size, sizeof size);
    hash.add(token);
  }
  begin_.push_back(static_cast<uint32_t>(bytes_.size()));
  for (size_t id = 0; id < tokens.size(); ++id) {
    uint64_t key = hash_of(tokens[id]);
    size_t at = key & (slots_.size() - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {static_cast<uint32_t>(key >> 32), static_cast<int32_t>(id)};
  }
  end_id_ = static_cast<int32_t>(tokens.size());
  vocab_size_ = end_id_ + 1;
  hash_ = hash.value();
}

inline int32_t Gpt2Tokenizer::find(std::string_view bytes) const {
  if (bytes.size() > longest_) return -1;
  uint64_t key = hash_of(bytes);
  for (size_t at = key & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.id < 0) return -1;
    if (slot.tag == static_cast<uint32_t>(key >> 32) && token(slot.id) == bytes) return slot.id;
  }
}

void Gpt2Tokenizer::merge(std::string_view piece, std::vector<int32_t>& ids) const {
  // The parts form a linked list over byte positions. The heap holds pairs of adjacent parts whose bytes together were
  // a token when the pair was pushed. The pairs are ordered by rank, then from left to right. An entry is stale if one
  // of its parts has changed since.
  struct Part {
    uint32_t next, previous;
    int32_t id;
  };
  struct Union {
    int32_t rank;
    uint32_t left, end;
    bool operator>(const Union& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };
  thread_local std::vector<Part> parts;
  thread_local std::vector<Union> heap;
  uint32_t size = static_cast<uint32_t>(piece.size());
  parts.resize(size + 1);
  heap.clear();
  for (uint32_t i = 0; i <= size; ++i) parts[i] = {i + 1, i - 1, i < size ? find(piece.substr(i, 1)) : -1};
  auto propose = [&](uint32_t left, uint32_t end) {
    int32_t rank = find(piece.substr(left, end - left));
    if (rank >= 0) heap.push_back({rank, left, end});
    return rank >= 0;
  };
  for (uint32_t i = 0; i + 1 < size; ++i) propose(i, i + 2);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  while (!heap.empty()) {
    Union best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    Part& left = parts[best.left];
    // Stale: the left part was merged into another part, or is now the last part, or one of the two parts has grown.
    if (left.id < 0 || left.next == size || parts[left.next].next != best.end) continue;
    parts[left.next].id = -1;
    left.next = best.end;
    left.id = best.rank;
    parts[best.end].previous = best.left;
    if (best.end < size && propose(best.left, parts[best.end].next))
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (best.left > 0 && propose(left.previous, best.end)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  for (uint32_t i = 0; i < size; i = parts[i].next) ids.push_back(parts[i].id);
}

void Gpt2Tokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  if (invalid_ == InvalidUtf8::refuse) refuse_invalid_utf8(text);
  // merge() uses 32-bit positions.
  if (text.size() >= UINT32_MAX)
    fail("gpt2: found a document of {} bytes, expected at most {}", text.size(), UINT32_MAX - 1);
  for (size_t at = 0; at < text.size();) {
    size_t end = splitter_.piece_end(text, at);
    std::string_view piece = text.substr(at, end - at);
    int32_t id = find(piece);
    if (id >= 0)
      ids.push_back(id);
    else
      merge(piece, ids);
    at = end;
  }
}

std::string Gpt2Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    check_id(id);
    if (id != end_id_) text += token(id);
  }
  return text;
}

}  // namespace rowan
