// Whether tokens mean the same to everybody: the shards a run was trained on, those it is given now, and the tokenizer
// that is named beside them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rowan {

// The hash of the tokenizer that made a checkpoint's training data; 0 where the checkpoint does not say it, or `folder`
// is none.
uint64_t tokenizer_of_checkpoint(const std::filesystem::path& folder);

// Throws Error when both hashes are known and are not the same: "FOUND was made with another tokenizer than EXPECTED".
void check_same_tokenizer(uint64_t found, const std::string& found_name, uint64_t expected,
                          const std::string& expected_name);

}  // namespace rowan
