// Generates text from a model, one token at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace rowan {

struct Sampling {
  double temperature = 1;  // 0: always the most likely token
  int64_t top_k = 0;       // draw among the k most likely tokens; 0: among all
  uint64_t seed = 0;
};

// Draws a token with probability softmax(logits / temperature), or takes the likeliest one if the temperature is 0. If
// several tokens are equally likely, temperature 0 and top_k prefer the lower id. The result depends only on the
// arguments. `position` is the number of tokens drawn before.
// A logit of -infinity is a probability of 0. Throws Error if a logit is NaN or infinity, or if none is finite.
int32_t sample_token(std::span<const float> logits, const Sampling& sampling, uint64_t position);

// Returns the logits of the token after `tokens`.
using NextLogits = std::function<std::vector<float>(std::span<const int32_t> tokens)>;

// Appends up to `count` tokens to `tokens`, which must not be empty. Stops without appending when it draws `end_id`.
// Calls `on_token` after each token that it appends.
void generate(std::vector<int32_t>& tokens, int64_t count, int32_t end_id, const Sampling& sampling,
              const NextLogits& next_logits, const std::function<void()>& on_token);

// The size in bytes of a decoded text without the U+FFFD characters at its end. Until the last byte of a character has
// been generated, the character is decoded as U+FFFD, possibly once per byte.
size_t complete_size(std::string_view text);

}  // namespace rowan
