#include "evaluate/entropy_floor.h"

#include "base/files.h"
#include "base/json.h"

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

}  // namespace rowan
