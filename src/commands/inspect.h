// The parts of `rowan inspect`. Each function inspect_... prints what it finds to stdout. It counts problems in the
// Report, or throws Error if it cannot continue.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "data/shard.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

class Report {
 public:
  template <typename... Args>
  void line(const char* name, fmt::format_string<Args...> format, Args&&... args) {
    fmt::print("{:<12} {}\n", name, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void wrong(fmt::format_string<Args...> format, Args&&... args) {
    line("WRONG", format, std::forward<Args>(args)...);
    ++problems_;
  }
  int problems() const { return problems_; }

 private:
  int problems_ = 0;
};

// Formats bytes as one line, with control characters escaped. After `limit` bytes the rest is replaced by " ...".
std::string shown(std::string_view text, size_t limit = 400);

struct InspectOptions {
  ShardOptions shards;
  const Tokenizer* tokenizer = nullptr;
  int64_t head = 32;  // number of tokens to show
  std::string step;   // which checkpoint of a run to inspect; "": list the checkpoints
};

// Inspects a token shard, and also its document index and its checksum if the shard has them. Reads every token and
// every index entry.
void inspect_shard(const std::filesystem::path& path, const InspectOptions& options, Report& report);
// Lists the files named *.bin or *.ds in a folder, as token shards. Returns false if there is none.
bool inspect_shards(const std::filesystem::path& folder, const InspectOptions& options, Report& report);
// Inspects an evaluation set: llm.c's binary form or HellaSwag's .jsonl.
void inspect_hellaswag(const std::filesystem::path& path, const InspectOptions& options, Report& report);
// Inspects the tokenizer that make_tokenizer(spec) opens.
void inspect_tokenizer(const std::string& spec, Report& report);
void inspect_safetensors(const std::filesystem::path& path, Report& report);
// Inspects a Rowan checkpoint and compares every file with its checksum.
void inspect_checkpoint(const std::filesystem::path& folder, Report& report);

}  // namespace rowan
