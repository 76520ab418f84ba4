#include "kernels/dry/dry_backend.h"
#include "model/model.h"

namespace rowan {

TrainingFlops flops_per_token(const ModelConfig& config, int64_t seq) {
  auto dry = make_dry_backend();
  Model model(*dry, config, {.seq = seq});
  Arena data(*dry, Category::data);
  Tensor tokens = data.take(DType::i32, {seq});
  model.loss_and_gradients(tokens, tokens, 1, false);
  const double n = static_cast<double>(seq);
  // The padding columns of the logits do no useful work, so their FLOPs are subtracted.
  const double extra = 6.0 * static_cast<double>((config.logit_width() - config.vocabulary) * config.hidden);
  return {dry->work().flops_full / n - extra, dry->work().flops / n - extra, dry->work(OpFamily::attention).flops / n};
}

}  // namespace rowan
