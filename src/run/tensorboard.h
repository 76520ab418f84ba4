// TensorBoard event files, with scalars only. A file has the framing of TFRecord; the records are the protocol buffers
// of tensorboard/compat/proto/event.proto and summary.proto, encoded here without a library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace rowan {

class TensorBoardWriter {
 public:
  // Starts a new events.out.tfevents.* file in `folder`, which is created when absent. TensorBoard reads the new file
  // after the files of earlier starts. It drops the events of those files from `first_step` on, so that each step is
  // shown once. Throws Error naming the file when it cannot be written.
  explicit TensorBoardWriter(const std::filesystem::path& folder, int64_t first_step = 0);

  // Adds one point to the curve `tag`, such as "train/loss", and flushes the file. `wall_time` is in seconds since
  // 1970.
  void scalar(std::string_view tag, int64_t step, float value, double wall_time);
  void scalar(std::string_view tag, int64_t step, float value);  // wall_time: now

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_record(const std::string& event);

  std::filesystem::path path_;
  std::ofstream file_;
};

// CRC-32C (Castagnoli) as in RFC 3720.
uint32_t crc32c(std::string_view bytes);

}  // namespace rowan
