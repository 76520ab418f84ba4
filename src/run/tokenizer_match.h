// Checks that token ids have the same meaning everywhere: in the shards a run was trained on, in the shards it reads
// now, and in the tokenizer that its config names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rowan {

// The hash of the tokenizer that made a checkpoint's training data; 0 if the checkpoint does not record it or `folder`
// is not a checkpoint. Throws Error if the record is malformed.
uint64_t tokenizer_of_checkpoint(const std::filesystem::path& folder);

// Throws Error if both hashes are known (not 0) and differ. The names say in the message what the hashes belong to.
void check_same_tokenizer(uint64_t found, const std::string& found_name, uint64_t expected,
                          const std::string& expected_name);

}  // namespace rowan
