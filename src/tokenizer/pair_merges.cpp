#include "tokenizer/pair_merges.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <string_view>
#include <unordered_map>

namespace rowan {
namespace {

uint64_t key_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

PairMerges::PairMerges(const std::vector<PairMerge>& merges) : slots_(std::bit_ceil(2 * merges.size() + 1)) {
  for (const PairMerge& merge : merges) {
    const uint64_t key = key_of(merge.left, merge.right);
    size_t at = home(key);
    while (slots_[at].pair != UINT64_MAX && slots_[at].pair != key) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, merge.rank, merge.id};
  }
}

size_t PairMerges::home(uint64_t pair) const {
  pair *= 0x9e3779b97f4a7c15ull;
  return (pair ^ pair >> 32) & (slots_.size() - 1);
}

const PairMerges::Slot* PairMerges::find(int32_t left, int32_t right) const {
  const uint64_t key = key_of(left, right);
  for (size_t at = home(key); slots_[at].pair != UINT64_MAX; at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].pair == key) return &slots_[at];
  return nullptr;
}

void PairMerges::merge(std::vector<int32_t>& ids, size_t begin, int32_t below) const {
  const auto size = static_cast<uint32_t>(ids.size() - begin);
  if (slots_.empty() || size < 2) return;
  // The parts form a linked list over positions. The heap holds the adjacent pairs that could be merged when they were
  // pushed. An entry is stale if one of its parts has changed since.
  struct Part {
    uint32_t next, previous;
    int32_t id;  // -1: merged into the previous part
  };
  struct Pair {
    int32_t rank;
    uint32_t left;
    int32_t left_id, right_id, id;
    bool operator>(const Pair& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };
  thread_local std::vector<Part> parts;
  thread_local std::vector<Pair> heap;
  parts.resize(size);
  heap.clear();
  for (uint32_t i = 0; i < size; ++i) parts[i] = {i + 1, i - 1, ids[begin + i]};
  auto propose = [&](uint32_t left) {
    const uint32_t right = parts[left].next;
    if (right == size) return false;
    const Slot* slot = find(parts[left].id, parts[right].id);
    if (slot == nullptr || slot->rank >= below) return false;
    heap.push_back({slot->rank, left, parts[left].id, parts[right].id, slot->id});
    return true;
  };
  for (uint32_t i = 0; i + 1 < size; ++i) propose(i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    const Pair best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    Part& left = parts[best.left];
    if (left.id != best.left_id || left.next == size || parts[left.next].id != best.right_id) continue;
    parts[left.next].id = -1;
    left.next = parts[left.next].next;
    left.id = best.id;
    if (left.next < size) parts[left.next].previous = best.left;
    if (propose(best.left)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (best.left > 0 && propose(left.previous)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  size_t to = begin;
  for (uint32_t i = 0; i < size; i = parts[i].next) ids[to++] = parts[i].id;
  ids.resize(to);
}

std::vector<PairMerge> merges_of_scores(const std::vector<std::pair<std::string, float>>& pieces) {
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t id = 0; id < pieces.size(); ++id)
    if (!pieces[id].first.empty()) ids.emplace(pieces[id].first, static_cast<int32_t>(id));
  std::vector<int32_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return pieces[static_cast<size_t>(a)].second > pieces[static_cast<size_t>(b)].second;
  });
  std::vector<PairMerge> merges;
  int32_t rank = 0;
  float score = 0;
  for (size_t place = 0; place < order.size(); ++place) {
    const int32_t id = order[place];
    const std::string_view text = pieces[static_cast<size_t>(id)].first;
    if (place == 0 || pieces[static_cast<size_t>(id)].second != score) rank = static_cast<int32_t>(place);
    score = pieces[static_cast<size_t>(id)].second;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut)), right = ids.find(text.substr(cut));
      if (left != ids.end() && right != ids.end()) merges.push_back({left->second, right->second, rank, id});
    }
  }
  return merges;
}

}  // namespace rowan
