#include "data/data_config.h"

#include <limits>

#include "base/error.h"
#include "base/json.h"

namespace rowan {
namespace {

std::vector<std::string> files_at(JsonObject& object, const std::string& key) {
  std::vector<std::string> files = object.strings(key);
  if (files.empty()) object.fail(key, "found an empty list, expected files or globs");
  for (const std::string& file : files)
    if (file.empty()) object.fail(key, "found an empty name, expected a file or glob");
  return files;
}

Json list_of(const std::vector<std::string>& files) { return files.size() == 1 ? Json(files[0]) : Json(files); }

DocumentConfig parse_documents(JsonObject object) {
  DocumentConfig documents;
  read_keys(object, [&](Section& keys) { visit(documents, keys); });
  object.finish();
  return documents;
}

}  // namespace

void visit(DocumentConfig& documents, Section& keys) {
  keys.choice(
      {.name = "end_token",
       .help = "where the end token belongs in its document: `first`, as in llm.c's and Rowan's shards, or `last`",
       .required = true},
      documents.end_token);
  keys.choice({.name = "positions", .help = "`restart` with every document, or `continue` through the row"},
              documents.positions);
  keys.choice({.name = "end_targets", .help = "whether the loss counts the token after an end token"},
              documents.end_targets);
}

void visit(DataConfig& data, Section& keys) {
  Json train, mixture;
  if (data.train.size() == 1)
    train = list_of(data.train[0].files);
  else
    for (const Corpus& part : data.train) mixture.push_back({{"glob", list_of(part.files)}, {"weight", part.weight}});
  keys.other({.name = "train", .help = "a file or glob, or a list of them", .required = true, .instead = "mixture"},
             train);
  keys.other({.name = "mixture",
              .help = "a list of `{\"glob\": ..., \"weight\": ...}`: corpora drawn in proportion to their weights"},
             mixture);
  keys.other({.name = "validation", .help = "files or globs", .absent = "none"},
             data.validation.empty() ? Json() : list_of(data.validation));
  const auto [ranks, rows] = data.batch_means;
  keys.other(
      {.name = "batch_means",
       .help = "`{\"ranks\": 8, \"rows\": 64}`: the ranks, and the rows per batch, of another program's evaluation; "
               "adds `val_loss_batch_mean`, the mean of each rank's batch means, averaged over the ranks; with "
               "`reading` `documents` also `val_loss_galore`, which divides by n + 1 instead of n batches",
       .continues = true,
       .absent = "none"},
      ranks ? Json{{"ranks", ranks}, {"rows", rows}} : Json());
  keys.text({.name = "hellaswag", .help = "a HellaSwag file, which every evaluation scores", .continues = true},
            data.hellaswag);
  keys.choice(
      {.name = "reading",
       .help = "`packed`: windows of `sequence_length` + 1 tokens; `documents`: one document a row, cut or padded"},
      data.reading);
  keys.other({.name = "documents",
              .help = "for packed rows: an object, described below, that keeps attention within documents",
              .absent = "attention runs through the row"},
             data.documents ? write_keys([&](Section& inner) { visit(*data.documents, inner); }) : Json());
  keys.choice({.name = "order", .help = "order of the rows within an epoch"}, data.order);
  keys.choice({.name = "format", .help = "format of the shards"}, data.shards.format);
  keys.integer<0, 4>({.name = "width", .help = "bytes per token, 2 or 4, if the format does not tell; 0: not given"},
                     data.shards.width);
  keys.integer<-1, std::numeric_limits<int32_t>::max()>(
      {.name = "end_id", .help = "id of the end token, if the shards do not name it"}, data.shards.end_id);
}

DataConfig parse_data(JsonObject data) {
  DataConfig config;
  if (data.has("mixture")) {
    if (data.has("train")) data.fail("mixture", "conflicts with train; give one of them");
    for (JsonObject& part : data.objects("mixture")) {
      Corpus corpus{files_at(part, "glob"), part.number("weight")};
      if (corpus.weight <= 0) part.fail("weight", "expected more than 0");
      part.finish();
      config.train.push_back(corpus);
    }
    if (config.train.empty()) data.fail("mixture", "found an empty list");
  } else {
    config.train.push_back({files_at(data, "train"), 1});
  }
  if (data.has("validation")) config.validation = files_at(data, "validation");
  if (data.has("batch_means")) {
    JsonObject means = data.object("batch_means");
    config.batch_means = {means.integer("ranks", {}, 1, 1 << 20), means.integer("rows", {}, 1, 1 << 20)};
    means.finish();
    if (config.validation.empty()) data.fail("batch_means", "needs validation data; give validation");
  }
  read_keys(data, [&](Section& keys) { visit(config, keys); });
  if (data.has("documents")) {
    if (config.reading == Reading::documents)
      data.fail("documents", "is for packed rows; if reading is documents, every row is one document");
    config.documents = parse_documents(data.object("documents"));
  }
  if (config.shards.width != 0 && config.shards.width != 2 && config.shards.width != 4)
    data.fail("width", fmt::format("found {}, expected 2 or 4", config.shards.width));
  if (config.shards.format == ShardFormat::nanogpt && config.shards.width == 0)
    data.fail("format", "nanogpt files do not state the bytes per token; give width, 2 or 4");
  data.finish();
  return config;
}

}  // namespace rowan
