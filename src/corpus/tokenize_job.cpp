#include "corpus/tokenize_job.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <system_error>
#include <thread>

#include "base/console.h"
#include "base/error.h"
#include "base/file_identity.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/folder_lock.h"
#include "base/json.h"
#include "corpus/tokenize_batch.h"
#include "corpus/tokenize_notes.h"
#include "data/shard.h"
#include "data/shard_writer.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> all_inputs(const TokenizeOptions& options) {
  std::vector<std::string> all = options.inputs;
  all.insert(all.end(), options.validation_inputs.begin(), options.validation_inputs.end());
  check_given_once(all);
  return all;
}

// The state of one job. `reading_` guards the reader and the tickets, `writing_` the counters and the shard writers.
class Job {
 public:
  Job(const TokenizeOptions& options, const Tokenizer& tokenizer,
      const std::function<void(const TokenizeProgress&)>& progress)
      : options_(options),
        tokenizer_(tokenizer),
        report_(progress),
        rule_(ValidationRule::parse(options.validation)),
        end_(options.end.value_or(tokenizer.spec().starts_with("sentencepiece:") ? shard::EndPlace::after
                                                                                 : shard::EndPlace::before)),
        folder_(options.out),
        inputs_(all_inputs(options)),
        sources_(inputs_.size()) {
    for (size_t i = 0; i < inputs_.size(); ++i) pending_.push_back(i);
    reader_.emplace(inputs_, options.format, options.split);
  }

  TokenizeResult run() {
    check_folder(folder_, FolderKind::shards);
    if (rule_.kind == ValidationRule::last)
      for (const std::string& input : options_.inputs)
        if (input == "-")
          fail("--validation {}: found standard input, whose size is not known in advance", options_.validation);
    settings_ = describe_settings(options_, inputs_, tokenizer_, end_);
    const fs::path manifest = folder_ / "manifest.json";
    // A process that was killed after writing the manifest leaves its lock file. lock_ below then removes the lock
    // file.
    if (fs::exists(manifest) && !fs::exists(folder_ / "lock") && added_to(manifest).empty())
      return finished_before(manifest);
    if (rule_.kind == ValidationRule::last && !fs::exists(manifest)) find_cut();
    make_directories(folder_);
    lock_.emplace(folder_, "tokenizes into it", [](const std::string& text) { tell("rowan: {}\n", text); });
    restore_finished(folder_, settings_);
    // Another process may have written the manifest while this one waited for the lock.
    if (fs::exists(manifest) && !grow(manifest)) return finished_before(manifest);
    if (!train_) prepare();
    work();
    finish();
    return result_;
  }

 private:
  const TokenizeOptions& options_;
  const Tokenizer& tokenizer_;
  const std::function<void(const TokenizeProgress&)>& report_;
  ValidationRule rule_;
  shard::EndPlace end_;
  fs::path folder_;
  std::optional<FolderLock> lock_;
  std::vector<std::string> inputs_;
  Json settings_;

  std::vector<size_t> pending_;  // indices into inputs_ that this job reads; the other inputs are in finished shards
  std::mutex reading_;
  std::optional<RawReader> reader_;
  uint64_t next_ticket_ = 0;

  std::mutex writing_;
  std::condition_variable turn_;
  uint64_t written_ = 0;
  std::exception_ptr failure_;

  TokenizeResult result_;
  std::vector<SourceCounts> sources_;
  size_t next_source_ = 0;  // index into pending_
  uint64_t next_record_ = 0;
  Hash64 records_before_;     // hash of the bytes of the records before next_record_ in the source
  uint64_t known_bytes_ = 0;  // bytes of the inputs that are not in pending_
  std::unique_ptr<ShardWriter> train_, validation_;
  uint64_t cut_ = UINT64_MAX;  // offset in the text of options_.inputs: documents that begin here or later are held out
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();

  void find_cut() {
    const std::vector<uint64_t> sizes = text_sizes(options_.inputs);
    const uint64_t total = std::accumulate(sizes.begin(), sizes.end(), uint64_t{0});
    cut_ = total - static_cast<uint64_t>(std::llround(static_cast<double>(total) * rule_.fraction));
    reader_->cut_at(cut_, sizes);
  }

