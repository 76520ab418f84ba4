#include "run/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace rowan {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

template <typename T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Protocol buffers encode a field as its number and wire type, followed by its value.
enum Wire : char { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
std::string key(int field, Wire wire) { return {static_cast<char>(field << 3 | wire)}; }

std::string varint_of(uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7) text += static_cast<char>(value | 0x80);
  return text += static_cast<char>(value);
}

std::string bytes_field(int field, std::string_view content) {
  return key(field, bytes) + varint_of(content.size()) + std::string(content);
}

// Field numbers of Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
std::string event_head(double wall_time, int64_t step) {
  return key(1, fixed64) + little_endian(wall_time) + key(2, varint) + varint_of(static_cast<uint64_t>(step));
}

std::string masked_crc(std::string_view content) { return little_endian(std::rotr(crc32c(content), 15) + 0xa282ead8u); }

}  // namespace

uint32_t crc32c(std::string_view text) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> entries;
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
      entries[i] = crc;
    }
    return entries;
  }();
  uint32_t crc = ~0u;
  for (unsigned char c : text) crc = crc >> 8 ^ table[(crc ^ c) & 0xff];
  return ~crc;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, int64_t first_step) {
  make_directories(folder);
  char host[256] = "localhost";
  if (gethostname(host, sizeof host - 1) != 0) std::strcpy(host, "localhost");
  double start = now();
  // TensorBoard reads the files of a folder in the order of their names, so the new name must sort after all others.
  // The clock alone does not ensure this: it may have been set back, or the last file may be of the same second.
  // Plugins of TensorBoard may keep folders of their own here.
  const std::string prefix = "events.out.tfevents.";
  std::string last;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (const std::string file = entry.path().filename().string(); file.starts_with(prefix))
      last = std::max(last, file);
  if (error) fail("cannot read {}: {}", folder.string(), error.message());
  auto name = [&](double second) { return fmt::format("{}{:010.0f}.{}.{}", prefix, second, host, getpid()); };
  double second = std::floor(start);
  if (name(second) <= last) second = std::max(second, std::strtod(last.c_str() + prefix.size(), nullptr) + 1);
  path_ = folder / name(second);
  file_.open(path_, std::ios::binary);
  write_record(event_head(start, 0) + bytes_field(3, "brain.Event:2"));
  // Field 1 of SessionLog is its status, here START, which is 1. On START, a reader drops what it has read of
  // `first_step` and of later steps.
  if (!last.empty()) write_record(event_head(start, first_step) + bytes_field(7, key(1, varint) + varint_of(1)));
}

void TensorBoardWriter::scalar(std::string_view tag, int64_t step, float value, double wall_time) {
  // Field numbers of Summary: value = 1. Field numbers of Summary.Value: tag = 1, simple_value = 2.
  std::string entry = bytes_field(1, tag) + key(2, fixed32) + little_endian(value);
  write_record(event_head(wall_time, step) + bytes_field(5, bytes_field(1, entry)));
}

void TensorBoardWriter::scalar(std::string_view tag, int64_t step, float value) { scalar(tag, step, value, now()); }

void TensorBoardWriter::write_record(const std::string& event) {
  std::string size = little_endian(static_cast<uint64_t>(event.size()));
  errno = 0;
  file_ << size << masked_crc(size) << event << masked_crc(event) << std::flush;
  if (!file_) fail("{}: {}", path_.string(), errno ? std::strerror(errno) : "cannot write");
}

}  // namespace rowan
