#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <string>

#include "base/memory.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

// A folder with the files of /proc and /sys that describe memory.
class Memory : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ / name).parent_path());
    root_.write(name, text);
  }
  // A control group with a limit, memory in use, and cached pages that are counted as used.
  void write_group(const std::string& path, const std::string& limit, size_t used, size_t cached) {
    write("sys/fs/cgroup" + path + "/memory.max", limit + "\n");
    write("sys/fs/cgroup" + path + "/memory.current", std::to_string(used) + "\n");
    write("sys/fs/cgroup" + path + "/memory.stat",
          "anon 1\nfile 2\ninactive_file " + std::to_string(cached) + "\nactive_file 3\n");
  }
  size_t available() { return available_memory(root_ / "."); }

  TemporaryFolder root_;
};

TEST_F(Memory, OfTheMachine) {
  EXPECT_EQ(available(), SIZE_MAX) << "nothing is known";
  write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable:    50 kB\nSwapFree: 7 kB\n");
  EXPECT_EQ(available(), 57u * 1024);
  write("proc/self/cgroup", "12:memory:/x\n1:name=systemd:/y\n");  // cgroup v1
  write_group("", "1000", 0, 0);
  EXPECT_EQ(available(), 57u * 1024);
}

TEST_F(Memory, EveryControlGroupOnTheWayLimits) {
  write("proc/meminfo", "MemAvailable: 50 kB\n");
  write("proc/self/cgroup", "0::/slurm/job_7/step_0/task_0\n");
  write_group("/slurm/job_7/step_0/task_0", "max", 20'000, 0);
  EXPECT_EQ(available(), 50u * 1024) << "no limit";
  write_group("/slurm/job_7/step_0", "40000", 20'000, 5'000);
  EXPECT_EQ(available(), 25'000u) << "the limit of the step counts for its tasks";
  write_group("/slurm/job_7", "30000", 21'000, 1'000);
  EXPECT_EQ(available(), 10'000u) << "and so does the limit of the job";
  write_group("/slurm/job_7/step_0/task_0", "9000", 20'000, 0);
  EXPECT_EQ(available(), 0u) << "more is in use than the limit";
  write_group("/slurm/job_7/step_0/task_0", "29000", 20'000, 30'000);
  EXPECT_EQ(available(), 10'000u);
  write_group("/slurm/job_8", "1", 1, 0);
  EXPECT_EQ(available(), 10'000u) << "other jobs do not matter";
}

// In a container the process often sees its own group as the root of all.
TEST_F(Memory, TheRootGroupOfAContainer) {
  write_group("", "8000", 3'000, 0);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(available(), 5'000u);
  write("proc/self/cgroup", "0::/../other\n");
  write_group("/../other", "2", 1, 0);
  EXPECT_EQ(available(), 5'000u) << "a group outside of those that are visible";
}

}  // namespace
}  // namespace rowan
