#include "run/predictor.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/backend.h"
#include "model/memory_check.h"
#include "model/weights.h"
#include "run/document_options.h"
#include "run/run_folder.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

ModelOptions checked(const Backend& backend, const ModelConfig& config, const ModelOptions& options) {
  check_model_fits(backend, config, options, fmt::format("its context has {} tokens", options.seq));
  return options;
}

}  // namespace

Predictor::Predictor(Backend& backend, const RunFolder& run, int64_t window, const Tokenizer* tokenizer)
    : backend_(backend),
      model_(backend, run.model(),
             checked(backend, run.model(),
                     {.batch = 1,
                      .seq = window,
                      .training = false,
                      .growing = true,
                      .documents = run.documents(tokenizer ? tokenizer->end_id() : -1)})),
      memory_(backend, Category::data),
      ids_(static_cast<size_t>(tokenizer ? tokenizer->vocab_size() : run.model().vocabulary)),
      input_(memory_.take(DType::i32, {window})) {
  load_weights(model_, run.checkpoint().model());
}

std::vector<float> Predictor::operator()(std::span<const int32_t> tokens) {
  const size_t window = static_cast<size_t>(input_.numel());
  const int64_t vocabulary = model_.config().vocabulary;
  for (int32_t id : tokens)
    if (id < 0 || id >= vocabulary)
      fail("token: found id {}, expected less than {}, the model's vocabulary", id, vocabulary);

  auto grows = [&] {
    return tokens.size() > start_ + seen_.size() && std::ranges::equal(tokens.subspan(start_, seen_.size()), seen_);
  };
  if (!grows()) {
    start_ = tokens.size() > window ? tokens.size() - window : 0;
    seen_.clear();
  } else if (tokens.size() - start_ > window) {
    start_ = tokens.size() - (window + 1) / 2;
    seen_.clear();
  }
  const std::span<const int32_t> fresh = tokens.subspan(start_ + seen_.size());
  Tensor input = input_.slice(0, static_cast<int64_t>(fresh.size()));
  backend_.upload(input, fresh.data());
  model_.forward_next(input, static_cast<int64_t>(seen_.size()));
  seen_.insert(seen_.end(), fresh.begin(), fresh.end());
  std::vector<float> logits = model_.logits(static_cast<int64_t>(seen_.size()) - 1);
  if (logits.size() > ids_) logits.resize(ids_);
  return logits;
}

}  // namespace rowan
