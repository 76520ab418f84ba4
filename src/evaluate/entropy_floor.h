// Of text whose entropy is known: the validation loss that no honest model can beat.
//
// `rowan tales` writes entropy.json beside its shards:
//   {"entropy": nats per token of the source, in the limit of endless text,
//    "shards": {"validation.bin": {"stories": n, "tokens": n, "nats_per_token": -log p of this very text / tokens}}}
// Tokens are bytes and end tokens, one before each story, so a loss over packed windows compares directly. A model that
// sees only a window pays a little more: it has to guess again what the window cut off.
#pragma once

#include <filesystem>
#include <optional>

namespace rowan {

struct EntropyFloor {
  double source;  // nats per token; the floor in expectation
  double sample;  // nats per token that the true distribution gives this very shard; the sharper floor
};

// Of the shard, from entropy.json in its folder; nothing when there is no such file or it does not name the shard.
std::optional<EntropyFloor> entropy_floor(const std::filesystem::path& shard);

}  // namespace rowan
