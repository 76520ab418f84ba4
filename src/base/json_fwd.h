// Forward declarations of Json and its readers: a header that only passes them on does not need the parser.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace rowan {

template <class Key, class T, class Less, class Allocator>
class IndexedMap;
using Json = nlohmann::basic_json<IndexedMap>;

struct JsonSource;
class JsonObject;

}  // namespace rowan
