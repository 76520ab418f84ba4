// What `rowan tokenize` notes in the folder of its shards: progress.json while it works, manifest.json when it is done.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "corpus/tokenize_job.h"
#include "data/shard_writer.h"

namespace rowan {

// Hashes in JSON, whose numbers would round them.
std::string hex(uint64_t value);
uint64_t from_hex(const std::string& text);

Json to_json(const ShardsState& state);
ShardsState shards_from_json(const Json& json);

// What the shards depend on. Throws Error for a name that JSON cannot hold.
Json describe_settings(const TokenizeOptions& options, const std::vector<std::string>& inputs,
                       const Tokenizer& tokenizer, shard::EndPlace end);

// Indices of the inputs of `now` that `before` has not, where the others are those of `before`, in their order and on
// the same side of validation; else nothing.
std::vector<size_t> added_inputs(const Json& before, const Json& now);

// The rule of --validation that a folder's shards were made with, or are being; nothing where there are none.
std::optional<std::string> noted_validation(const std::filesystem::path& folder);

// Throws Error naming the first setting that is not what it was when `path` was written.
void check_settings(const std::filesystem::path& path, const Json& before, const Json& now);

// Calls use(content); whatever is missing or of another type there is reported as damage to the file.
void read_note(const std::filesystem::path& path, const std::function<void(const Json&)>& use);

// Compares a shard with its entry in the manifest: count, checksum, document index. Throws Error.
void check_shard(const std::filesystem::path& folder, const Json& entry);

// Any shard in the folder.
std::optional<std::filesystem::path> first_shard(const std::filesystem::path& folder);

}  // namespace rowan
