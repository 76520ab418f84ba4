#include "data/data_config.h"

#include <limits>

#include "base/error.h"

namespace rowan {
namespace {

std::vector<std::string> files_at(JsonObject& object, const std::string& key) {
  std::vector<std::string> files = object.strings(key);
  if (files.empty()) object.fail(key, "found an empty list, expected files or globs");
  return files;
}

}  // namespace

DataConfig parse_data(JsonObject data) {
  DataConfig config;
  if (data.has("mixture")) {
    if (data.has("train")) data.fail("mixture", "stands beside train; give one of them");
    for (JsonObject& part : data.objects("mixture")) {
      Corpus corpus{files_at(part, "glob"), part.number("weight")};
      if (corpus.weight <= 0) part.fail("weight", "must be greater than 0");
      part.finish();
      config.train.push_back(corpus);
    }
    if (config.train.empty()) data.fail("mixture", "found an empty list");
  } else {
    config.train.push_back({files_at(data, "train"), 1});
  }
  if (data.has("validation")) config.validation = files_at(data, "validation");
  config.hellaswag = data.string("hellaswag", "");
  config.reading = data.choice("reading", config.reading);
  config.order = data.choice("order", config.order);
  config.shards.format = data.choice("format", config.shards.format);
  config.shards.width = static_cast<int>(data.integer("width", 0));
  if (data.has("width") && config.shards.width != 2 && config.shards.width != 4)
    data.fail("width", fmt::format("found {}, allowed: 2 and 4", config.shards.width));
  if (config.shards.format == ShardFormat::nanogpt && config.shards.width == 0)
    data.fail("format", "nanogpt files are bare tokens: give width too, 2 or 4");
  config.shards.end_id = static_cast<int32_t>(data.integer("end_id", -1, -1, std::numeric_limits<int32_t>::max()));
  data.finish();
  return config;
}

}  // namespace rowan
