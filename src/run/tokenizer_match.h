// Checks that token ids have the same meaning everywhere: in the shards a run was trained on, in those it is given now,
// and in the tokenizer that its config names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rowan {

// The hash of the tokenizer that made a checkpoint's training data; 0 when the checkpoint does not hold it or `folder`
// is not a checkpoint.
uint64_t tokenizer_of_checkpoint(const std::filesystem::path& folder);

// Throws Error when both hashes are known and are not the same: "FOUND was made with another tokenizer than EXPECTED".
void check_same_tokenizer(uint64_t found, const std::string& found_name, uint64_t expected,
                          const std::string& expected_name);

}  // namespace rowan
