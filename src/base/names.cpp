#include "base/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace rowan {
namespace {

// The optimal string alignment distance: the least number of edits (insert, delete, replace, swap of neighbors) that
// turn `a` into `b`, if no part is edited twice.
size_t edit_distance(std::string_view a, std::string_view b) {
  // Row i has the distances of the first i letters of `a` to the beginnings of `b`.
  std::vector<size_t> row(b.size() + 1), last(row), before_last(row);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if ('A' <= c && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

}  // namespace

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  // A longer text is no misspelled name, and the time for a distance grows with the product of both lengths.
  constexpr size_t longest_name = 200;
  if (name.size() > longest_name) return "";
  const std::string lower = in_lower_case(name);
  std::string best;
  size_t best_distance = std::max<size_t>(name.size() / 2, 1) + 1;
  for (const std::string& candidate : candidates) {
    const size_t longer = std::max(name.size(), candidate.size()), shorter = std::min(name.size(), candidate.size());
    if (longer - shorter >= best_distance) continue;  // the distance is at least the difference in length
    size_t distance = edit_distance(lower, in_lower_case(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best = nearest(name, candidates);
  // If no candidate is near, or if the nearest one begins with another letter than the name, a candidate that extends
  // or abbreviates the name is a better guess: "warmup_steps" for "warmup".
  for (const std::string& candidate : candidates)
    if (std::min(name.size(), candidate.size()) > 1 && (best.empty() || best.front() != name.front()) &&
        (candidate.starts_with(name) || name.starts_with(candidate)))
      best = candidate;
  return best.empty() ? "" : fmt::format("; did you mean '{}'?", best);
}

std::string_view current_spelling(std::string_view name) {
  // transformers has several names for one activation (ACT2FN in its activations.py), and published configs use them.
  static constexpr std::pair<std::string_view, std::string_view> others[] = {{"f32", "fp32"},
                                                                             {"swish", "silu"},
                                                                             {"gelu_pytorch_tanh", "gelu_new"},
                                                                             {"gelu_fast", "gelu_new"},
                                                                             {"gelu_accurate", "gelu_new"},
                                                                             {"gelu_python", "gelu"}};
  for (const auto& [other, current] : others)
    if (name == other) return current;
  return name;
}

std::string join(const std::vector<std::string>& names) { return fmt::format("{}", fmt::join(names, ", ")); }

}  // namespace rowan
