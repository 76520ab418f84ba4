#include "base/error.h"

#include <algorithm>

namespace rowan {

// A message may quote text from a user, such as a path. Control characters are replaced by '?', so that the message
// stays one line and contains no terminal escape sequences.
void fail_with(fmt::string_view format, fmt::format_args args) {
  std::string message = fmt::vformat(format, args);
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  throw Error(message);
}

}  // namespace rowan
