#include "train/update_costs.h"

#include <map>
#include <tuple>

#include "kernels/arena.h"
#include "kernels/dry/dry_backend.h"
#include "optim/optimizer.h"
#include "optim/routing.h"

namespace rowan {
namespace {

// An estimate of the number of FLOPs that take as long as moving one byte.
constexpr double flops_per_byte = 100;

UpdateCost cost_of(const OptimizerConfig& config, const Parameter& parameter, TrainPrecision precision) {
  auto dry = make_dry_backend();
  Arena weights(*dry, Category::weights), copies(*dry, Category::masters);
  auto take = [&](Arena& arena, DType dtype) {
    return parameter.shape.size() > 1 ? arena.take(dtype, {parameter.rows(), parameter.cols()})
                                      : arena.take(dtype, {parameter.rows()});
  };
  Share share;
  share.parameter = &parameter;
  share.count = parameter.numel();
  share.weight = take(weights, compute_dtype(precision));
  share.gradient = take(weights, gradient_dtype(precision));
  if (precision == TrainPrecision::bf16) share.master = take(copies, DType::f32);
  Optimizer optimizer(*dry, config, {share});
  dry->reset_work();
  const double steps = static_cast<double>(optimizer.period());
  for (int64_t step = 1; step <= optimizer.period(); ++step) optimizer.step(step, 1, 1);
  return {atom_of(config, parameter), (dry->work().flops + flops_per_byte * dry->work().bytes) / steps,
          static_cast<double>(dry->bytes(Category::optimizer_state) + dry->bytes(Category::masters)),
          block_rows_of(config, parameter)};
}

}  // namespace

std::vector<UpdateCost> update_costs(const OptimizerConfig& optimizer, const ParameterTable& table,
                                     TrainPrecision precision) {
  std::map<std::tuple<size_t, std::vector<int64_t>, int64_t, int64_t>, UpdateCost> known;
  std::vector<UpdateCost> costs;
  for (const Parameter& parameter : table.parameters()) {
    const auto key =
        std::tuple{group_of(optimizer, parameter), parameter.shape, parameter.head_rows, parameter.head_cols};
    if (!known.contains(key)) known[key] = cost_of(optimizer, parameter, precision);
    costs.push_back(known[key]);
  }
  return costs;
}

}  // namespace rowan
