#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "event_steps.h"
#include "run/tensorboard.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

TEST(TensorBoard, Crc32cMatchesRfc3720) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
}

TEST(TensorBoard, RecordsHoldTheScalars) {
  TemporaryFolder folder;
  TensorBoardWriter writer(folder / "deep");
  writer.scalar("train/loss", 300, 2.5f, 1.7e9);
  std::string file = read_file(writer.path());
  const std::string version = take_record(file).value();
  EXPECT_EQ(version.substr(version.size() - 15),
            "\x1a\x0d"
            "brain.Event:2");
  std::string event = take_record(file).value();
  EXPECT_TRUE(file.empty());
  EXPECT_EQ(take<uint8_t>(event), 0x09);  // wall_time, 64 bits
  EXPECT_EQ(take<double>(event), 1.7e9);
  EXPECT_EQ(event, std::string("\x10\xac\x02"      // step 300
                               "\x2a\x13\x0a\x11"  // summary, with its one value
                               "\x0a\x0a"
                               "train/loss"             // tag
                               "\x15\x00\x00\x20\x40",  // value 2.5f
                               24));
}

TEST(TensorBoard, EachStepIsShownOnceAfterAnyNumberOfStarts) {
  const TemporaryFolder temporary;
  const std::filesystem::path folder = temporary / "tensorboard";
  std::vector<int64_t> want;
  for (int64_t first : {0, 200, 150, 150, 1}) {
    TensorBoardWriter writer(folder, first);
    for (int64_t step = std::max<int64_t>(first, 1); step < first + 300; ++step) writer.scalar("train/loss", step, 1);
    want.clear();
    for (int64_t step = 1; step < first + 300; ++step) want.push_back(step);
    EXPECT_EQ(steps_shown(folder, "train/loss"), want) << first;
  }
}

TEST(TensorBoard, EveryStartIsANewFile) {
  TemporaryFolder scratch;
  const std::filesystem::path folder = scratch / "starts";
  TensorBoardWriter first(folder), second(folder);
  EXPECT_GT(second.path(), first.path()) << "TensorBoard reads them in this order";
  std::filesystem::create_directory(folder / "plugins");  // as TensorBoard's profiler makes
  TensorBoardWriter third(folder);
  EXPECT_GT(third.path(), second.path());
  EXPECT_THROW(TensorBoardWriter("/proc/rowan"), Error);
}

TEST(TensorBoard, TensorBoardReadsIt) {
  TemporaryFolder scratch;
  const std::filesystem::path folder = scratch / "python";
  TensorBoardWriter writer(folder);
  for (int step = 1; step <= 1000; ++step) writer.scalar("train/loss", step, 1.0f / step);
  writer.scalar("val/loss", 1000, 0.25f);
  std::string script =
      "import sys\n"
      "try:\n"
      "  from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
      "except ImportError: print('absent'); sys.exit()\n"
      "events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0}); events.Reload()\n"
      "loss = events.Scalars('train/loss'); val = events.Scalars('val/loss')\n"
      "print(len(loss), loss[499].step, loss[499].value, val[0].step, val[0].value)\n";
  write_file_atomically(folder / "read.py", script);
  std::string command = "python3 " + (folder / "read.py").string() + " " + folder.string() + " 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char answer[256] = "";
  char* line = std::fgets(answer, sizeof answer, pipe);
  pclose(pipe);
  if (line == nullptr || std::string(answer) == "absent\n") GTEST_SKIP() << "python3 has no tensorboard here";
  EXPECT_EQ(std::string(answer), "1000 500 0.0020000000949949026 1000 0.25\n");
}

}  // namespace
}  // namespace rowan
