#include "base/json_path.h"

#include <algorithm>

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

}  // namespace rowan
