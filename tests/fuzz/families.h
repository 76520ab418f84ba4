// Declares the fuzzed families of inputs. The mutation tests (plain builds, about a second each) and the libFuzzer
// programs (clang) call the same entry points.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

struct FuzzFamily {
  const char *name, *reads;  // reads: the files that the family stands for
  // Reads the input as the program would. Returns if the result is valid or the input gives an Error. Throws another
  // exception if the result is wrong.
  std::function<void(std::string_view input)> entry;
  // Well-formed inputs to start from.
  std::function<std::vector<std::string>()> seeds;
};

std::vector<FuzzFamily> data_families();
std::vector<FuzzFamily> run_families();

// All families.
inline const std::vector<FuzzFamily>& fuzz_families() {
  static const std::vector<FuzzFamily> families = [] {
    std::vector<FuzzFamily> all = data_families();
    for (FuzzFamily& family : run_families()) all.push_back(std::move(family));
    return all;
  }();
  return families;
}

}  // namespace rowan
