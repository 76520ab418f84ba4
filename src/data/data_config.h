// What the section "data" of a configuration says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/section.h"
#include "data/shard.h"

namespace rowan {

// packed     the stream of all tokens in windows: a row is T + 1 tokens, the next row starts T tokens later
// documents  one document a row, cut to T - 1 tokens, its end token after it, then padding
enum class Reading { packed, documents };
constexpr auto names_of(Reading) { return enum_names("packed", "documents"); }
// Of the rows within an epoch.
enum class Order { shuffled, sequential };
constexpr auto names_of(Order) { return enum_names("shuffled", "sequential"); }

struct Corpus {
  std::vector<std::string> files;  // names or globs
  double weight = 1;               // share of the rows of a mixture, in any unit
};

// How the evaluation of another program cuts the validation rows into batches; its figure is a mean of batch means.
struct BatchMeans {
  int64_t ranks = 0, rows = 0;  // processes, and rows in a batch of one of them; 0: not wanted
};

// How packed rows are cut into documents, between which there is no attention.
enum class EndToken : uint8_t { first, last };  // of its document
constexpr auto names_of(EndToken) { return enum_names("first", "last"); }
enum class DocumentPositions : uint8_t { restart, through };
constexpr auto names_of(DocumentPositions) { return enum_names("restart", "continue"); }
enum class EndTargets : uint8_t { counted, ignored };  // what follows an end token
constexpr auto names_of(EndTargets) { return enum_names("counted", "ignored"); }
struct DocumentConfig {
  EndToken end_token = EndToken::first;
  DocumentPositions positions = DocumentPositions::restart;
  EndTargets end_targets = EndTargets::counted;
};

struct DataConfig {
  std::vector<Corpus> train;            // more than one: a mixture
  std::vector<std::string> validation;  // may be empty
  BatchMeans batch_means;
  std::string hellaswag;  // a file scored at every evaluation (hellaswag.h); "": none
  Reading reading = Reading::packed;
  std::optional<DocumentConfig> documents;  // none: attention runs through the row
  Order order = Order::shuffled;
  ShardOptions shards;
};

// Keys: train (a glob or a list of them) or mixture (a list of {"glob": glob or list, "weight": number}), validation,
// batch_means ({"ranks": number, "rows": number}), hellaswag (a file), reading (packed | documents), documents (an
// object), order (shuffled | sequential), and for foreign shards format (auto | llmc | nanogpt | datatrove | megatron),
// width (2 | 4) and end_id. Throws Error naming the field.
DataConfig parse_data(JsonObject data);
void visit(DocumentConfig& documents, Section& keys);
// Its keys; train, mixture and validation are lists that parse_data() reads by itself.
void visit(DataConfig& data, Section& keys);

}  // namespace rowan
