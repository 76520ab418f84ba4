// The section "data" of a config.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/section.h"
#include "data/shard.h"

namespace rowan {

// packed     windows over the stream of all tokens: a row is T + 1 tokens (T: sequence length), and the next row starts
//            T tokens later
// documents  one document per row, cut to T - 1 tokens, then its end token, then padding
enum class Reading { packed, documents };
constexpr auto names_of(Reading) { return enum_names("packed", "documents"); }
// Order of the rows within an epoch.
enum class Order { shuffled, sequential };
constexpr auto names_of(Order) { return enum_names("shuffled", "sequential"); }

struct Corpus {
  std::vector<std::string> files;  // file names or globs
  double weight = 1;               // share of a mixture's rows, relative to the other weights
};

// How another program splits the validation rows into batches. That program reports the mean of the batch means.
struct BatchMeans {
  int64_t ranks = 0, rows = 0;  // number of processes, and number of rows in a batch of one process; 0: off
};

// The next three enums and DocumentConfig say how packed rows are split into documents. Attention then stays within
// documents.
enum class EndToken : uint8_t { first, last };  // position of the end token within its document
constexpr auto names_of(EndToken) { return enum_names("first", "last"); }
enum class DocumentPositions : uint8_t { restart, through };
constexpr auto names_of(DocumentPositions) { return enum_names("restart", "continue"); }
enum class EndTargets : uint8_t { counted, ignored };  // whether the loss counts the target after an end token
constexpr auto names_of(EndTargets) { return enum_names("counted", "ignored"); }
struct DocumentConfig {
  EndToken end_token = EndToken::first;
  DocumentPositions positions = DocumentPositions::restart;
  EndTargets end_targets = EndTargets::counted;
};

struct DataConfig {
  std::vector<Corpus> train;            // several corpora form a mixture
  std::vector<std::string> validation;  // files or globs; may be empty
  BatchMeans batch_means;
  std::string hellaswag;  // HellaSwag file, scored at every evaluation (evaluate/hellaswag.h); "": none
  Reading reading = Reading::packed;
  std::optional<DocumentConfig> documents;  // nullopt: attention spans the row
  Order order = Order::shuffled;
  ShardOptions shards;
};

// Keys: train (a glob or a list of them) or mixture (a list of {"glob": glob or list, "weight": number}), validation,
// batch_means ({"ranks": number, "rows": number}), hellaswag (a file), reading (packed | documents), documents (an
// object), order (shuffled | sequential), and for foreign shards format (auto | llmc | nanogpt | datatrove | megatron),
// width (2 | 4) and end_id. Throws Error naming the field.
DataConfig parse_data(JsonObject data);
void visit(DocumentConfig& documents, Section& keys);
// Visits the keys of the section for writing, documentation and reading. The keys `train`, `mixture`, `validation`,
// `batch_means` and `documents` are not read here; parse_data() reads them.
void visit(DataConfig& data, Section& keys);

}  // namespace rowan
