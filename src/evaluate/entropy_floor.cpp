#include "evaluate/entropy_floor.h"

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "evaluate/validation.h"

namespace rowan {

std::optional<EntropyFloor> entropy_floor(const std::filesystem::path& shard) {
  std::filesystem::path path = shard.parent_path() / "entropy.json";
  if (!std::filesystem::exists(path)) return {};
  auto source = std::make_shared<JsonSource>(JsonSource{path.string(), read_file(path)});
  Json json = parse_json(*source);
  JsonObject root(source, json);
  JsonObject shards = root.object("shards", true);
  if (!shards.has(shard.filename().string())) return {};
  return EntropyFloor{root.number("entropy"), shards.object(shard.filename().string()).number("nats_per_token")};
}

std::optional<EntropyFloor> floor_of(const ValidationSet& set, const std::function<void(const std::string&)>& warn) {
  const Dataset& data = set.data();
  if (set.reading() != Reading::packed || data.shards().size() != 1 || set.targets() != data.tokens() - 1) return {};
  try {
    return entropy_floor(data.shards()[0].path());
  } catch (const Error& error) {
    warn(fmt::format("no entropy floor: {}", error.what()));
    return {};
  }
}

}  // namespace rowan
