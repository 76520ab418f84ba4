// The entropy floor of text whose entropy is known: the lowest validation loss that a model can have without
// memorizing the validation text.
//
// `rowan tales` writes entropy.json beside its shards:
//   {"entropy": nats per token of the source, in the limit of infinite text,
//    "shards": {"validation.bin": {"stories": n, "tokens": n, "nats_per_token": -log p of this shard / tokens}}}
// Tokens are bytes and end tokens, one before each story, so a loss over packed windows can be compared directly. A
// model that sees only a window has a slightly higher loss, because it lacks the text before the window.
#pragma once

#include <filesystem>
#include <optional>

namespace rowan {

struct EntropyFloor {
  double source;  // nats per token of the source: the floor in expectation
  double sample;  // -log p of this shard under the source, in nats per token: the floor of this shard
};

// Reads the floor of a shard from entropy.json in its folder; nothing if there is no such file or it does not name the
// shard.
std::optional<EntropyFloor> entropy_floor(const std::filesystem::path& shard);

}  // namespace rowan
