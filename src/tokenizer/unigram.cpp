#include "tokenizer/unigram.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace rowan {

template <typename Score>
UnigramModel<Score>::UnigramModel(std::vector<Piece> pieces, int32_t unknown, Score lowest, const ByteIds& bytes)
    : unknown_(unknown), bytes_(bytes) {
  constexpr Score unknown_penalty = 10;
  unknown_score_ = lowest - unknown_penalty;
  std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.text < b.text; });
  bool mark_leads = true, mark_is_piece = false;
  for (const Piece& piece : pieces) {
    mark_leads &= piece.text.find(word_mark, 1) == std::string::npos;
    mark_is_piece |= piece.text == word_mark;
    if (piece.text.size() > longest_piece) return;  // limits the recursion of grow()
  }
  divides_at_words_ = mark_leads && mark_is_piece;
  cells_.resize(1 + 256);
  cells_[root].parent = root;
  grow(pieces, 0, pieces.size(), 0, root);
}

// Builds the subtree of `node` from the pieces [begin, end), which agree in their first `depth` bytes.
template <typename Score>
void UnigramModel<Score>::grow(const std::vector<Piece>& sorted, size_t begin, size_t end, size_t depth, int32_t node) {
  // A damaged model may contain a piece twice; the first one counts.
  for (; begin < end && sorted[begin].text.size() == depth; ++begin)
    if (cells_[node].id == no_id) cells_[node].id = sorted[begin].id, cells_[node].score = sorted[begin].score;
  struct Child {
    size_t byte, begin, end;
  };
  std::vector<Child> children;
  for (size_t i = begin; i < end; ++i) {
    const size_t byte = static_cast<unsigned char>(sorted[i].text[depth]);
    if (children.empty() || children.back().byte != byte) children.push_back({byte, i, i});
    children.back().end = i + 1;
  }
  if (children.empty()) return;
  // Finds the first base from `search_from_` on that gives every child a free cell. A region where at least 19 of 20
  // cells are taken is not searched again.
  const size_t least = children[0].byte;
  size_t at = std::max(least + 1, search_from_), taken = 0;
  auto fits = [&] {
    if (cells_.size() < at - least + 257) cells_.resize(2 * (at - least + 257));
    return std::all_of(children.begin(), children.end(),
                       [&](const Child& child) { return cells_[at - least + child.byte].parent < 0; });
  };
  for (; !fits(); ++at) taken += cells_[at].parent >= 0;
  if (at > search_from_ && 20 * taken >= 19 * (at - search_from_)) search_from_ = at;
  const size_t base = at - least;
  cells_[node].base = static_cast<int32_t>(base);
  for (const Child& child : children) cells_[base + child.byte].parent = node;
  for (const Child& child : children)
    grow(sorted, child.begin, child.end, depth + 1, static_cast<int32_t>(base + child.byte));
}

template <typename Score>
void UnigramModel<Score>::search(std::string_view word, Score& score, std::vector<int32_t>& ids) const {
  struct Node {
    Score score;
    int32_t id;
    uint32_t begin;
  };
  thread_local std::vector<Node> nodes;  // one per byte position; positions inside a character are never reached
  nodes.assign(word.size() + 1, {0, no_id, 0});
  nodes[0].score = score;
  auto relax = [&](size_t begin, size_t end, int32_t id, Score piece_score) {
    Node& target = nodes[end];
    const double candidate = static_cast<double>(piece_score) + nodes[begin].score;
    // Among equal scores, the first one wins.
    const bool wins = target.id == no_id || candidate > target.score;
    if (wins) target = {static_cast<Score>(candidate), id, static_cast<uint32_t>(begin)};
    return wins;
  };
  for (size_t begin = 0, next; begin < word.size(); begin = next) {
    next = begin + 1;
    while (next < word.size() && (word[next] & 0xc0) == 0x80) ++next;
    bool alone = false;
    int32_t node = root;
    for (size_t at = begin; at < word.size(); ++at) {
      const int32_t child = cells_[node].base + static_cast<unsigned char>(word[at]);
      if (cells_[child].parent != node) break;
      node = child;
      if (cells_[node].id == no_id) continue;
      relax(begin, at + 1, cells_[node].id, cells_[node].score);
      alone |= at + 1 == next;
    }
    if (!alone && relax(begin, next, unknown_, unknown_score_) && unknown_ == no_id)
      fail("found the character '{}', which is no piece of the model, and the model has no unknown piece",
           word.substr(begin, next - begin));
  }
  score = nodes[word.size()].score;
  const size_t first = ids.size();
  for (size_t at = word.size(), begin; at > 0; at = begin) {
    begin = nodes[at].begin;
    if (nodes[at].id != unknown_) {
      ids.push_back(nodes[at].id);
      continue;
    }
    while (begin > 0 && nodes[begin].id == unknown_) begin = nodes[begin].begin;
    add_unknown_backwards(word.substr(begin, at - begin), ids);
  }
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
}

template <typename Score>
void UnigramModel<Score>::add_unknown_backwards(std::string_view characters, std::vector<int32_t>& ids) const {
  auto id_of = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
  if (std::any_of(characters.begin(), characters.end(), [&](char byte) { return id_of(byte) == no_id; }))
    return ids.push_back(unknown_);
  std::transform(characters.rbegin(), characters.rend(), std::back_inserter(ids), id_of);
}

template class UnigramModel<float>;
template class UnigramModel<double>;

}  // namespace rowan
