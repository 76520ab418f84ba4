// rowan bench direction: measures the time to turn momentum into an update direction, for one matrix at a time. With
// --model, also prints the bytes of optimizer state.
#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "base/human.h"
#include "base/random.h"
#include "bench/bench_run.h"
#include "commands/commands.h"
#include "kernels/ceiling.h"
#include "kernels/dry/dry_backend.h"
#include "model/layout.h"
#include "optim/optimizer.h"
#include "optim/routing.h"
#include "optim/stages.h"

namespace rowan {
namespace {

using Shape = std::pair<int64_t, int64_t>;  // {out, in}

struct DirectionOptions : DeviceOptions {
  std::vector<std::string> models, matrices, recipes = {"muon", "rmnp", "nora", "mano"};
  std::string precision = "bf16";
  int repeats = 20;
};

Shape parse_shape(const std::string& text) {
  const size_t x = text.find('x');
  auto number = [&](const std::string& part) {
    if (part.empty() || part.find_first_not_of("0123456789") != std::string::npos || part[0] == '0')
      fail("--matrix: found '{}', expected OUTxIN, as in 5461x2048", text);
    if (part.size() > 6) fail("--matrix: found '{}', expected at most 999999 rows and columns", text);
    return std::stoll(part);
  };
  if (x == std::string::npos) fail("--matrix: found '{}', expected OUTxIN, as in 5461x2048", text);
  return {number(text.substr(0, x)), number(text.substr(x + 1))};
}

// The median time in milliseconds to compute the direction of one matrix, including the wait for the device.
double milliseconds(Backend& backend, const DirectionOptions& o, const Recipe& recipe, Shape shape) {
  const DType weights = o.precision == "bf16" ? DType::bf16 : DType::f32;
  const auto [rows, cols] = shape;
  Arena memory(backend, Category::workspace);
  Workspace workspace = make_workspace(workspace_size(recipe, 1, rows, cols), update_dtype(recipe, weights), memory);
  Tensor values = memory.take(DType::f32, {rows * cols});
  std::vector<float> numbers(static_cast<size_t>(rows * cols));
  Random random(1, 0);
  for (float& value : numbers) value = static_cast<float>(random.normal());
  backend.upload(values, numbers.data());
  backend.copy(workspace.update, values);
  Moment now;
  now.t = 2;  // at step 2, recipes that alternate axes normalize rows
  const States none;
  const Tensor update = workspace.update.view({1, rows, cols});
  return 1e3 * median_seconds(backend, o.repeats, [&] {
           StageRun run{backend, recipe, now, {}, none, workspace, update};
           direction_stage.run(run);
         });
}

// For each shape, the number of matrices that a recipe other than AdamW updates.
std::map<Shape, int64_t> matrices_of(const OptimizerConfig& config, const ParameterTable& table) {
  std::map<Shape, int64_t> shapes;
  for (const Parameter& parameter : table.parameters())
    if (!config.groups[group_of(config, parameter)].recipe->adamw && parameter.shape.size() == 2)
      ++shapes[{parameter.rows(), parameter.cols()}];
  return shapes;
}

size_t state_bytes(const OptimizerConfig& config, const ParameterTable& table) {
  auto dry = make_dry_backend();
  Arena memory(*dry, Category::weights);
  std::vector<Share> shares;
  for (const Parameter& parameter : table.parameters()) {
    Share& share = shares.emplace_back();
    share.parameter = &parameter;
    share.count = parameter.numel();
    auto take = [&] {
      return parameter.shape.size() > 1 ? memory.take(DType::f32, {parameter.rows(), parameter.cols()})
                                        : memory.take(DType::f32, {parameter.rows()});
    };
    share.weight = take();
    share.gradient = take();
  }
  const Optimizer optimizer(*dry, config, shares);
  return dry->bytes(Category::optimizer_state);
}

class Bench {
 public:
  Bench(const DirectionOptions& options, Backend& backend) : options_(options), backend_(backend) {}

