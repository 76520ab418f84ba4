// The golden case of a whole model is a folder with config.json, model.safetensors, batch.safetensors (input_ids,
// targets and usually logits), grads.safetensors (gradients of the mean loss over counted targets) and expect.json (the
// loss, and documents and dropout if the model has them). A key of expect.json that is not read is an error. A case for
// tests of dropout also has dropout_grads.safetensors (mean gradients of many draws).
#pragma once

#include <algorithm>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "model/model.h"

namespace rowan {

// Dropout rates at three places, and the statistics of the loss over many draws.
struct GoldenDropout {
  DropoutRates rates;
  double draws = 0, mean = 0, deviation = 0;
};

struct Golden {
  std::filesystem::path folder;
  ModelConfig config;
  SafeTensors weights, batch, gradients;
  double loss = 0;
  std::optional<DocumentOptions> documents = {};
  std::vector<GoldenDropout> dropout = {};

  static Golden open(const std::filesystem::path& folder) {
    auto source = [&](const char* file) {
      return std::make_shared<const JsonSource>(JsonSource{(folder / file).string(), read_file(folder / file)});
    };
    auto config_source = source("config.json"), expect_source = source("expect.json");
    const Json config = parse_json(*config_source), expected = parse_json(*expect_source);
    Golden golden{folder, parse_model(JsonObject(config_source, config)), SafeTensors(folder / "model.safetensors"),
                  SafeTensors(folder / "batch.safetensors"), SafeTensors(folder / "grads.safetensors")};
    JsonObject expect(expect_source, expected);
    golden.loss = expect.number("loss");
    if (expect.has("documents")) golden.read_documents(expect.object("documents"));
    if (expect.has("dropout"))
      for (JsonObject& row : expect.objects("dropout")) golden.read_dropout(row);
    expect.finish();
    return golden;
  }

  std::vector<int32_t> ints(const char* name) const {
    const StoredTensor& tensor = batch.find(name);
    auto* values = reinterpret_cast<const int32_t*>(tensor.data);
    return {values, values + tensor.numel()};
  }
  int64_t rows() const { return batch.find("input_ids").shape[0]; }
  int64_t sequence_length() const { return batch.find("input_ids").shape[1]; }

  // Throws Error unless the names and shapes of the weights are exactly the model's.
  void load(Model& model) const {
    size_t parameters = 0;
    for (const Parameter& parameter : model.parameters().parameters()) {
      const StoredTensor& stored = weights.find(parameter.name);
      if (stored.shape != parameter.shape) fail("{}: {} has another shape", folder.string(), parameter.name);
      model.set(parameter, read_floats(stored).data());
      ++parameters;
    }
    if (parameters != weights.names().size())
      fail("{}: found {} tensors, expected the model's {}", folder.string(), weights.names().size(), parameters);
  }

 private:
  void read_documents(JsonObject object) {
    DocumentOptions options;
    options.rule.end_token = static_cast<int32_t>(object.integer("end_token"));
    options.rule.opens = object.choice("end_token_belongs_to", {"previous", "next"}) == "next";
    options.restart = object.choice("positions", {"restart", "continue"}) == "restart";
    const bool ignored = object.choice("targets_of_end_tokens", {"counted", "ignored"}) == "ignored";
    object.finish();
    const std::vector<int32_t> ids = ints("input_ids"), targets = ints("targets");
    for (size_t i = 0; ignored && i < ids.size(); ++i)
      if (ids[i] == options.rule.end_token && targets[i] != -100)
        fail("{}: target {} of an end token: found {}, expected -100", folder.string(), i, targets[i]);
    documents = options;
  }
  void read_dropout(JsonObject& object) {
    GoldenDropout row;
    row.rates = {object.number("embedding"), object.number("attention"), object.number("residual")};
    row.draws = object.number("draws");
    row.mean = object.number("mean_loss");
    row.deviation = object.number("sd_of_one_draw");
    object.finish();
    dropout.push_back(row);
  }
};

}  // namespace rowan
