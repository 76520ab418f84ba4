// This libFuzzer program fuzzes the family ROWAN_FUZZ_FAMILY. The program fills an empty corpus folder with the
// family's seeds. With --families it prints all families instead, and what each reads.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fuzz/families.h"

namespace {

const rowan::FuzzFamily& family() {
  for (const rowan::FuzzFamily& family : rowan::fuzz_families())
    if (std::string_view(family.name) == ROWAN_FUZZ_FAMILY) return family;
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const rowan::FuzzFamily& chosen = family();
  chosen.entry({reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  namespace fs = std::filesystem;
  if (*argc == 2 && std::string_view((*argv)[1]) == "--families") {
    for (const rowan::FuzzFamily& known : rowan::fuzz_families()) std::printf("  %-11s  %s\n", known.name, known.reads);
    std::exit(0);
  }
  for (int i = 1; i < *argc; ++i) {
    const fs::path corpus = (*argv)[i];
    if (!fs::is_directory(corpus) || !fs::is_empty(corpus)) continue;
    int number = 0;
    for (const std::string& seed : family().seeds())
      std::ofstream(corpus / ("seed" + std::to_string(number++)), std::ios::binary) << seed;
  }
  return 0;
}
