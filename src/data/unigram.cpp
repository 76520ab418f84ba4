#include "data/unigram.h"

#include <algorithm>

namespace rowan {

void UnigramModel::add(std::string piece, int32_t id, float score) {
  if (piece.find(word_mark, 1) != std::string::npos) only_leading_marks_ = false;
  lowest_ = ids_.empty() ? score : std::min(lowest_, score);
  longest_ = std::max(longest_, piece.size());
  ids_.emplace(std::move(piece), Piece{id, score});
}

WordLattice UnigramModel::lattice(std::string_view normalized) const {
  constexpr float unknown_penalty = 10;
  WordLattice word;
  auto continues = [&](size_t at) { return at < normalized.size() && (normalized[at] & 0xc0) == 0x80; };
  for (size_t begin = 0; begin < normalized.size(); ++word.characters) {
    bool alone = false;
    size_t next = begin;
    uint32_t character = word.characters;
    for (size_t end = begin; end < normalized.size() && end - begin < longest_;) {
      do ++end;
      while (continues(end));
      ++character;
      if (next == begin) next = end;
      auto piece = ids_.find(normalized.substr(begin, end - begin));
      if (piece == ids_.end()) continue;
      word.edges.push_back({word.characters, character, piece->second.id, piece->second.score});
      alone |= end == next;
    }
    if (!alone) word.edges.push_back({word.characters, word.characters + 1, unknown_, lowest_ - unknown_penalty});
    begin = next;
  }
  return word;
}

void UnigramModel::search(const WordLattice& word, float& score, std::vector<int32_t>& ids) const {
  struct Node {
    float score;
    int32_t id;
    uint32_t begin;
  };
  constexpr int32_t unreached = -1;
  if (word.characters == 0) return;
  thread_local std::vector<Node> nodes;
  nodes.assign(word.characters + 1, {0, unreached, 0});
  nodes[0].score = score;
  for (const WordLattice::Edge& edge : word.edges) {
    Node& target = nodes[edge.end];
    double candidate = static_cast<double>(edge.score) + nodes[edge.begin].score;
    if (target.id == unreached || candidate > target.score)
      target = {static_cast<float>(candidate), edge.id, edge.begin};
  }
  score = nodes[word.characters].score;
  size_t first = ids.size();
  for (uint32_t at = word.characters; at > 0; at = nodes[at].begin)
    if (nodes[at].id != unknown_ || ids.size() == first || ids.back() != unknown_) ids.push_back(nodes[at].id);
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
}

}  // namespace rowan
