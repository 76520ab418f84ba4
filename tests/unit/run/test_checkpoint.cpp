#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "run/checkpoint.h"
#include "run/run_folder.h"
#include "run/tokenizer_match.h"
#include "small_run.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// A tensor in which every element is `value`.
TensorSource constant(const std::string& name, std::vector<int64_t> shape, float value) {
  TensorSource source{{name, "F32", std::move(shape)}, {}};
  auto values = std::make_shared<std::vector<float>>(source.numel(), value);
  source.data = [values] { return values->data(); };
  return source;
}

void save(const fs::path& folder, int64_t step, int keep = 0, int64_t size = 1000) {
  CheckpointWriter writer(folder, step);
  float value = static_cast<float>(step);
  writer.write({constant("w", {size, 2}, value), constant("b", {3}, value)}, {constant("w.m", {size, 2}, value)});
  writer.commit({{"step", step}}, {.keep = keep});
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

// Expects that the checkpoint verifies and that all its files are of one step.
void expect_whole(const fs::path& checkpoint) {
  EXPECT_NO_THROW(verify_checkpoint(checkpoint));
  Checkpoint read(checkpoint);
  float step = read.state()["step"].get<float>();
  for (const StoredTensor* tensor : {&read.model().find("w"), &read.model().find("b"), &read.optimizer().find("w.m")})
    for (float value : read_floats(*tensor)) ASSERT_EQ(value, step);
}

void flip_byte(const fs::path& path, int64_t from_end) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-from_end, std::ios::end);
  char byte = static_cast<char>(file.get());
  file.seekp(-from_end, std::ios::end);
  file.put(static_cast<char>(byte ^ 1));
}

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("rowan_checkpoint_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::optional<fs::path> newest() {
    return newest_checkpoint(dir_, [this](const std::string& text) { warnings_.push_back(text); });
  }
  fs::path dir_;
  std::vector<std::string> warnings_;
};

TEST_F(CheckpointTest, KeepsTheNewest) {
  EXPECT_EQ(newest(), std::nullopt);
  EXPECT_EQ(newest_checkpoint(dir_ / "absent", [](const std::string&) {}), std::nullopt);
  for (int step : {10, 20, 100000000, 30}) save(dir_, step, 2);
  // Writing a checkpoint removes only checkpoints of earlier steps, so the one of step 100000000 stays.
  std::vector<fs::path> found = list_checkpoints(dir_);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].filename(), "step_100000000");
  EXPECT_EQ(found[1].filename(), "step_00000030");
  EXPECT_EQ(found[2].filename(), "step_00000020");
  EXPECT_EQ(newest(), found[0]);
  expect_whole(found[1]);
  EXPECT_TRUE(warnings_.empty());
}

// As in Hugging Face's index files, total_size is the size of the tensors, without the headers of the files.
TEST_F(CheckpointTest, TheIndexOfSeveralRanksCountsTheBytesOfTensors) {
  CheckpointWriter first(dir_, 5, 0, 2), second(dir_, 5, 1, 2);
  first.write({constant("a", {10, 2}, 5)}, {constant("a.m", {7}, 5)});
  second.write({constant("b", {3}, 5)}, {});
  first.commit({{"step", 5}}, {});
  const fs::path checkpoint = checkpoint_path(dir_, 5);
  const auto total = [&](const std::string& stem) {
    const Json index = Json::parse(read_file(checkpoint / (stem + ".safetensors.index.json")));
    return index.at("metadata").at("total_size").get<int64_t>();
  };
  EXPECT_EQ(total("model"), 4 * (20 + 3));
  EXPECT_EQ(total("optimizer"), 4 * 7);
  EXPECT_NO_THROW(verify_checkpoint(checkpoint));
}

TEST_F(CheckpointTest, MilestonesAndTheBestStay) {
  auto names = [&] {
    std::string all;
    for (const fs::path& checkpoint : list_checkpoints(dir_)) all += fmt::format(" {}", step_of(checkpoint));
    return all;
  };
  for (int step = 1; step <= 12; ++step) save(dir_, step);
  rotate_checkpoints(dir_, 12, {.keep = 2, .keep_every = 5, .best = {7, 6}});
  EXPECT_EQ(names(), " 12 11 10 7 5");
  rotate_checkpoints(dir_, 10, {.keep = 1, .keep_every = 0, .best = {9, 5, 7}});  // step 9 has no checkpoint
  EXPECT_EQ(names(), " 12 11 10 5");
  // These numbers do not fit in an int.
  rotate_checkpoints(dir_, 12, {.keep = int64_t{1} << 31});
  rotate_checkpoints(dir_, 12, {.keep = INT64_MAX});
  EXPECT_EQ(names(), " 12 11 10 5");
}

