// The entropy floor of text whose entropy is known: the lowest validation loss that a model can have without
// memorizing the validation text.
//
// `rowan tales` writes entropy.json beside its shards:
//   {"entropy": nats per token of the source, in the limit of infinite text,
//    "shards": {"validation.bin": {"stories": n, "tokens": n, "nats_per_token": -log p of this shard / tokens}}}
// The tokens are the bytes of the stories, and an end token before each story. A loss over packed windows can be
// compared with the floor directly. A model that sees only a window has a slightly higher loss, because the text before
// the window is missing.
#pragma once

#include <filesystem>
#include <optional>

namespace rowan {

struct EntropyFloor {
  double source;  // nats per token of the source: the floor in expectation
  double sample;  // -log p of this shard in nats per token: the floor of this shard
};

// Reads the floor of a shard from entropy.json in the shard's folder. Returns nothing if there is no such file or it
// does not name the shard.
std::optional<EntropyFloor> entropy_floor(const std::filesystem::path& shard);

}  // namespace rowan
