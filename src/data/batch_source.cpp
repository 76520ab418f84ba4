#include "data/batch_source.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "data/permutation.h"

namespace rowan {
namespace {

// A mixture repeats a round of this many rows. Each corpus has places in the round in proportion to its weight. The
// order of the places is drawn once.
constexpr int64_t round_rows = 10000;

// The value of an object, or null.
Json value_of(const Json& of, const std::string& key) { return of.is_object() && of.contains(key) ? of[key] : Json(); }

struct ShardChange {
  std::string shard, key;
  Json was, is;
};

// The first value that differs between two lists of shard_fingerprints(), in the shards that both have.
std::optional<ShardChange> first_change(const Json& saved, const Json& current) {
  for (size_t s = 0; s < std::min(saved.size(), current.size()); ++s)
    for (const char* key : {"name", "bytes", "tokens", "hash"})
      if (const Json was = value_of(saved[s], key), is = current[s].at(key); was != is)
        return ShardChange{current[s]["name"], key, was, is};
  return {};
}

}  // namespace

Json shard_fingerprints(const Dataset& corpus) {
  Json shards = Json::array();
  for (const Shard& shard : corpus.shards())
    shards.push_back({{"name", shard.path().filename().string()},
                      {"bytes", shard.file_bytes()},
                      {"tokens", shard.tokens()},
                      {"hash", fmt::format("{:016x}", shard.head_hash())}});
  return shards;
}

std::string shard_difference(const Json& saved, const Json& current) {
  if (!saved.is_array()) return "";
  if (const auto changed = first_change(saved, current))
    return fmt::format("{}: {} was {} and is now {}", changed->shard, changed->key, changed->was.dump(),
                       changed->is.dump());
  if (saved.size() == current.size()) return "";
  return fmt::format("the number of shards was {} and is now {}", saved.size(), current.size());
}

BatchSource::BatchSource(const DataConfig& config, int64_t sequence_length, uint64_t seed, int64_t vocab_size)
    : sequence_length_(sequence_length), order_(config.order) {
  fingerprint_ = {{"seed", seed},
                  {"sequence_length", sequence_length},
                  {"reading", name_of(config.reading)},
                  {"order", name_of(config.order)},
                  {"corpora", Json::array()}};
  for (const Corpus& part : config.train) {
    const Dataset& corpus =
        corpora_.emplace_back(part.files, config.shards, config.reading, sequence_length, vocab_size, config.documents);
    samples_per_epoch_ += corpus.rows();
    const Json description = {{"weight", part.weight}, {"rows", corpus.rows()}, {"shards", shard_fingerprints(corpus)}};
    Hash64 key;
    key.add(description["shards"].dump());
    key.add(&seed, sizeof seed);
    keys_.push_back(key.value());
    fingerprint_["corpora"].push_back(description);
    const Shard& shard = corpus.tokenizer_shard();
    if (shard.tokenizer_hash() != 0 && shard.tokenizer_hash() != tokenizer_hash())
      fail("{}: found another tokenizer than in {}, another corpus of the mixture", shard.path().string(),
           tokenizer_shard().path().string());
  }
  draw_round(config.train);
}

const Shard& BatchSource::tokenizer_shard() const {
  for (const Dataset& corpus : corpora_)
    if (corpus.tokenizer_shard().tokenizer_hash() != 0) return corpus.tokenizer_shard();
  return corpora_.front().tokenizer_shard();
}

void BatchSource::draw_round(const std::vector<Corpus>& parts) {
  double total = 0, sum = 0;
  for (const Corpus& part : parts) total += part.weight;
  std::vector<int64_t> corpus_at;  // corpus of each place before shuffling
  for (const Corpus& part : parts) {
    sum += part.weight;
    const int64_t share = std::llround(round_rows * (sum / total)) - static_cast<int64_t>(corpus_at.size());
    if (share == 0)
      fail("data.mixture: weight of {1}: found {0}, expected enough for at least one of {2} rows", part.weight,
           part.files.front(), round_rows);
    corpus_at.insert(corpus_at.end(), static_cast<size_t>(share), static_cast<int64_t>(shares_.size()));
    shares_.push_back(share);
  }
  const Permutation lot(keys_.front(), UINT64_MAX, round_rows);
  std::vector<int64_t> before(parts.size());
  for (uint64_t place = 0; place < round_rows; ++place) {
    const int64_t corpus = corpus_at[lot(place)];
    round_.push_back({corpus, before[static_cast<size_t>(corpus)]++});
  }
}

BatchSource::Row BatchSource::row_of(int64_t sample) const {
  size_t part = 0;
  if (corpora_.size() > 1) {
    const Place& place = round_[static_cast<size_t>(sample % round_rows)];
    part = static_cast<size_t>(place.corpus);
    sample = sample / round_rows * shares_[part] + place.before;
  }
  return {&corpora_[part], row_in(part, sample)};
}

int64_t BatchSource::row_in(size_t part, int64_t sample) const {
  const int64_t rows = corpora_[part].rows(), epoch = sample / rows, row = sample % rows;
  if (order_ == Order::sequential) return row;
  const Permutation shuffle(keys_[part], static_cast<uint64_t>(epoch), static_cast<uint64_t>(rows));
  return static_cast<int64_t>(shuffle(static_cast<uint64_t>(row)));
}

void BatchSource::fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const {
  for (int64_t i = 0; i < count; ++i) {
    const Row row = row_of(first + i);
    row.corpus->read(row.row, inputs + i * sequence_length_, targets + i * sequence_length_);
  }
}

int64_t BatchSource::samples_of(size_t part, int64_t end) const {
  if (corpora_.size() == 1) return end;
  const auto next = std::find_if(round_.begin() + end % round_rows, round_.end(),
                                 [&](const Place& place) { return place.corpus == static_cast<int64_t>(part); });
  return end / round_rows * shares_[part] + (next == round_.end() ? shares_[part] : next->before);
}

double BatchSource::epochs(size_t part, int64_t samples) const {
  return static_cast<double>(samples_of(part, samples)) / static_cast<double>(corpora_[part].rows());
}

// An epoch contains every row of a corpus once, so all whole epochs are counted in one pass over the rows. With the
// partial epochs at both ends, at most the rows of three epochs are visited.
RowCount BatchSource::count(int64_t first, int64_t count) const {
  RowCount total;
  auto add = [&](const RowCount& one, int64_t times) {
    total.inputs += times * one.inputs;
    total.targets += times * one.targets;
  };
  for (size_t part = 0; part < corpora_.size(); ++part) {
    const Dataset& corpus = corpora_[part];
    const int64_t rows = corpus.rows(), end = samples_of(part, first + count);
    for (int64_t sample = samples_of(part, first); sample < end;) {
      const int64_t epochs = sample % rows == 0 ? (end - sample) / rows : 0;
      if (epochs == 0) {
        add(corpus.count(row_in(part, sample++)), 1);
        continue;
      }
      for (int64_t row = 0; row < rows; ++row) add(corpus.count(row), epochs);
      sample += epochs * rows;
    }
  }
  return total;
}

int64_t BatchSource::tokens() const {
  int64_t tokens = 0;
  for (const Dataset& corpus : corpora_) tokens += corpus.tokens();
  return tokens;
}

void check_fingerprint(const Json& saved, const Json& current) {
  auto refuse = [](const std::string& place, const std::string& key, const Json& was, const Json& is) {
    fail("{0}: {1}: found {3}, expected {2} as when the checkpoint was written; the run cannot continue on other data",
         place, key, was.dump(), is.dump());
  };
  auto compare = [&](const Json& was, const Json& is, const char* key, const std::string& place) {
    if (const Json before = value_of(was, key); before != is.at(key)) refuse(place, key, before, is.at(key));
  };
  auto list = [](const Json& of, const char* key) {
    const Json value = value_of(of, key);
    return value.is_array() ? value : Json::array();
  };
  for (const char* key : {"seed", "sequence_length", "reading", "order"}) compare(saved, current, key, "data");
  const Json before = list(saved, "corpora");
  const size_t corpora = current["corpora"].size();
  if (before.size() != corpora)
    fail("data: found {1} corpora, expected {0} as when the checkpoint was written", before.size(), corpora);
  for (size_t c = 0; c < corpora; ++c) {
    const Json &was = before[c], &is = current["corpora"][c];
    const std::string place = corpora == 1 ? "data.train" : fmt::format("data.mixture.{}", c);
    const Json shards = list(was, "shards");
    if (const auto changed = first_change(shards, is["shards"]))
      refuse("shard " + changed->shard, changed->key, changed->was, changed->is);
    if (shards.size() != is["shards"].size())
      fail("{0}: found {2} shards, expected {1} as when the checkpoint was written", place, shards.size(),
           is["shards"].size());
    compare(was, is, "weight", place);
    compare(was, is, "rows", place);
  }
}

}  // namespace rowan
