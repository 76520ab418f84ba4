// Tests the CPU levels. The functions of a level must stay out of the rest of the program. ROWAN_ISA must select a
// level.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "command.h"
#include "kernels/backend.h"
#include "kernels/cpu_levels.h"

namespace rowan {
namespace {

using CpuLevelObjects = CommandTest;

#ifdef __x86_64__
// If a level's object file also had functions of std::vector as global symbols, for example, the linker might use them
// in the whole program.
TEST_F(CpuLevelObjects, OnlyTheirFactoriesAreGlobal) {
  for (const std::string level : {"v2", "v3", "v4"}) {
    const auto object = std::filesystem::path(rowan_binary()).parent_path() / ("cpu_" + level + ".o");
    const Outcome nm = shell("nm --defined-only --extern-only --format=just-symbols " + object.string());
    ASSERT_EQ(nm.code, 0) << nm.err;
    EXPECT_EQ(nm.out, "rowan_cpu_backend_" + level + "\nrowan_cpu_backend_" + level + "_rates\n");
  }
}
#endif

class Forced {
 public:
  explicit Forced(const std::string& level) {
    if (const char* before = std::getenv("ROWAN_ISA")) before_ = before;
    setenv("ROWAN_ISA", level.c_str(), 1);
  }
  ~Forced() { before_ ? setenv("ROWAN_ISA", before_->c_str(), 1) : unsetenv("ROWAN_ISA"); }

 private:
  std::optional<std::string> before_;
};

TEST(CpuLevels, AreChosenByTheEnvironment) {
  ASSERT_FALSE(cpu_levels().empty());
  for (const std::string& level : cpu_levels()) {
    Forced forced(level);
    const std::string text = make_cpu_backend(1)->describe();
    EXPECT_NE(text.find(", " + level + ", "), std::string::npos) << text;
  }
  Forced forced("v9");
  try {
    make_cpu_backend(1);
    FAIL() << "v9 was taken";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find("ROWAN_ISA: found 'v9', expected "), 0u) << text;
    EXPECT_NE(text.find(cpu_levels()[0]), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace rowan