  // Opens the inputs that pending_ lists.
  void open_inputs() {
    if (pending_.size() < inputs_.size()) {
      std::vector<std::string> paths;
      for (const SourceCounts& source : sources_) known_bytes_ += source.bytes;
      for (size_t i : pending_) {
        paths.push_back(inputs_[i]);
        known_bytes_ -= sources_[i].bytes;
      }
      reader_.emplace(paths, options_.format, options_.split);
      cut_ = UINT64_MAX;  // last:PERCENT% does not apply to text added to finished shards
    }
    records_before_ = reader_->seek(next_source_, next_record_);
    result_.total.input_bytes = known_bytes_ + reader_->total_bytes();
  }

  void open_shards(const ShardsState& train, const ShardsState& validation) {
    ShardLabel label{tokenizer_.vocab_size(), tokenizer_.end_id(), end_, tokenizer_.hash()};
    train_ = std::make_unique<ShardWriter>(folder_, train_shards, label, options_.shard_tokens, train);
    validation_ = std::make_unique<ShardWriter>(folder_, validation_shards, label, options_.shard_tokens, validation);
    result_.total.tokens = train_->tokens() + validation_->tokens();
    // The first progress.json marks the folder as a folder of shards.
    save();
    report_(result_.total);
  }

  // Indices of the inputs that the finished shards lack.
  std::vector<size_t> added_to(const fs::path& path) {
    std::vector<size_t> added;
    read_note(path, [&](const Json& manifest) { added = added_inputs(manifest.at("settings"), settings_); });
    return added;
  }

  // Starts further shards for new inputs. Returns false if there are no new inputs.
  bool grow(const fs::path& path) {
    const std::vector<size_t> added = added_to(path);
    if (added.empty()) return false;
    read_note(path, [&](const Json& manifest) {
      check_settings(path, without_inputs(manifest.at("settings")), without_inputs(settings_));
      check_sources(path, manifest);
      check_shards(folder_, manifest);
      pending_ = added;
      load_counts(path, manifest, inputs_, result_, sources_);
      open_inputs();
      open_shards(shards_from_json({{"shards", manifest.at("train")}}),
                  shards_from_json({{"shards", manifest.at("validation")}}));
    });
    rename_durably(path, folder_ / manifest_before_growth);
    return true;
  }

  TokenizeResult finished_before(const fs::path& path) {
    read_note(path, [&](const Json& manifest) {
      check_settings(path, manifest.at("settings"), settings_);
      check_sources(path, manifest);
      check_shards(folder_, manifest);
      result_.total = {0, manifest.at("text_bytes"), manifest.at("documents"), manifest.at("tokens")};
      for (const Json& shard : manifest.at("validation"))
        result_.validation_tokens += shard.at("tokens").get<uint64_t>();
    });
    if (fs::exists(path)) remove_notes_of_work(folder_);
    result_.already_done = true;
    return result_;
  }

  void prepare() {
    const fs::path path = folder_ / "progress.json";
    ShardsState train, validation;
    std::optional<std::string> hash;  // of the records before next_record_; older versions noted none
    const bool begun = fs::exists(path);
    if (begun) {
      read_note(path, [&](const Json& note) {
        train = shards_from_json(note.at("train"));
        validation = shards_from_json(note.at("validation"));
        // If no token has been recorded and no shard finished, the job starts over and may have other settings.
        if (train.empty() && validation.empty() && !first_shard(folder_)) return;
        check_settings(path, note.at("settings"), settings_);
        check_sources(path, note);
        if (note.contains("pending")) pending_ = note.at("pending").get<std::vector<size_t>>();
        const Json& next = note.at("next");
        next_source_ = next.at("source");
        next_record_ = next.at("record");
        if (next.contains("hash64")) hash = next.at("hash64").get<std::string>();
        for (size_t i : pending_)
          if (i >= inputs_.size()) fail("{}: found input {}, expected less than {}", path.string(), i, inputs_.size());
        if (next_source_ > pending_.size() || (next_record_ > 0 && next_source_ == pending_.size()))
          fail("{}: found record {} of source {}, expected at most the end of {} sources", path.string(), next_record_,
               next_source_, pending_.size());
        load_counts(path, note, inputs_, result_, sources_);
      });
    } else if (const auto shard = first_shard(folder_)) {
      fail("{}: found a shard without manifest.json or progress.json beside it; choose an empty folder",
           shard->string());
    }
    open_inputs();
    if (next_record_ > 0 && hash && *hash != hex(records_before_.value()))
      fail(
          "{}: its first {} records have changed since {} was written; remove {} and the shards beside it to start "
          "afresh",
          name_of_input(inputs_[pending_[next_source_]]), next_record_, path.string(), path.filename().string());
    if (begun) {
      // An interrupted job may have written files after progress.json. This job may end before it reaches their
      // numbers, and the run's glob would then read them.
      for (const auto& [pattern, state] : {std::pair(train_shards, &train), std::pair(validation_shards, &validation)})
        remove_shards_from(folder_, pattern, state->shards.size() + (state->part_tokens > 0));
    }
    open_shards(train, validation);
  }

