#include "base/error.h"

#include <algorithm>

namespace rowan {

// What users have named, a path say, may hold anything; a message is one line, and no command of the terminal's.
void fail_with(fmt::string_view format, fmt::format_args args) {
  std::string message = fmt::vformat(format, args);
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  throw Error(message);
}

}  // namespace rowan
