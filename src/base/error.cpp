#include "base/error.h"

#include <algorithm>

namespace rowan {

std::string one_line(std::string message) {
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return message;
}

void fail_with(fmt::string_view format, fmt::format_args args) { throw Error(one_line(fmt::vformat(format, args))); }

}  // namespace rowan
