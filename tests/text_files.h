// Makes compressed text and JSON lines for tests of raw text.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/random.h"
#include "temporary_folder.h"

namespace rowan {

// One gzip member.
inline std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

// One zstd frame.
inline std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

inline std::string json_line(const std::string& text) { return nlohmann::json({{"text", text}}).dump() + "\n"; }

// Documents of random words as JSON lines, the same for the same seed.
inline std::string random_json_lines(uint64_t seed, size_t documents) {
  Random random(seed, 0);
  std::string lines;
  for (size_t i = 0; i < documents; ++i) {
    std::string text;
    for (uint64_t words = 1 + random.below(120); words > 0; --words) {
      for (uint64_t letters = 1 + random.below(9); letters > 0; --letters)
        text.push_back(static_cast<char>('a' + random.below(26)));
      text.append(random.below(20) == 0 ? ".\n" : random.below(15) == 0 ? " é " : " ");
    }
    lines += json_line(text);
  }
  return lines;
}

}  // namespace rowan
