// Tests that Profile refuses a trace that cannot be written, and warns if writing fails later. If no step was made,
// Profile must leave no file.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "temporary_folder.h"
#include "train/profile.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

TEST(Profile, ATraceThatCannotBeWrittenIsRefusedBeforeTheFirstStep) {
  const TemporaryFolder folder;
  Timeline timeline;
  const Note note = [](const std::string&) {};
  for (const std::string& file : {folder / "none/trace.json", folder / std::string(252, 'x') + ".json"})
    EXPECT_THROW(Profile(timeline, file, note), Error) << file;
  EXPECT_THROW(Profile(timeline, folder.write("notes.txt", "text"), note), Error);
  EXPECT_FALSE(timeline.recording());
}

TEST(Profile, ATraceThatCannotBeWrittenLaterIsAWarning) {
  for (const int steps : {20, 3}) {  // written by a step, or at the end
    const TemporaryFolder folder;
    fs::create_directory(folder / "there");
    Timeline timeline;
    std::string notes;
    {
      Profile profile(timeline, folder / "there/trace.json", [&](const std::string& text) { notes += text; });
      profile.record();
      fs::remove_all(folder / "there");
      for (int i = 0; i < steps; ++i) EXPECT_NO_THROW(profile.step());
    }
    EXPECT_TRUE(notes.starts_with("warning: --profile: no trace was written: cannot write ")) << notes;
    EXPECT_NE(notes.find("there/trace.json"), std::string::npos) << notes;
  }
}

TEST(Profile, ATraceThatIsNotWrittenLeavesNothing) {
  const TemporaryFolder folder;
  Timeline timeline;
  std::string notes;
  {
    Profile profile(timeline, folder / "trace.json", [&](const std::string& text) { notes += text; });
    profile.record();
  }
  EXPECT_NE(notes.find("no trace was written, since no step was made"), std::string::npos) << notes;
  EXPECT_TRUE(fs::is_empty(fs::path(folder / "trace.json").parent_path()));
}

}  // namespace
}  // namespace rowan
