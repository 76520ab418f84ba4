// Reads the event files of TensorBoard back.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/files.h"
#include "run/tensorboard.h"

namespace rowan {

template <typename T>
T take(std::string& bytes) {
  T value;
  if (bytes.size() < sizeof value) throw std::logic_error("an event ends early");
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.erase(0, sizeof value);
  return value;
}

inline uint64_t take_varint(std::string& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const uint8_t byte = take<uint8_t>(bytes);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
}

// Removes the first record, checks its two checksums and returns its payload. Returns nothing if the file ends before
// the record does, as after a kill.
inline std::optional<std::string> take_record(std::string& file) {
  auto unmasked = [](uint32_t masked) { return std::rotl(masked - 0xa282ead8u, 15); };
  constexpr size_t around = 8 + 4 + 4;  // the length and the two checksums
  uint64_t size = 0;
  if (file.size() < around) return {};
  std::memcpy(&size, file.data(), sizeof size);
  if (size > file.size() - around) return {};
  const std::string size_bytes = file.substr(0, 8);
  file.erase(0, 8);
  if (unmasked(take<uint32_t>(file)) != crc32c(size_bytes)) throw std::logic_error("wrong checksum of a length");
  const std::string event = file.substr(0, size);
  file.erase(0, size);
  if (unmasked(take<uint32_t>(file)) != crc32c(event)) throw std::logic_error("wrong checksum of an event");
  return event;
}

// The steps of the curve `tag` that TensorBoard's event_accumulator would show. The accumulator reads the files in the
// order of their names. When a file begins a session at some step, the accumulator discards what it has read of this
// and of later steps.
inline std::vector<int64_t> steps_shown(const std::filesystem::path& folder, const std::string& tag) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<int64_t> steps;
  for (const auto& path : files) {
    std::string file = read_file(path);
    while (std::optional<std::string> event = take_record(file)) {
      event->erase(0, 1 + sizeof(double) + 1);  // wall_time, and the key of step
      const auto step = static_cast<int64_t>(take_varint(*event));
      if (*event == "\x3a\x02\x08\x01")  // session_log {status: START}
        std::erase_if(steps, [&](int64_t earlier) { return earlier >= step; });
      else if ((*event)[0] == 0x2a && event->find(tag) != std::string::npos)
        steps.push_back(step);
    }
  }
  return steps;
}

}  // namespace rowan
