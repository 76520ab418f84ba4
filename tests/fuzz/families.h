// What is fuzzed, a family of inputs each. Both ways of fuzzing call the same entries: the mutation tests (plain
// builds, a second or so each) and the libFuzzer programs (clang, ROWAN_FUZZ=ON).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

struct FuzzFamily {
  const char* name;
  // Reads the input as the program would. Returns when that gives a result or an Error; throws anything else when a
  // promise is broken.
  std::function<void(std::string_view input)> entry;
  // Well-formed inputs to start from.
  std::function<std::vector<std::string>()> seeds;
};

const std::vector<FuzzFamily>& fuzz_families();

}  // namespace rowan
