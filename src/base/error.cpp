#include "base/error.h"

#include <algorithm>

namespace rowan {

// A message may quote anything that a user has named, such as a path. It must stay one line, and must not control the
// terminal. So control characters are replaced.
void fail_with(fmt::string_view format, fmt::format_args args) {
  std::string message = fmt::vformat(format, args);
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  throw Error(message);
}

}  // namespace rowan
