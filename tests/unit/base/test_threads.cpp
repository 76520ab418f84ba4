#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <string>

#include "base/threads.h"

namespace rowan {
namespace {

TEST(Threads, DefaultIsOmpNumThreadsElseTheCoresOfThisProcess) {
  const char* value = std::getenv("OMP_NUM_THREADS");
  const std::string before = value ? value : "";
  setenv("OMP_NUM_THREADS", "3,2", 1);
  EXPECT_EQ(default_threads(), 3);
  unsetenv("OMP_NUM_THREADS");
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  EXPECT_EQ(default_threads(), CPU_COUNT(&all));
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(default_threads(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
  if (value) setenv("OMP_NUM_THREADS", before.c_str(), 1);
}

}  // namespace
}  // namespace rowan
