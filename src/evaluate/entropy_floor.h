// The entropy floor of text whose distribution is known: the validation loss of the true distribution.
//
// `rowan tales` writes entropy.json beside its shards:
//   {"entropy": nats per token of the source, in the limit of infinite text,
//    "shards": {"validation.bin": {"stories": S, "tokens": T, "nats_per_token": -log p of this shard / T}, ...}, ...}
// The tokens are the bytes of the stories, and an end token before each story. A validation loss over packed windows
// can be compared with the floor, although the model does not see the text before a window.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace rowan {

class ValidationSet;

struct EntropyFloor {
  double source;  // nats per token of the source: the floor in expectation
  double sample;  // -log p of this shard in nats per token: the floor of this shard
};

// Reads the floor of a shard from entropy.json in the shard's folder. Returns nothing if there is no such file, or if
// the file does not name the shard. Throws Error if the file is malformed.
std::optional<EntropyFloor> entropy_floor(const std::filesystem::path& shard);

// The floor of the loss over `set`. Returns nothing if the floor does not bound that loss. It does if the set is one
// shard, read as packed rows, and every token but the first is a target that counts. If entropy.json is malformed,
// calls `warn` with a line and returns nothing.
std::optional<EntropyFloor> floor_of(const ValidationSet& set, const std::function<void(const std::string&)>& warn);

}  // namespace rowan
