#include "train/model_options.h"

#include <algorithm>

#include "run/document_options.h"
#include "train/config.h"
#include "train/micro_batch.h"

namespace rowan {

ModelOptions model_options(const TrainConfig& config, int ranks, int32_t end_token) {
  ModelOptions options;
  options.batch = micro_batch(config.batch, ranks);
  options.seq = config.batch.sequence_length;
  options.compute = compute_dtype(config.precision);
  options.gradient = gradient_dtype(config.precision);
  options.recompute = config.recompute;
  options.fp32_residual = config.residual == ResidualStream::fp32;
  options.z_loss = config.z_loss;
  options.dropout_seed = config.run.seed;
  options.documents = document_options(config.data, std::max(end_token, 0));
  apply_shard(config.shard, ranks, options);
  return options;
}

}  // namespace rowan
