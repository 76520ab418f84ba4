#include "commands/commands.h"

#include <fmt/format.h>

namespace rowan {

CLI::Validator at_least(int64_t least) {
  auto check = [least](std::string& text) -> std::string {
    int64_t value = 0;
    if (!CLI::detail::lexical_cast(text, value)) return fmt::format("found '{}', expected an integer", text);
    return value < least ? fmt::format("found {}, at least {} is allowed", value, least) : "";
  };
  return CLI::Validator(check, fmt::format(">= {}", least));
}

CLI::Validator device_name() { return CLI::IsMember({"auto", "cpu", "cuda"}); }

}  // namespace rowan