  void save() {
    Json note = {
        {"settings", settings_},
        {"pending", pending_},
        {"next", {{"source", next_source_}, {"record", next_record_}, {"hash64", hex(records_before_.value())}}}};
    note["train"] = to_json(train_->sync());
    note["validation"] = to_json(validation_->sync());
    note.update(counts_json(result_, inputs_, sources_));
    write_file_atomically(folder_ / "progress.json", note.dump(1) + "\n");
    saved_ = std::chrono::steady_clock::now();
  }

  void work() {
    std::vector<std::thread> workers;
    try {
      for (int i = 0; i < options_.threads; ++i) workers.emplace_back([this] { worker(); });
    } catch (const std::system_error&) {  // go on with the threads that have started
      if (workers.empty()) throw;
    }
    for (std::thread& thread : workers) thread.join();
    if (failure_) std::rethrow_exception(failure_);
  }

  void worker() {
    try {
      RawBatch raw;
      while (true) {
        uint64_t ticket;
        {
          std::lock_guard lock(reading_);
          if (!reader_->next(raw)) return;
          raw.source = pending_[raw.source];
          check_size(raw);
          ticket = next_ticket_++;
        }
        TokenizedBatch batch = tokenize_batch(raw, options_.field, options_.split, tokenizer_, end_);
        std::unique_lock lock(writing_);
        turn_.wait(lock, [&] { return written_ == ticket || failure_; });
        if (failure_) return;
        take(raw, batch);
        ++written_;
        turn_.notify_all();
      }
    } catch (...) {
      std::lock_guard lock(writing_);
      if (!failure_) failure_ = std::current_exception();
      turn_.notify_all();
    }
  }

  // At the end of an input, compares its size with settings_: another process may still write it, or have cut it.
  void check_size(const RawBatch& raw) const {
    const std::string& path = inputs_[raw.source];
    if (!raw.last_of_source || path == "-") return;
    const auto size = settings_.at("inputs").at(raw.source).at("bytes").get<uint64_t>();
    std::error_code removed;
    const uint64_t now = fs::file_size(path, removed);
    for (const uint64_t found : {raw.source_bytes, removed ? size : now})
      if (found != size)
        fail("{}: found {} bytes, expected {} as at the start; the file has changed while it was read", path, found,
             size);
  }

