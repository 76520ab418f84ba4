// Forward declarations of Json, JsonSource and JsonObject. A header that only passes references to them need not
// include the parser.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace rowan {

template <class Key, class T, class Less, class Allocator>
class IndexedMap;
using Json = nlohmann::basic_json<IndexedMap>;

struct JsonSource;
class JsonObject;

}  // namespace rowan