// If the update of a multiple is skipped, the checkpoint after it is the milestone.
TEST_F(CheckpointTest, TheNextCheckpointStandsForAMultipleThatHasNone) {
  for (int step : {4, 5, 7, 8, 9, 10, 11, 16, 21, 22}) {
    save(dir_, step);
    rotate_checkpoints(dir_, step, {.keep = 1, .keep_every = 3});
  }
  std::string all;
  for (const fs::path& checkpoint : list_checkpoints(dir_)) all += fmt::format(" {}", step_of(checkpoint));
  EXPECT_EQ(all, " 22 21 16 9 7 4");
}

// A process with 64 file descriptors cannot remove folders that are nested more deeply. This also holds for root.
TEST_F(CheckpointTest, OldOnesThatCannotBeRemovedStayAndOthersGo) {
  for (int step : {1, 2, 3, 4}) save(dir_, step);
  std::string deep;
  for (int level = 0; level < 100; ++level) deep += "/d";
  for (const char* name : {"step_00000002", "step_00000003"}) fs::create_directories((dir_ / name).string() + deep);
  auto warn = [this](const std::string& text) { warnings_.push_back(text); };
  rlimit before;
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few = {64, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  rotate_checkpoints(dir_, 4, {.keep = 1, .warn = warn});
  remove_unfinished_checkpoints(dir_, warn);
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(list_checkpoints(dir_), std::vector<fs::path>{checkpoint_path(dir_, 4)});
  const std::string want = "warning: cannot remove old checkpoints: " + (dir_ / "step_0000000").string();
  ASSERT_EQ(warnings_.size(), 2u);
  expect_contains(warnings_[0], want + "3.part: Too many open files");
  expect_contains(warnings_[1], want);
  remove_unfinished_checkpoints(dir_, warn);
  EXPECT_EQ(warnings_.size(), 2u);
  EXPECT_FALSE(fs::exists(dir_ / "step_00000003.part"));
}

TEST_F(CheckpointTest, OtherFoldersPushNoneOut) {
  for (int step : {10, 20}) save(dir_, step);
  const char* const others[] = {"step_000000000030", "step_30",          "step_-0000030", "step_99999999999999999999",
                                "step_00000030.old", "step_0000003a",    "step_",         "step_ 0000030",
                                "step_+0000030",     "ruined_000000030", "steps"};
  for (const char* name : others) fs::create_directories(dir_ / name);
  write_file_atomically(dir_ / "step_00000040", "a file");
  save(dir_, 25, 2);
  std::string all;
  for (const fs::path& checkpoint : list_checkpoints(dir_)) all += fmt::format(" {}", step_of(checkpoint));
  EXPECT_EQ(all, " 25 20");
  EXPECT_EQ(newest(), checkpoint_path(dir_, 25));
  for (const char* name : others) EXPECT_TRUE(fs::exists(dir_ / name)) << name;
}

TEST_F(CheckpointTest, ARuinedOneIsKeptApartAndPushesNoneOut) {
  auto ruin = [&](int64_t step) {
    CheckpointWriter writer(dir_, step, 0, 1, Condition::ruined);
    writer.write({constant("w", {1}, 1e16f)}, {});
    writer.commit({{"step", step}}, {.keep = 1});
  };
  for (int step : {1, 2}) save(dir_, step);
  ruin(3);
  ruin(4);
  EXPECT_EQ(list_checkpoints(dir_).size(), 2u);
  EXPECT_EQ(newest()->filename(), "step_00000002");
  EXPECT_FALSE(fs::exists(dir_ / "ruined_00000003")) << "one is enough to look at";
  EXPECT_NO_THROW(verify_checkpoint(dir_ / "ruined_00000004"));
  fs::create_directories(dir_ / "ruined_00000005.part");
  remove_unfinished_checkpoints(dir_, [](const std::string&) {});
  EXPECT_FALSE(fs::exists(dir_ / "ruined_00000005.part"));
}

TEST_F(CheckpointTest, SameStepIsReplaced) {
  save(dir_, 10);
  CheckpointWriter writer(dir_, 10);
  writer.write({constant("w", {1}, 7)}, {});
  writer.commit({{"step", 10}}, {});
  EXPECT_EQ(read_floats(Checkpoint(*newest()).model().find("w")), std::vector<float>{7});
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 1);
}

