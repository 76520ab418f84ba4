// Checks that token ids have the same meaning in the shards that a run was trained on, in the shards that it reads, and
// in the tokenizer of its config.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rowan {

// The hash of the tokenizer with which a checkpoint's training data was made. 0 if the checkpoint does not record it or
// `folder` is not a checkpoint. Throws Error if the record is malformed.
uint64_t tokenizer_of_checkpoint(const std::filesystem::path& folder);

// Throws Error if both hashes are known (not 0) and differ. The message says by the two names where the hashes are
// from.
void check_same_tokenizer(uint64_t found, const std::string& found_name, uint64_t expected,
                          const std::string& expected_name);

}  // namespace rowan
