#include <gtest/gtest.h>

#include "tokenizer/nfc.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

TEST(Nfc, ComposesWhatIsWrittenInParts) {
  EXPECT_EQ(nfc("plain"), "plain");
  EXPECT_EQ(nfc("na\u00efve"), "na\u00efve");
  EXPECT_EQ(nfc("nai\u0308ve"), "na\u00efve");
  EXPECT_EQ(nfc("e\u0302\u0323"), "\u1ec7") << "marks in either order";
  EXPECT_EQ(nfc("\u212b"), "\u00c5") << "the unit is the letter";
  EXPECT_EQ(nfc("\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c") << "these are never composed";
}

// Normalizes every character below U+30000 with marks around it. scripts/unicode_nfc.py computes the same checksum with
// Python's unicodedata.
TEST(Nfc, AgreesWithUnicodeOnEveryCharacter) {
  uint64_t checksum = 0xcbf29ce484222325;
  for (uint32_t code = 0; code < 0x30000; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text = "e\u0323";
    append_utf8(text, code);
    for (unsigned char byte : nfc(text + "\u0302\u1161\u0327\u11a8")) checksum = (checksum ^ byte) * 0x100000001b3;
  }
  EXPECT_EQ(checksum, 0xe091a459f7bc77e2);
}

}  // namespace
}  // namespace rowan