TEST_F(CheckpointTest, SeveralRanksWriteOne) {
  CheckpointWriter first(dir_, 5, 0, 2), second(dir_, 5, 1, 2);
  second.write({constant("b", {3}, 5)}, {});
  first.write({constant("w", {4, 2}, 5)}, {constant("w.m", {4, 2}, 5)});
  first.commit({{"step", 5}}, {.keep = 1});
  expect_whole(*newest());
  EXPECT_TRUE(fs::exists(*newest() / "model-00002-of-00002.safetensors"));
  EXPECT_TRUE(fs::exists(*newest() / "model.safetensors.index.json"));

  CheckpointWriter lonely(dir_, 6, 0, 2);
  lonely.write({}, {});
  expect_contains(error_of([&] { lonely.commit({}, {.keep = 1}); }), "manifest-00002-of-00002.json");
}

TEST_F(CheckpointTest, DamageIsSkippedAndNamed) {
  save(dir_, 1);
  save(dir_, 2);
  const fs::path bad = dir_ / "step_00000002";
  flip_byte(bad / "model.safetensors", 4);
  EXPECT_EQ(newest()->filename(), "step_00000001");
  ASSERT_EQ(warnings_.size(), 1u);
  expect_contains(warnings_[0], "skipping a checkpoint: " + (bad / "model.safetensors").string() +
                                    ": damaged: wrong checksum of tensor 'b'");

  auto damaged_by = [&](const std::function<void()>& damage) {
    save(dir_, 2);
    damage();
    return error_of([&] { verify_checkpoint(bad); });
  };
  expect_contains(damaged_by([&] { flip_byte(bad / "optimizer.safetensors", 1); }), "checksum of tensor 'w.m'");
  expect_contains(damaged_by([&] { flip_byte(bad / "state.json", 4); }), "state.json: damaged: wrong checksum");
  expect_contains(damaged_by([&] { fs::resize_file(bad / "model.safetensors", 100); }),
                  "model.safetensors: damaged: found 100 bytes");
  expect_contains(damaged_by([&] { fs::remove(bad / "model.safetensors"); }), "model.safetensors: no such file");
  expect_contains(damaged_by([&] { fs::remove(bad / "manifest.json"); }), "manifest.json: No such file");
  expect_contains(damaged_by([&] { fs::resize_file(bad / "manifest.json", 50); }), "manifest.json:");
  fs::remove_all(bad);
  fs::copy(dir_ / "step_00000001", bad, fs::copy_options::recursive);
  EXPECT_EQ(error_of([&] { verify_checkpoint(bad); }),
            (bad / "state.json").string() + ": step: found 1, expected 2 as the folder's name says");
  flip_byte(dir_ / "step_00000001" / "model.safetensors", 1);
  expect_contains(error_of([&] { newest(); }), "no undamaged checkpoint in");
}

// It may be sound, and a run that went on from an older one would overwrite it. A folder stands for a file that cannot
// be read, because root may read every file.
TEST_F(CheckpointTest, OneThatCannotBeReadIsNotSkipped) {
  for (const char* name : {"model.safetensors", "state.json", "manifest.json"}) {
    save(dir_, 1);
    save(dir_, 2);
    const fs::path file = dir_ / "step_00000002" / name;
    fs::remove(file);
    fs::create_directory(file);
    EXPECT_EQ(error_of([&] { newest(); }), "cannot read " + file.string() + ": Is a directory");
  }
  save(dir_, 2);
  const fs::path file = dir_ / "step_00000002/model.safetensors";
  if (::geteuid() != 0) {
    fs::permissions(file, fs::perms::none);
    EXPECT_EQ(error_of([&] { newest(); }), "cannot open " + file.string() + ": Permission denied");
    fs::permissions(file, fs::perms::owner_all);
  }
  EXPECT_TRUE(warnings_.empty());
  EXPECT_EQ(newest()->filename(), "step_00000002");
}

TEST_F(CheckpointTest, EveryChangedByteOfTensorsAndStateIsFound) {
  save(dir_, 3, 0, 8);
  Random random(3, 0);
  const fs::path checkpoint = dir_ / "step_00000003";
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    int64_t size = static_cast<int64_t>(fs::file_size(checkpoint / name));
    for (int round = 0; round < 60; ++round) {
      int64_t at = 1 + static_cast<int64_t>(random.below(size));
      flip_byte(checkpoint / name, at);
      EXPECT_THROW(verify_checkpoint(checkpoint), Error) << name << " " << size - at;
      flip_byte(checkpoint / name, at);
    }
  }
  EXPECT_NO_THROW(verify_checkpoint(checkpoint));
}

