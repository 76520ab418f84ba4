#include "data/overlap.h"

#include <map>

#include "base/file_identity.h"

namespace rowan {

std::vector<std::string> shared_shards(const std::vector<Dataset>& train, const Dataset* validation) {
  std::vector<std::pair<std::string, const Dataset*>> sets;
  for (size_t i = 0; i < train.size(); ++i)
    sets.emplace_back(train.size() == 1 ? "data.train" : fmt::format("data.mixture.{}", i), &train[i]);
  if (validation != nullptr) sets.emplace_back("data.validation", validation);

  std::map<FileIdentity, size_t> first_set;
  // For each pair of sets: the name of the first shard that both contain, and the number of such shards.
  std::map<std::pair<size_t, size_t>, std::pair<std::string, int64_t>> shared;
  for (size_t set = 0; set < sets.size(); ++set)
    for (const Shard& shard : sets[set].second->shards()) {
      const auto [there, fresh] = first_set.emplace(file_identity(shard.path()), set);
      if (fresh) continue;
      auto& [name, count] = shared[{there->second, set}];
      if (count++ == 0) name = shard.path().string();
    }
  std::vector<std::string> lines;
  for (const auto& [pair, what] : shared) {
    const auto& [name, count] = what;
    lines.push_back(fmt::format("{} is in {} and in {}{}", name, sets[pair.first].first, sets[pair.second].first,
                                count == 1   ? ""
                                : count == 2 ? ", as is 1 more shard"
                                             : fmt::format(", as are {} more shards", count - 1)));
  }
  return lines;
}

}  // namespace rowan