  // Writes one batch. Called in the order of the input, with `writing_` locked.
  void take(const RawBatch& raw, const TokenizedBatch& batch) {
    lock_->check();
    for (const SkippedRecord& skipped : batch.skipped) skip(raw, skipped);
    SourceCounts& source = sources_[raw.source];
    std::span<const int32_t> ids = batch.ids;
    for (const TokenizedDocument& document : batch.documents) {
      write(ids.first(document.tokens), document, raw.source >= options_.inputs.size());
      ids = ids.subspan(document.tokens);
      ++result_.total.documents;
    }
    source.documents += batch.documents.size();
    source.tokens += batch.ids.size();
    result_.total.text_bytes += batch.text_bytes;
    result_.total.input_bytes = known_bytes_ + raw.total_bytes;
    result_.total.tokens = train_->tokens() + validation_->tokens();
    next_record_ = raw.first_record + raw.ends.size();
    records_before_.add(raw.bytes);
    if (raw.last_of_source) {
      source.bytes = raw.source_bytes;
      source.hash = raw.source_hash;
      ++next_source_;
      next_record_ = 0;
      records_before_ = {};
    }
    report_(result_.total);
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - saved_).count() >= options_.save_seconds)
      save();
  }

  void skip(const RawBatch& raw, const SkippedRecord& skipped) {
    std::string where =
        fmt::format("{}, {} {}", inputs_[raw.source], raw.json ? "line" : "document", skipped.record + 1);
    if (!skipped.detail.empty()) where += ": " + skipped.detail;
    // A blank line is not a document, so --strict allows it.
    if (options_.strict && skipped.reason != "blank line") fail("{} ({})", where, skipped.reason);
    Skipped& all = result_.skipped[skipped.reason];
    if (all.count++ == 0) all.first = where;
  }

  void write(std::span<const int32_t> ids, const TokenizedDocument& document, bool held_out) {
    uint64_t index = result_.total.documents;
    switch (rule_.kind) {
      case ValidationRule::none:
        break;
      case ValidationRule::every:
        held_out |= index % rule_.count == 0;
        break;
      case ValidationRule::documents:
        held_out |= index < rule_.count;
        break;
      case ValidationRule::last:
        held_out |= document.begin >= cut_;
        break;
      case ValidationRule::hash:
        held_out |= static_cast<double>(document.hash) < rule_.fraction * 0x1p64;
        break;
      case ValidationRule::tokens: {
        // If the limit falls inside a document, the document's remaining tokens go to the training data, without a
        // document start.
        if (held_out) break;
        uint64_t room = rule_.count - std::min(rule_.count, validation_->tokens());
        size_t first = static_cast<size_t>(std::min<uint64_t>(room, ids.size()));
        validation_->append(ids.first(first), true);
        train_->append(ids.subspan(first), first == 0);
        return;
      }
    }
    (held_out ? validation_ : train_)->append(ids, true);
  }

  void finish() {
    lock_->check();
    if (result_.total.documents == 0) {
      fs::remove(folder_ / "progress.json");
      fail("found no document in the input{}", text_of(result_.skipped));
    }
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (sources_[i].bytes > 0 && sources_[i].documents == 0)
        result_.without_documents.push_back(name_of_input(inputs_[i]));
    Json manifest = {{"format", manifest_format},
                     {"tokenizer",
                      {{"spec", tokenizer_.spec()},
                       {"hash", hex(tokenizer_.hash())},
                       {"vocab_size", tokenizer_.vocab_size()},
                       {"end_id", tokenizer_.end_id()}}},
                     {"settings", settings_}};
    manifest.update(counts_json(result_, inputs_, sources_));
    manifest["train"] = to_json(train_->finish())["shards"];
    manifest["validation"] = to_json(validation_->finish())["shards"];
    result_.validation_tokens = validation_->tokens();
    for (const char* split : {"train", "validation"}) check_sizes(folder_, manifest[split], tokenizer_.vocab_size());
    write_file_atomically(folder_ / "manifest.json", manifest.dump(1) + "\n");
    remove_notes_of_work(folder_);
  }
};

}  // namespace

std::string text_of(const AllSkipped& skipped) {
  std::string text;
  for (const auto& [reason, records] : skipped)
    text += fmt::format("; {} skipped: {} (first {})", records.count, reason, records.first);
  return text;
}

std::vector<std::string> left_out(const TokenizeResult& result) {
  std::vector<std::string> lines;
  if (const std::vector<std::string>& inputs = result.without_documents; !inputs.empty())
    lines.push_back(fmt::format("warning: {}{}: found no document", inputs[0],
                                inputs.size() == 1 ? "" : fmt::format(", with {} more", inputs.size() - 1)));
  for (const auto& [reason, records] : result.skipped)
    lines.push_back(fmt::format("skipped {}: {} (first: {})", records.count, reason, records.first));
  return lines;
}

TokenizeResult tokenize(const TokenizeOptions& options, const Tokenizer& tokenizer,
                        const std::function<void(const TokenizeProgress&)>& progress) {
  return Job(options, tokenizer, progress).run();
}

}  // namespace rowan
