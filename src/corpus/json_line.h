// Reads one line of a JSON Lines file without decoding its values. A line may therefore contain what parse_json() of
// base/json.h refuses: NaN, Infinity, the escape of a lone surrogate, or a number too large for a double.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rowan {

struct JsonMember {
  std::string key;
  std::string_view value;  // the raw text of the value
};

// Reads the members of the object in a line, in order. Returns false for JSON that is not an object. Throws Error "byte
// N: ..." if the line is not JSON.
bool read_members(std::string_view line, std::vector<JsonMember>& members);

// Decodes a JSON string. `written` includes the quotes and escapes. Throws Error if the string is not Unicode: invalid
// UTF-8, or a lone surrogate.
std::string json_string(std::string_view written);

}  // namespace rowan
