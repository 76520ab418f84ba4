// The records that `rowan tokenize` keeps in the folder of its shards (progress.json during the job, manifest.json
// after it), and the checks of settings and shards against them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "corpus/tokenize_job.h"
#include "data/shard_writer.h"

namespace rowan {

// The names of the shards of each part of the text; * is the number.
inline constexpr char train_shards[] = "train-*.bin", validation_shards[] = "validation-*.bin";

// The manifest of finished shards while a job adds shards for further inputs. Only a folder without manifest.json needs
// it.
inline constexpr char manifest_before_growth[] = "manifest.before.json";

// The manifest's value of `format`.
inline constexpr char manifest_format[] = "rowan-shards-1";

// Hashes are stored as hexadecimal text, because some JSON readers round 64-bit integers.
std::string hex(uint64_t value);
uint64_t from_hex(const std::string& text);

Json to_json(const ShardsState& state);
ShardsState shards_from_json(const Json& json);

// What was read from one input.
struct SourceCounts {
  uint64_t bytes = 0, hash = 0;  // of the file itself, compressed or not; 0 if it was not read to its end
  uint64_t documents = 0, tokens = 0;
};

// The counts of a job, as progress.json and manifest.json hold them. load_counts() reads them from the file `path`,
// which may list fewer inputs than this job. Throws Error for one that this job lacks.
Json counts_json(const TokenizeResult& result, const std::vector<std::string>& inputs,
                 const std::vector<SourceCounts>& sources);
void load_counts(const std::filesystem::path& path, const Json& note, const std::vector<std::string>& inputs,
                 TokenizeResult& result, std::vector<SourceCounts>& sources);

// The settings on which the shards depend. Throws Error for a field, a file name or a tokenizer's path that is not
// UTF-8, which the notes cannot represent.
Json describe_settings(const TokenizeOptions& options, const std::vector<std::string>& inputs,
                       const Tokenizer& tokenizer, shard::EndPlace end);

// The indices of the inputs of `now` that `before` lacks. Empty if an input of `before` is missing in `now` or has
// another size there, if the order differs, or if an input has moved between training and validation data.
std::vector<size_t> added_inputs(const Json& before, const Json& now);

// The settings that must stay the same when inputs are added.
Json without_inputs(Json settings);

// The --validation rule of a folder's shards, finished or not; nullopt if the folder records none.
std::optional<std::string> noted_validation(const std::filesystem::path& folder);

// Throws Error if an input or another setting has changed since `path` was written.
void check_settings(const std::filesystem::path& path, const Json& before, const Json& now);

// Throws Error if an input that was read to its end before `path` was written has another checksum now. Files only.
void check_sources(const std::filesystem::path& path, const Json& note);

// Parses the file, with any number of values, because it lists every input, and calls use(content). Throws Error naming
// the file as damaged, and the key, if it is not JSON, or if a value that a job reads is missing or of another kind.
void read_note(const std::filesystem::path& path, const std::function<void(const Json&)>& use);

// Checks each shard against its manifest entry: token count, checksum, document index. Throws Error if they differ, or
// if the folder holds a further shard with a name of `rowan tokenize`, because training would read it.
void check_shards(const std::filesystem::path& folder, const Json& manifest);

// Checks that every shard of a list, and its document index, still exists with its size. Throws Error if not.
void check_sizes(const std::filesystem::path& folder, const Json& shards, int32_t vocab_size);

// Removes the shards of a pattern whose number is at least `first`, with their indices and .part files.
void remove_shards_from(const std::filesystem::path& folder, const std::string& pattern, uint64_t first);

// Removes the notes that only an unfinished job needs.
void remove_notes_of_work(const std::filesystem::path& folder);

// If a job that added inputs to finished shards was interrupted, and a job with `settings` cannot continue it but can
// begin from the finished shards (they have these inputs, or fewer), removes the shards added since and makes
// manifest.before.json the manifest again. For example, an added input was damaged, and is left out now. Throws Error
// if neither is possible and no progress.json says what differs.
void restore_finished(const std::filesystem::path& folder, const Json& settings);

// The path of a .bin file in the folder, if there is one.
std::optional<std::filesystem::path> first_shard(const std::filesystem::path& folder);

}  // namespace rowan
