// One line of JSON lines, read for some of its fields. Only what is asked for has to be good: what other fields hold
// may be what JSON cannot say but Python writes (NaN, Infinity, half a surrogate pair) or a number that no double
// holds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rowan {

struct JsonMember {
  std::string key;
  std::string_view value;  // as it is written
};

// The members of the object in a line, in their order. False for JSON that is no object. Throws Error "byte N: ..."
// when the line is not JSON.
bool read_members(std::string_view line, std::vector<JsonMember>& members);

// What a written string says. Throws Error when that is not Unicode: bytes that are not UTF-8, or half a surrogate
// pair.
std::string json_string(std::string_view written);

}  // namespace rowan
