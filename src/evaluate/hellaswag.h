// HellaSwag (Zellers et al., ACL 2019), scored as in llm.c. An item is a context with four endings. The model chooses
// the ending with the lowest mean loss per token (acc_norm), or the ending with the lowest total loss (acc). The scores
// are not comparable with those of EleutherAI's harness, which prepares the text differently.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

namespace rowan {

class Tokenizer;

struct HellaSwagItem {
  std::vector<int32_t> context;
  std::array<std::vector<int32_t>, 4> endings;
  int label = 0;  // index of the true ending
};

// Reads llm.c's binary file (magic 20240522), which holds GPT-2 ids, or the data set's own .jsonl. A .jsonl file needs
// a tokenizer; with a binary file, a tokenizer is only compared with GPT-2's by its number of ids. The tokenizer
// encodes "ctx", and for each string of "endings" also one text of "ctx", a space and the string. The ids of this text
// after as many as "ctx" has are the ending's, as in EleutherAI's harness. Throws Error naming the file.
std::vector<HellaSwagItem> read_hellaswag(const std::filesystem::path& path, const Tokenizer* tokenizer);

constexpr int32_t hellaswag_magic = 20240522;

struct HellaSwagScore {
  int64_t items = 0, correct_by_mean = 0, correct_by_sum = 0;
  int64_t undefined = 0;  // items with a loss that is not finite
  // Fractions of the items; NaN if an item is undefined.
  double acc_norm() const { return share(correct_by_mean); }
  double acc() const { return share(correct_by_sum); }
  double share(int64_t correct) const;
};

// Reads the examples and checks that a model of this sequence length and vocabulary can be scored on them. Throws Error
// naming the file and the example if an id is outside the vocabulary, the context is empty, or an ending is empty or
// longer than sequence_length. `ids_of_shards` is the number of ids of the tokenizer of the training data, with which a
// binary file is compared if there is no tokenizer; 0: unknown.
std::vector<HellaSwagItem> read_hellaswag(const std::filesystem::path& path, const Tokenizer* tokenizer,
                                          int64_t sequence_length, int64_t vocab_size, int32_t ids_of_shards = 0);

// The number of rows in which the items are scored: one for each ending.
inline int64_t hellaswag_rows(const std::vector<HellaSwagItem>& items) {
  return static_cast<int64_t>(items.size() * std::tuple_size_v<decltype(HellaSwagItem::endings)>);
}

// A sequence length that is enough for every row of the items: the length of the longest row, rounded up to a multiple
// of 16, but at most `sequence_length`.
int64_t length_for(const std::vector<HellaSwagItem>& items, int64_t sequence_length);

// Computes losses[batch * T], in nats, of targets[batch * T] given inputs[batch * T]; 0 where the target is -100. T is
// the sequence length.
using BatchLosses = std::function<void(const int32_t* inputs, const int32_t* targets, float* losses)>;

// Scores this rank's share of the items. The caller must add the scores of all ranks. All ranks call `losses` equally
// often. If a context and an ending do not fit into a row, the first tokens of the context are dropped. The items must
// have been read with this sequence length.
HellaSwagScore score_hellaswag(const std::vector<HellaSwagItem>& items, int64_t batch, int64_t sequence_length,
                               const BatchLosses& losses, int rank = 0, int ranks = 1);

}  // namespace rowan