TEST_F(CheckpointTest, KillAtAnyMomentLeavesALoadableOne) {
  save(dir_, 0, 2, 20000);
  Random random(7, 0);
  int interrupted = 0;
  for (int round = 0; round < 25; ++round) {
    int64_t step = std::stoll(newest()->filename().string().substr(5));
    pid_t child = ::fork();
    if (child == 0) {
      while (true) save(dir_, ++step, 2, 20000);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(40000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::optional<fs::path> checkpoint = newest();
    ASSERT_TRUE(checkpoint);
    expect_whole(*checkpoint);
    EXPECT_TRUE(warnings_.empty()) << warnings_[0];
    int64_t entries = std::distance(fs::directory_iterator(dir_), fs::directory_iterator());
    remove_unfinished_checkpoints(dir_, [](const std::string&) {});
    int64_t checkpoints = static_cast<int64_t>(list_checkpoints(dir_).size());
    EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), checkpoints);
    interrupted += entries != checkpoints;
  }
  EXPECT_GT(interrupted, 0);
}

// A run trains and keeps one checkpoint, while another process looks for the newest one.
TEST_F(CheckpointTest, ARunThatRotatesIsReadAtAnyMoment) {
  save(dir_, 0, 1, 20000);
  std::atomic<bool> ends = false;
  std::thread trains([&] {
    for (int64_t step = 1; step <= 60; ++step) save(dir_, step, 1, 20000);
    ends = true;
  });
  while (!ends) {
    std::optional<fs::path> found;
    EXPECT_EQ(error_of([&] { found = newest(); }), "no error");
    EXPECT_TRUE(found);
  }
  trains.join();
  EXPECT_TRUE(warnings_.empty()) << warnings_[0];
}

// While a reader is told that it skips the damaged step 3, the run saves step 4 and removes step 2.
TEST_F(CheckpointTest, ACheckpointThatVanishesBeforeItIsOpenedIsReplacedByANewerOne) {
  const Json model = small_llama();
  write_small_run(dir_, model);
  const fs::path folder = dir_ / "checkpoints";
  for (int64_t step : {2, 3}) write_small_run(dir_, model, 5, step);
  flip_byte(checkpoint_path(folder, 3) / "model.safetensors", 1);
  int notes = 0;
  const RunFolder run(dir_, "newest", [&](const std::string&) {
    if (notes++ > 0) return;
    write_small_run(dir_, model, 5, 4);
    fs::remove_all(checkpoint_path(folder, 2));
  });
  EXPECT_EQ(run.checkpoint().folder(), checkpoint_path(folder, 4));
  EXPECT_EQ(notes, 1);
  fs::remove_all(folder);
  EXPECT_EQ(tokenizer_of_checkpoint(run.checkpoint()), 0) << "an open checkpoint needs no folder";
  expect_contains(error_of([&] { RunFolder(dir_, "newest", [](const std::string&) {}); }), "found no checkpoint");
}

TEST_F(CheckpointTest, FullDiskEndsWithAnErrorAndTheOldCheckpointIntact) {
  if (::mount("tmpfs", dir_.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "may not mount a small tmpfs here";
  save(dir_, 1, 1);
  expect_contains(
      error_of([&] { save(dir_, 2, 1, 200000); }),
      "cannot write " + (dir_ / "step_00000002.part/model.safetensors").string() + ": No space left on device");
  expect_whole(*newest());
  EXPECT_EQ(list_checkpoints(dir_).size(), 1u);
  EXPECT_FALSE(fs::exists(dir_ / "step_00000002.part"));
  save(dir_, 2, 1);
  EXPECT_EQ(newest()->filename(), "step_00000002");
  ::umount(dir_.c_str());
}

TEST_F(CheckpointTest, FileSizeLimitEndsWithAnErrorAndTheOldCheckpointIntact) {
  save(dir_, 1, 1);
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = {100000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message = error_of([&] { save(dir_, 2, 1, 100000); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  expect_contains(message,
                  "cannot write " + (dir_ / "step_00000002.part/model.safetensors").string() + ": File too large");
  expect_whole(*newest());
}

}  // namespace
}  // namespace rowan
