// Mutates well-formed inputs of every family. Each mutated input must give an Error or a result. Also damages gzip
// streams. ROWAN_FUZZ_SECONDS (default 1) sets the length of each test.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "base/error.h"
#include "corpus/raw_text.h"
#include "fuzz/families.h"
#include "text_files.h"

namespace rowan {
namespace {

// Calls one(random) with new seeds until the time is up.
void repeat(const std::function<void(Random&)>& one) {
  const char* text = std::getenv("ROWAN_FUZZ_SECONDS");
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(text ? std::atof(text) : 1.0);
  for (uint64_t seed = 0; std::chrono::steady_clock::now() < end; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed, 77);
    one(random);
    if (testing::Test::HasFailure()) return;
  }
}

// Tries one to four random changes: flips a bit, replaces, inserts, removes or repeats bytes, or cuts the end off. In
// about half of the calls, the changes begin within the first 64 bytes, where most of the structure is.
std::string mutate(std::string bytes, Random& random) {
  const std::string alphabet = "0123456789[]{}\",:-eE.\\ \n\xff\x80";
  const bool near_start = random.below(2) == 0;
  for (uint64_t n = 1 + random.below(4); n > 0; --n) {
    size_t at = random.below((near_start ? std::min<size_t>(bytes.size(), 64) : bytes.size()) + 1);
    size_t length = std::min<size_t>(random.below(9), bytes.size() - at);
    switch (random.below(7)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random.below(256));
        break;
      case 2:
        bytes.insert(at, 1 + random.below(4), static_cast<char>(random.below(256)));
        break;
      case 3:
        bytes.erase(at, length);
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 5:
        if (random.below(4) == 0) bytes.resize(at);
        break;
      case 6:
        bytes.insert(at, 1, alphabet[random.below(alphabet.size())]);
        break;
    }
  }
  return bytes;
}

class Mutations : public testing::TestWithParam<FuzzFamily> {};

TEST_P(Mutations, EndWithAnErrorOrAResult) {
  const std::vector<std::string> seeds = GetParam().seeds();
  for (const std::string& seed : seeds) EXPECT_NO_THROW(GetParam().entry(seed));
  repeat([&](Random& random) {
    const std::string input = mutate(seeds[random.below(seeds.size())], random);
    EXPECT_NO_THROW(GetParam().entry(input));
  });
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Mutations, testing::ValuesIn(fuzz_families()),
                         [](const testing::TestParamInfo<FuzzFamily>& info) { return info.param.name; });

// Reading a damaged gzip stream gives an Error or the original bytes, because gzip stores a checksum of these bytes.
TEST(Fuzz, DamagedGzipIsNeverTakenForTheWhole) {
  TemporaryFolder folder;
  const std::string text = random_json_lines(4, 20), packed = gzip(text);
  repeat([&](Random& random) {
    const std::string path = folder.write("a.json.gz", mutate(packed, random));
    std::string found;
    try {
      RawReader reader({path}, TextFormat::by_name, TextSplit::file);
      for (RawBatch batch; reader.next(batch);) found += batch.bytes;
    } catch (const Error&) {
      return;
    }
    EXPECT_EQ(found, text);
  });
}

}  // namespace
}  // namespace rowan