  void matrix(const std::string& recipe, Shape shape) {
    const double ms = of(recipe, shape);
    fmt::print("{:<16}{:>8} x {:<8}{:>12.4f}\n", recipe, shape.first, shape.second, ms);
    rows_.push_back({{"recipe", recipe}, {"out", shape.first}, {"in", shape.second}, {"milliseconds", ms}});
  }

  void model(const std::string& recipe, const std::string& file) {
    const ParameterTable table = parameter_table(model_of(file));
    const OptimizerConfig config = recipe_config(recipe);
    double ms = 0;
    int64_t count = 0;
    for (const auto& [shape, matrices] : matrices_of(config, table)) {
      ms += static_cast<double>(matrices) * of(recipe, shape);
      count += matrices;
    }
    const size_t state = state_bytes(config, table);
    fmt::print("{:<16}{:<40}{:>10}{:>16.4f}{:>12}\n", recipe, file, count, ms / 10,
               human_bytes(static_cast<double>(state)));
    rows_.push_back({{"recipe", recipe},
                     {"model", file},
                     {"matrices", count},
                     {"seconds_of_100_steps", ms / 10},
                     {"state_bytes", state}});
  }

  void write() const {
    write_json(
        options_.json,
        {{"bench", "direction"}, {"device", backend_.describe()}, {"precision", options_.precision}, {"rows", rows_}});
  }

 private:
  double of(const std::string& recipe, Shape shape) {
    const auto [at, fresh] = measured_.try_emplace({recipe, shape});
    if (fresh) at->second = milliseconds(backend_, options_, recipe_config(recipe).main(), shape);
    return at->second;
  }

  const DirectionOptions& options_;
  Backend& backend_;
  std::map<std::pair<std::string, Shape>, double> measured_;
  Json rows_ = Json::array();
};

void bench_direction(const DirectionOptions& o) {
  std::vector<Shape> shapes;
  for (const std::string& text : o.matrices) shapes.push_back(parse_shape(text));
  for (const std::string& recipe : o.recipes)
    if (const Recipe main = recipe_config(recipe).main(); main.adamw || main.direction == Direction::none)
      fail("--recipe: found {}, expected a recipe with a direction other than none", recipe);
  auto backend = make_backend(o);
  fmt::print("directions alone, for {} weights, synchronized after each call, on {}\n", o.precision,
             backend->describe());
  Bench bench(o, *backend);
  if (!shapes.empty()) fmt::print("{:<16}{:>8} x {:<8}{:>12}\n", "recipe", "out", "in", "ms");
  for (const Shape& shape : shapes)
    for (const std::string& recipe : o.recipes) bench.matrix(recipe, shape);
  if (!o.models.empty())
    fmt::print("{:<16}{:<40}{:>10}{:>16}{:>12}\n", "recipe", "model", "matrices", "s of 100 steps", "state");
  for (const std::string& model : o.models)
    for (const std::string& recipe : o.recipes) bench.model(recipe, model);
  bench.write();
}

}  // namespace

void add_bench_direction(CommandLine& command) {
  auto o = std::make_shared<DirectionOptions>();
  command.add("--model", o->models, "model configs: seconds for 100 steps, summed over the model's matrices");
  command.add("--matrix", o->matrices, "single matrices, OUTxIN");
  command.add("--recipe", o->recipes, "recipes to measure").show_default();
  command.add("--precision", o->precision, "dtype of the weights; the recipe chooses the dtype of its directions")
      .one_of({"fp32", "bf16"})
      .show_default();
  command.add("--repeats", o->repeats).at_least(1).show_default();
  add_options(command, static_cast<DeviceOptions&>(*o));
  command.set_action([o] {
    if (o->models.empty() && o->matrices.empty())
      o->matrices = {"512x512", "768x768", "1024x1024", "2048x2048", "5461x2048", "2048x5461"};
    bench_direction(*o);
  });
}

}  // namespace rowan
