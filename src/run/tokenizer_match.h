// Compares the tokenizers of checkpoints, shards and configs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rowan {

class Checkpoint;

// The hash of the tokenizer with which a checkpoint's training data was made. 0 if the checkpoint does not record it.
// Throws Error if the recorded hash is malformed.
uint64_t tokenizer_of_checkpoint(const Checkpoint& checkpoint);
// The same for a file of weights: that of a checkpoint, or of a model that `rowan export` made. 0 for other files.
uint64_t tokenizer_of_weights(const std::filesystem::path& file);

// Throws Error if both hashes are known (not 0) and differ. The message uses the two names to say where the hashes come
// from.
void check_same_tokenizer(uint64_t found, const std::string& found_name, uint64_t expected,
                          const std::string& expected_name);

}  // namespace rowan
