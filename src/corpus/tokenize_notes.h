// The records of `rowan tokenize` in the folder of its shards: progress.json while it works, manifest.json when it is
// done.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "corpus/tokenize_job.h"
#include "data/shard_writer.h"

namespace rowan {

// Hashes as hexadecimal text, because JSON numbers would round them.
std::string hex(uint64_t value);
uint64_t from_hex(const std::string& text);

Json to_json(const ShardsState& state);
ShardsState shards_from_json(const Json& json);

// The settings on which the shards depend. Throws Error for a name that JSON cannot represent.
Json describe_settings(const TokenizeOptions& options, const std::vector<std::string>& inputs,
                       const Tokenizer& tokenizer, shard::EndPlace end);

// The inputs of `now` that `before` lacks, if all others are those of `before`, in the same order and on the same side
// of the validation split; else nothing.
std::vector<size_t> added_inputs(const Json& before, const Json& now);

// The --validation rule of a folder's shards, finished or not; nothing if there are none.
std::optional<std::string> noted_validation(const std::filesystem::path& folder);

// Throws Error naming the first setting that has changed since `path` was written.
void check_settings(const std::filesystem::path& path, const Json& before, const Json& now);

// Calls use(content). Missing keys and wrong types that it meets are reported as damage to the file.
void read_note(const std::filesystem::path& path, const std::function<void(const Json&)>& use);

// Compares a shard with its manifest entry: token count, checksum, document index. Throws Error.
void check_shard(const std::filesystem::path& folder, const Json& entry);

// A shard in the folder, if there is any.
std::optional<std::filesystem::path> first_shard(const std::filesystem::path& folder);

}  // namespace rowan
