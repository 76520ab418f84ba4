#include "evaluate/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace rowan {

int32_t sample_token(std::span<const float> logits, const Sampling& sampling, uint64_t position) {
  bool possible = false;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id]) || logits[id] == INFINITY)
      fail("generate: token {}: found {} as its logit, expected a number", id,
           std::isnan(logits[id]) ? "NaN" : "infinity");
    possible = possible || std::isfinite(logits[id]);
  }
  if (!possible) fail("generate: found no token with a finite logit");
  auto likelier = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  if (sampling.temperature == 0) return *std::min_element(ids.begin(), ids.end(), likelier);
  if (sampling.top_k > 0 && sampling.top_k < static_cast<int64_t>(ids.size())) {
    std::nth_element(ids.begin(), ids.begin() + sampling.top_k, ids.end(), likelier);
    ids.resize(static_cast<size_t>(sampling.top_k));
    std::sort(ids.begin(), ids.end());
  }
  double most = -INFINITY;
  for (int32_t id : ids) most = std::max<double>(most, logits[id]);
  std::vector<double> until(ids.size());
  double sum = 0;
  for (size_t i = 0; i < ids.size(); ++i) until[i] = sum += std::exp((logits[ids[i]] - most) / sampling.temperature);
  const double drawn = Random(sampling.seed, position).uniform() * sum;
  size_t i = static_cast<size_t>(std::upper_bound(until.begin(), until.end(), drawn) - until.begin());
  return ids[std::min(i, ids.size() - 1)];
}

void generate(std::vector<int32_t>& tokens, int64_t count, int32_t end_id, const Sampling& sampling,
              const NextLogits& next_logits, const std::function<void()>& on_token) {
  for (int64_t i = 0; i < count; ++i) {
    int32_t token = sample_token(next_logits(tokens), sampling, static_cast<uint64_t>(i));
    if (token == end_id) return;
    tokens.push_back(token);
    on_token();
  }
}

size_t complete_size(std::string_view text) {
  constexpr std::string_view unknown = "\xEF\xBF\xBD";
  while (text.ends_with(unknown)) text.remove_suffix(unknown.size());
  return text.size();
}

}  // namespace rowan
