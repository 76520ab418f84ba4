// Tests full disks, a second process in the same folder, text from a pipe, inconsistent state files, and JSON that is
// nested too deeply.
#include <signal.h>

#include <fstream>

#include "error_of.h"
#include "run/checkpoint.h"
#include "run/export.h"
#include "tokenizer/tokenizer.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Trouble : public TrainCommand {
 protected:
  void stopped_after_8() {
    ASSERT_EQ(rowan(train()).code, 0);
    fs::remove_all(run("run") / "checkpoints/step_00000012");
  }
  static std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder)) files[entry.path().filename()] = read_file(entry.path());
    return files;
  }
};

TEST_F(Trouble, TheEventsOfTensorBoardAndTheChartMayBeLost) {
  ASSERT_EQ(rowan(train(into("whole"))).code, 0);
  stopped_after_8();
  fs::remove_all(run("run") / "tensorboard");
  fs::remove(run("run") / "loss.svg");
  write_file_atomically(run("run") / "tensorboard", "a file where the folder should be");
  fs::create_directories(run("run") / "loss.svg/in the way");
  Outcome result = rowan(train());
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(weights(run("run"), 12) == weights(run("whole"), 12));
  size_t warnings = 0;
  for (size_t at = 0; (at = result.err.find("warning: ", at)) != std::string::npos; ++at) ++warnings;
  EXPECT_EQ(warnings, 2u) << result.err;
  EXPECT_NE(result.err.find("no more events for TensorBoard"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("the run is complete without its chart"), std::string::npos) << result.err;
}

// The error of a link that leads to itself is one of the system's.
TEST_F(Trouble, TheSampleAtTheEndMayBeLost) {
  for (const auto& [name, content] : tokenizer_files(*make_tokenizer("bytes"), 32))
    write_file_atomically(dir_ / name, content);
  const fs::path tokenizer = dir_ / "tokenizer.json";
  const pid_t child =
      start(train("--steps 2000 --set run.sample_tokens=4 --set run.checkpoint_every=0 "
                  "--set tokenizer=huggingface:" +
                  tokenizer.string()));
  until(child, [&] { return fs::exists(run("run") / "metrics.jsonl") && fs::file_size(run("run") / "metrics.jsonl"); });
  ::kill(child, SIGSTOP);
  fs::remove(tokenizer);
  fs::create_symlink(tokenizer.filename(), tokenizer);
  ::kill(child, SIGCONT);
  EXPECT_EQ(code_of(child), 0) << log();
  const std::string warning = "warning: " + tokenizer.string() + ": Too many levels of symbolic links";
  EXPECT_NE(log().find(warning + "; the run is complete without its sample\n"), std::string::npos) << log();
}

TEST_F(Trouble, ALogThatCannotBeKeptIsOneWarning) {
  stopped_after_8();
  fs::remove(run("run") / "log.txt");
  fs::create_symlink("/dev/full", run("run") / "log.txt");
  Outcome result = rowan(train());
  ASSERT_EQ(result.code, 0) << result.err;
  const size_t at = result.err.find("warning: cannot write " + (run("run") / "log.txt").string());
  ASSERT_NE(at, std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("log.txt", at + 200), std::string::npos) << result.err;
}

// RUN/checkpoints may lead to a disk that is not mounted.
TEST_F(Trouble, ALinkToCheckpointsThatAreNotThereMovesNothing) {
  stopped_after_8();
  const fs::path checkpoints = run("run") / "checkpoints", disk = dir_ / "disk";
  fs::rename(checkpoints, disk);
  fs::create_directory_symlink(disk, checkpoints);
  const std::string rows = read_file(run("run") / "metrics.jsonl");
  const auto nothing_moved = [&] {
    EXPECT_EQ(read_file(run("run") / "metrics.jsonl"), rows);
    EXPECT_FALSE(fs::exists(run("run") / "earlier-1"));
  };
  fs::rename(disk, dir_ / "elsewhere");
  expect_mistake(train(), checkpoints.string() + ": found a link to " + disk.string() + ", which is not there");
  nothing_moved();
  fs::remove(checkpoints);
  write_file_atomically(checkpoints, "");
  expect_mistake(train(), checkpoints.string() + ": found a file, expected a folder");
  nothing_moved();
  fs::remove(checkpoints);
  fs::create_directory_symlink(disk, checkpoints);
  fs::rename(dir_ / "elsewhere", disk);
  EXPECT_EQ(rowan(train()).code, 0);
  EXPECT_FALSE(fs::exists(run("run") / "earlier-1"));
}

TEST_F(Trouble, AFolderOfShardsHasOneOwner) {
  std::string text(40'000'000, 'a');
  for (size_t i = 0; i < text.size(); i += 5000) text[i] = '\n';
  write_file_atomically(dir_ / "text.txt", text);
  const fs::path out = dir_ / "shards";
  const std::string command = "tokenize --tokenizer bytes --threads 1 --split line --save-seconds 0 --out " +
                              out.string() + " " + (dir_ / "text.txt").string();
  const pid_t first = start(command);
  until(first, [&] { return fs::exists(out / "progress.json"); });
  ::kill(first, SIGSTOP);
  Outcome second = rowan(command);
  EXPECT_EQ(second.code, 2);
  EXPECT_NE(second.err.find(fmt::format("{}: another process tokenizes into it: process {} on ", out.string(), first)),
            std::string::npos)
      << second.err;
  ::kill(first, SIGCONT);
  EXPECT_EQ(code_of(first), 0) << log();
  EXPECT_FALSE(fs::exists(out / "lock"));
  Outcome after = rowan(command);
  EXPECT_EQ(after.code, 0);
  EXPECT_NE(after.err.find("complete already"), std::string::npos) << after.err;
  // A kill after the last file was written can leave the lock file.
  write_file_atomically(out / "lock", "");
  EXPECT_EQ(rowan(command).code, 0);
  EXPECT_FALSE(fs::exists(out / "lock"));
}

TEST_F(Trouble, TextFromAPipeIsNotAddedToFinishedShards) {
  const std::string command = R"(sh -c 'echo "{\"text\": \"some text\"}" | )" + rowan_command() +
                              " tokenize --tokenizer bytes --out " + (dir_ / "shards").string() + " -'";
  EXPECT_EQ(shell(command).code, 0);
  const auto before = contents(dir_ / "shards");
  const Outcome again = shell(command);
  EXPECT_EQ(again.code, 0);
  EXPECT_NE(again.err.find("complete already"), std::string::npos) << again.err;
  EXPECT_NE(again.err.find("standard input was not read, because its text cannot be added to finished shards"),
            std::string::npos)
      << again.err;
  EXPECT_EQ(contents(dir_ / "shards"), before);
}

TEST_F(Trouble, AnExportOnAFullDiskLeavesTheOlderWhole) {
  write_small_run(run("older"), small_gpt2());
  write_small_run(run("newer"), small_llama());
  const std::string out = (dir_ / "export").string();
  ASSERT_EQ(rowan("export " + run("older").string() + " " + out).code, 0);
  const auto older = contents(out);
  // A limit on file sizes, in units of 512 bytes, makes writes fail as on a full disk. Depending on the limit, the
  // weights or the text files beside them cannot be written.
  for (int blocks : {0, 1, 8, 30}) {
    Outcome full = shell("sh -c 'ulimit -f " + std::to_string(blocks) + "; exec " + rowan_command() + " export " +
                         run("newer").string() + " " + out + "'");
    if (blocks > 0) {  // with 0, the message cannot be written either
      EXPECT_EQ(full.code, 2) << blocks << full.err;
      EXPECT_NE(full.err.find("cannot write "), std::string::npos) << full.err;
    }
    EXPECT_EQ(contents(out), older) << blocks;
  }
  ASSERT_EQ(rowan("export " + run("newer").string() + " " + out).code, 0);
  ASSERT_EQ(rowan("export " + run("newer").string() + " " + (dir_ / "fresh").string()).code, 0);
  EXPECT_EQ(contents(out), contents(dir_ / "fresh"));
}

TEST_F(Trouble, AStateThatLiesIsOneLine) {
  stopped_after_8();
  const fs::path checkpoint = run("run") / "checkpoints/step_00000008";
  const Json honest = Json::parse(read_file(checkpoint / "state.json"));
  auto write = [&](const Json& state) {
    write_file_atomically(checkpoint / "state.json", state.dump());
    Json manifest = Json::parse(read_file(checkpoint / "manifest.json"));
    manifest["files"]["state.json"] = {{"bytes", state.dump().size()},
                                       {"xxh64", fmt::format("{:016x}", hash64(state.dump()))}};
    write_file_atomically(checkpoint / "manifest.json", manifest.dump());
  };
  // The step of another checkpoint is damage, for which a start goes back to the checkpoint before.
  for (const int64_t step : {int64_t{9}, int64_t{-1}, int64_t{1} << 62, INT64_MAX}) {
    Json state = honest;
    state["step"] = step;
    write(state);
    EXPECT_EQ(error_of([&] { verify_checkpoint(checkpoint); }),
              fmt::format("{}: step: found {}, expected 8 as the folder's name says",
                          (checkpoint / "state.json").string(), step));
  }
  const std::pair<const char*, Json> lies[] = {{"step", 1e300},
                                               {"step", "8"},
                                               {"step", nullptr},
                                               {"seconds", "long"},
                                               {"seconds", -1},
                                               {"unpadded_tokens", -1},
                                               {"unpadded_tokens", INT64_MAX},
                                               {"recent_losses", "low"},
                                               {"recent_losses", {1, "x"}},
                                               {"largest_norm", "x"},
                                               {"batch_sequences", INT64_MAX},
                                               {"version", 2},
                                               {"data", 7}};
  for (const auto& [key, value] : lies) {
    Json state = honest;
    state[key] = value;
    write(state);
    expect_mistake(train(), key == std::string("data") ? "expected null as when the checkpoint was written"
                                                       : (checkpoint / "state.json").string());
    if (HasFailure()) FAIL() << state[key].dump() << " as " << key;
  }
  write(honest);
  ASSERT_EQ(rowan(train()).code, 0);
  for (const Json& state : {Json(7), Json::array(), Json::object()}) {
    fs::remove_all(run("run") / "checkpoints/step_00000012");
    write(state);
    expect_mistake(train(), (checkpoint / "state.json").string());
  }
}

// A manifest.json beside the shards, which a hand may have written.
TEST_F(Trouble, AnotherManifestEndsNoPlan) {
  write_file_atomically(dir_ / "get.sh", "");
  const auto said = [&](const Json& manifest) {
    write_file_atomically(dir_ / "manifest.json", manifest.dump());
    const Outcome plan = rowan("plan " + file().string() + " --set run.steps=100");
    EXPECT_EQ(plan.code, 0) << plan.err;
    const size_t at = plan.out.find("get.sh --shards ");
    return at == std::string::npos ? "" : plan.out.substr(at, plan.out.find(' ', at + 16) - at);
  };
  // 400 rows of 187 are 2.14 epochs.
  for (const Json& settings : {Json::array(), Json(7), Json(), Json{{"validation_inputs", "one"}}})
    EXPECT_EQ(said({{"sources", {1, 2}}, {"settings", settings}}), "get.sh --shards 5") << settings;
  EXPECT_EQ(said({{"sources", {1, 2}}, {"settings", {{"validation_inputs", 1}}}}), "get.sh --shards 3");
  for (const Json& none : {Json::array(), Json(7), Json::object()}) EXPECT_EQ(said(none), "") << none;
}

TEST_F(Trouble, DeepJsonIsOneWarningOrOneLine) {
  const std::string deep = R"({"step":6,"x":)" + std::string(300'000, '[') + std::string(300'000, ']') + "}\n";
  auto deepen = [&](const fs::path& file) { std::ofstream(file, std::ios::app) << deep; };
  auto warned_once = [&](const Outcome& result, const fs::path& file, const std::string& what) {
    EXPECT_EQ(result.code, 0) << result.err.substr(0, 1000);
    const std::string warning = fmt::format("{}, line {}", file.string(), what);
    const size_t at = result.err.find(warning);
    ASSERT_NE(at, std::string::npos) << result.err.substr(0, 1000);
    EXPECT_EQ(result.err.find(warning, at + 1), std::string::npos);
  };
  ASSERT_EQ(rowan(train("--steps 4")).code, 0);
  const fs::path metrics = run("run") / "metrics.jsonl", starts = run("run") / "starts.jsonl";
  const auto rows = std::to_string(TrainCommand::rows(run("run")).size() + 1);
  deepen(metrics);
  for (const std::string& command : {std::string("compare "), "report --out " + (dir_ / "page.html").string() + " "})
    warned_once(rowan(command + run("run").string()), metrics, rows + ": found an invalid row; left out\n");
  deepen(starts);
  warned_once(rowan(train("--resume --steps 6")), starts, "2: found an invalid record of a start; left out\n");
  EXPECT_EQ(read_file(starts).find("[[["), std::string::npos);

  write_file_atomically(
      dir_ / "sweep.json",
      Json{{"base", "config.json"}, {"dir", (dir_ / "made").string()}, {"axes", {{"run.steps", {2}}}}}.dump());
  const std::string sweep = "sweep " + (dir_ / "sweep.json").string();
  ASSERT_EQ(rowan(sweep).code, 0);
  fs::path swept;
  for (const auto& entry : fs::recursive_directory_iterator(dir_ / "made"))
    if (entry.path().filename() == "metrics.jsonl") swept = entry.path();
  deepen(swept);
  const Outcome again = rowan(sweep);
  EXPECT_EQ(again.code, 0) << again.err.substr(0, 1000);
  EXPECT_NE(again.err.find(swept.string() + ", line "), std::string::npos) << again.err.substr(0, 1000);

  const std::string tokenize =
      "tokenize --tokenizer bytes --out " + (dir_ / "shards").string() + " " + (dir_ / "text.txt").string();
  write_file_atomically(dir_ / "text.txt", "some text\n");
  fs::create_directory(dir_ / "shards");
  write_file_atomically(dir_ / "shards/manifest.json", deep);
  expect_mistake(tokenize, "shards/manifest.json: damaged: not JSON");
}

}  // namespace
}  // namespace rowan
