#include "data/overlap.h"

#include <map>

#include "base/file_identity.h"

namespace rowan {
namespace {

struct ShardPlace {
  size_t set;
  const Shard* shard;
};

// The first shard of one set that is in another set, or has a copy there, and the number of such shards.
struct SharedPair {
  const Shard *first, *again;
  int64_t count = 0;
};
using SharedPairs = std::map<std::pair<size_t, size_t>, SharedPair>;

// What copies of a shard have in common. Equal keys of shards without a checksum are only probable copies.
std::pair<uint64_t, int64_t> content_key(const Shard& shard) {
  return {shard.checksum() ? *shard.checksum() : shard.head_hash(), shard.tokens()};
}

void count_pair(SharedPairs& pairs, const ShardPlace& first, const ShardPlace& again) {
  ++pairs.try_emplace({first.set, again.set}, SharedPair{first.shard, again.shard}).first->second.count;
}

}  // namespace

std::vector<std::string> shared_shards(const std::vector<Dataset>& train, const Dataset* validation) {
  std::vector<std::pair<std::string, const Dataset*>> sets;
  for (size_t i = 0; i < train.size(); ++i)
    sets.emplace_back(train.size() == 1 ? "data.train" : fmt::format("data.mixture.{}", i), &train[i]);
  if (validation != nullptr) sets.emplace_back("data.validation", validation);

  std::map<FileIdentity, ShardPlace> files;
  std::map<std::pair<uint64_t, int64_t>, ShardPlace> contents;  // by content_key()
  SharedPairs shared, copied;
  for (size_t set = 0; set < sets.size(); ++set)
    for (const Shard& shard : sets[set].second->shards()) {
      const ShardPlace here{set, &shard};
      const auto [file, fresh] = files.emplace(file_identity(shard.path()), here);
      if (!fresh) {
        count_pair(shared, file->second, here);
      } else if (shard.tokens() > 0) {
        const auto [content, unique] = contents.emplace(content_key(shard), here);
        if (!unique && (shard.checksum() || shard.token_bytes() == content->second.shard->token_bytes()))
          count_pair(copied, content->second, here);
      }
    }
  std::vector<std::string> lines;
  for (const auto& [pair, found] : shared)
    lines.push_back(fmt::format("{} is in {} and in {}{}", found.again->path().string(), sets[pair.first].first,
                                sets[pair.second].first,
                                found.count == 1   ? ""
                                : found.count == 2 ? ", as is 1 more shard"
                                                   : fmt::format(", as are {} more shards", found.count - 1)));
  for (const auto& [pair, found] : copied)
    lines.push_back(fmt::format("{} in {} has the same tokens as {} in {}{}", found.again->path().string(),
                                sets[pair.second].first, found.first->path().string(), sets[pair.first].first,
                                found.count == 1 ? "" : fmt::format("; in all there are {} such copies", found.count)));
  return lines;
}

}  // namespace rowan
