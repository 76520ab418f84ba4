#include <fmt/format.h>

int main() {
  fmt::print(stderr, "rowan: no command\n");
  return 2;
}
