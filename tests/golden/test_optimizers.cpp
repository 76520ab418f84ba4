// Compares the weights after each step with golden files, for each case of optimizers.json and field/optimizers.json in
// the golden folders.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <span>

#include "base/error.h"
#include "base/files.h"
#include "base/safetensors.h"
#include "distances.h"
#include "golden_files.h"
#include "golden_rules.h"
#include "optim/optimizer.h"

namespace rowan {
namespace {

OptimizerConfig parse(const Json& json) {
  auto source = std::make_shared<JsonSource>(JsonSource{"case", json.dump(1)});
  return parse_optimizer(JsonObject(source, json));
}

// Largest |a - b| divided by the largest |b|, or the largest |a - b| itself if b is zero.
double distance(const std::vector<float>& a, std::span<const float> b) {
  const double difference = largest_difference(a, b);
  double largest = 0;
  for (float value : b) largest = larger(largest, std::fabs(value));
  return largest > 0 ? difference / largest : difference;
}

// Returns the largest distance over all steps of a case.
double run_case(const Json& entry, const SafeTensors& data, Backend& backend) {
  const std::string name = entry["case"];
  double largest = 0;
  SCOPED_TRACE(name);
  const int64_t rows = entry["shape"][0], cols = entry["shape"][1], steps = entry["steps"], size = rows * cols;
  const OptimizerConfig config = parse(config_of(entry["rule"], entry["hyperparameters"]));
  std::vector<float> weights = read_floats(data.find(name + "/w0")),
                     gradients = read_floats(data.find(name + "/grads")),
                     expected = read_floats(data.find(name + "/w"));
  if (expected.size() != static_cast<size_t>(steps * size))
    fail("found {} values, expected {} steps of {} weights", expected.size(), steps, size);

  ParameterTable table;
  Parameter matrix{"matrix.weight", Role::matrix, {rows, cols}};
  matrix.head_cols = entry.value("head_cols", 0);
  table.add(matrix);
  Arena arena(backend, Category::weights);
  Share share;
  share.parameter = &table.parameters()[0];
  share.count = size;
  share.weight = arena.take(DType::f32, {rows, cols});
  share.gradient = arena.take(DType::f32, {rows, cols});
  backend.upload(share.weight, weights.data());
  Optimizer optimizer(backend, config, {share});
  for (int64_t step = 0; step < steps; ++step) {
    backend.upload(share.gradient, gradients.data() + step * size);
    optimizer.step(step, 1, 1);
    backend.download(weights.data(), share.weight);
    const double apart = distance(weights, std::span(expected).subspan(step * size, size));
    EXPECT_LT(apart, 2e-5) << "after step " << step + 1;
    largest = larger(largest, apart);
  }
  return largest;
}

struct Seen {
  int cases = 0;
  double largest = 0;
};

void run_index(const std::filesystem::path& index) {
  const Json cases = parse_json({index.string(), read_file(index)});
  SafeTensors data(std::filesystem::path(index).replace_extension(".safetensors"));
  auto backend = make_golden_backend();
  ASSERT_GT(cases.size(), 0u);
  std::map<std::string, Seen> seen;
  for (const Json& entry : cases) {
    try {
      Seen& rule = seen[entry.at("rule")];
      ++rule.cases;
      rule.largest = larger(rule.largest, run_case(entry, data, *backend));
    } catch (const Error& error) {
      ADD_FAILURE() << entry.at("case") << ": " << error.what();
    }
  }
  fmt::print("{}: cases and largest difference of each rule\n", index.filename().string());
  for (const auto& [rule, figures] : seen) fmt::print("  {:<20} {:>4} {:.1e}\n", rule, figures.cases, figures.largest);
}

TEST(OptimizerGoldens, every_index) {
  int found = 0;
  for (const std::filesystem::path& root : golden_roots())
    for (const std::filesystem::path& index : {root / "optimizers.json", root / "field" / "optimizers.json"}) {
      if (!std::filesystem::exists(index)) continue;
      ++found;
      run_index(index);
    }
  if (found == 0) GTEST_SKIP() << "needs optimizers.json in the folder named by ROWAN_GOLDEN";
}

}  // namespace
}  // namespace rowan
