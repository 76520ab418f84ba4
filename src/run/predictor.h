// Predictor: the trained model of a run as a next-token predictor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/arena.h"
#include "model/model.h"

namespace rowan {

class RunFolder;
class Tokenizer;

// The context has at most `window` tokens. Keys and values are cached: if a call extends the text of the last call and
// the context has room, only the new tokens pass through the model (Model::forward_next). If there is no room, the last
// (window + 1) / 2 tokens of the extended text become the context. If a call passes another text, the last `window`
// tokens of the new text become the context, or the whole new text if it is shorter.
class Predictor {
 public:
  // `tokenizer` is the run's; nullptr if it has none, which means that no token ends a document.
  Predictor(Backend& backend, const RunFolder& run, int64_t window, const Tokenizer* tokenizer);

  // The logits of the token after `tokens`, without those of ids that only pad the vocabulary of the tokenizer. Throws
  // Error for an id outside the vocabulary.
  std::vector<float> operator()(std::span<const int32_t> tokens);

 private:
  Backend& backend_;
  Model model_;
  Arena memory_;
  const size_t ids_;           // number of ids of the tokenizer
  Tensor input_;               // i32[window]
  size_t start_ = 0;           // index in the text at which the context begins
  std::vector<int32_t> seen_;  // the tokens whose keys and values are cached
};

}  // namespace rowan
