#include "base/json_path.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/json.h"

namespace rowan {

const Json* value_at(const Json& root, const std::string& path) {
  const Json* place = &root;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string key = path.substr(begin, end - begin);
    if (place->is_array()) {
      if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) return nullptr;
      const size_t index = std::stoul(key);
      if (index >= place->size()) return nullptr;
      place = &(*place)[index];
    } else {
      if (!place->is_object() || !place->contains(key)) return nullptr;
      place = &(*place)[key];
    }
    begin = end + 1;
  }
  return place;
}

std::string dotted_path(std::string pointer) {
  pointer.erase(0, 1);
  std::replace(pointer.begin(), pointer.end(), '/', '.');
  return pointer;
}

Json changes_of(const Json& before, const Json& after) {
  Json changes = Json::object();
  std::map<std::string, size_t> appended;  // maps the path of a list to the number of elements appended
  for (const Json& change : Json::diff(before, after)) {
    std::string path = change.at("path").get<std::string>();
    // Json::diff() gives each appended element the path LIST/-.
    const std::string list = path.substr(0, path.rfind('/'));
    if (path.ends_with("/-"))
      if (const Json& old = before[Json::json_pointer(list)]; old.is_array())
        path = fmt::format("{}/{}", list, old.size() + appended[list]++);
    const Json::json_pointer place(path);
    auto value = [&](const Json& from) { return from.contains(place) ? from[place] : Json(); };
    changes[path] = {{"from", value(before)}, {"to", value(after)}};
  }
  return changes;
}

}  // namespace rowan
