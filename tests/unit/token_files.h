// Token files of every format, written by tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/shard_format.h"

namespace rowan {

using Tokens = std::vector<int32_t>;

inline Tokens counting(int64_t count, int32_t first = 0) {
  Tokens tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void poke(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

inline std::string bare(const Tokens& tokens, int width) {
  std::string bytes;
  for (int32_t id : tokens) width == 2 ? append(bytes, static_cast<uint16_t>(id)) : append(bytes, id);
  return bytes;
}

inline std::string llmc(const Tokens& tokens, int width = 2) {
  std::string bytes(shard::header_bytes, '\0');
  poke(bytes, 0, width == 2 ? shard::magic_u16 : shard::magic_u32);
  poke(bytes, 4, width == 2 ? shard::version_u16 : shard::version_u32);
  poke(bytes, 8, static_cast<int32_t>(tokens.size()));
  return bytes + bare(tokens, width);
}

inline std::string rowan_index(const std::vector<int64_t>& starts, int64_t tokens) {
  std::string bytes(shard::documents_magic, sizeof shard::documents_magic);
  append(bytes, static_cast<uint64_t>(starts.size()));
  append(bytes, tokens);
  for (int64_t start : starts) append(bytes, start);
  return bytes;
}

// One sequence a document.
inline std::string megatron_index(const std::vector<int32_t>& lengths, int width) {
  std::string bytes("MMIDIDX\0\0", 9);
  append(bytes, uint64_t{1});
  append(bytes, static_cast<uint8_t>(width == 2 ? 8 : 4));
  append(bytes, static_cast<uint64_t>(lengths.size()));
  append(bytes, static_cast<uint64_t>(lengths.size() + 1));
  for (int32_t length : lengths) append(bytes, length);
  int64_t byte = 0;
  for (int32_t length : lengths) {
    append(bytes, byte);
    byte += int64_t{length} * width;
  }
  for (size_t i = 0; i <= lengths.size(); ++i) append(bytes, static_cast<int64_t>(i));
  return bytes;
}

// A test with a folder of its own.
class WithFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    folder_ = std::filesystem::path(testing::TempDir()) / fmt::format("rowan_{}_{}", name, ::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path.string();
  }

  std::filesystem::path folder_;
};

// The message of the Error that `action` throws, or "" when it throws none.
template <typename Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "";
}

}  // namespace rowan

#define EXPECT_ERROR(action, text)                                                          \
  do {                                                                                      \
    const std::string message = ::rowan::error_of([&] { action; });                         \
    EXPECT_NE(message.find(text), std::string::npos) << "message was: '" << message << "'"; \
  } while (false)
