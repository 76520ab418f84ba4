// Tests runs whose metrics.jsonl or config.json was damaged or removed, between starts or while the run trains.
#include <signal.h>

#include "run/checkpoint.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Damage : public TrainCommand {
 protected:
  fs::path metrics() const { return run("run") / "metrics.jsonl"; }
  fs::path kept_config() const { return run("run") / "config.json"; }
  bool saved(int step) const { return fs::exists(run("run") / fmt::format("checkpoints/step_{:08}", step)); }
};

TEST_F(Damage, FilesRemovedWhileARunTrainsAreWrittenAgain) {
  const pid_t child = start(train("--steps 1000000000 --set run.keep=0"));
  until(child, [&] { return saved(4); });
  fs::remove(metrics());
  fs::remove(kept_config());
  until(child, [&] { return fs::exists(metrics()) && fs::exists(kept_config()); });
  kill(child, SIGTERM);
  EXPECT_EQ(code_of(child), 143) << log();
  EXPECT_NE(log().find("warning: " + metrics().string() + ": was removed or replaced; written again with all rows"),
            std::string::npos)
      << log();
  EXPECT_NE(log().find("warning: " + kept_config().string() + ": was removed; written again"), std::string::npos);
  const std::vector<Json> all = rows(run("run"));
  ASSERT_GT(all.size(), 4u);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i]["step"], i + 1);
  EXPECT_EQ(Json::parse(read_file(kept_config()))["run"]["steps"], 1000000000);
}

// starts.jsonl has the config, too.
TEST_F(Damage, WithoutItsConfigARunStillRefusesAnother) {
  ASSERT_EQ(rowan(train()).code, 0);
  for (const char* damaged : {"", "{}", "{\"model\""}) {
    write_file_atomically(kept_config(), damaged);
    if (!*damaged) fs::remove(kept_config());
    expect_mistake(train("--resume --steps 16 --set model.rope_theta=500"),
                   "another config (rope_theta: 10000 there, 500 here), and this has to stay");
  }
  fs::remove(kept_config());
  ASSERT_EQ(rowan(train("--set threads=1")).code, 0) << "a key that may change";
  fs::remove(kept_config());
  ASSERT_EQ(rowan(train("--resume --steps 16")).code, 0);
  EXPECT_EQ(Json::parse(read_file(kept_config()))["run"]["steps"], 16);

  fs::remove(run("run") / "starts.jsonl");
  fs::remove(kept_config());
  const Outcome unknown = rowan(train("--steps 20"));
  EXPECT_EQ(unknown.code, 0) << unknown.err;
  EXPECT_NE(unknown.err.find("nothing tells whether this config is that of the run"), std::string::npos) << unknown.err;
  write_file_atomically(kept_config(), "{}");
  fs::remove(run("run") / "starts.jsonl");
  expect_mistake(train("--resume --steps 16"), kept_config().string() + ": ");
  EXPECT_EQ(read_file(kept_config()), "{}");
}

TEST_F(Damage, AMetricsFileWithInvalidRowsIsCopiedBeforeTheyAreLeftOut) {
  ASSERT_EQ(rowan(train()).code, 0);
  const std::string whole = read_file(metrics()), damaged = "{\"step\": damaged}\n" + whole;
  write_file_atomically(metrics(), damaged);
  const Outcome finished = rowan(train());
  ASSERT_EQ(finished.code, 0) << finished.err;
  EXPECT_NE(finished.err.find("leaves invalid rows out of metrics.jsonl; the earlier files are now in " +
                              (run("run") / "earlier-1").string()),
            std::string::npos)
      << finished.err;
  EXPECT_EQ(read_file(run("run") / "earlier-1/metrics.jsonl"), damaged);

  write_file_atomically(metrics(), damaged);
  fs::remove_all(run("run") / "checkpoints/step_00000012");
  ASSERT_EQ(rowan(train()).code, 0);
  EXPECT_EQ(read_file(run("run") / "earlier-2/metrics.jsonl"), damaged);
  EXPECT_EQ(rows(run("run")).size(), static_cast<size_t>(std::count(whole.begin(), whole.end(), '\n')));
}

TEST_F(Damage, ACheckpointWithoutOneOfItsFilesIsNoOtherKindOfFolder) {
  write_small_run(run("run"), small_llama());
  const fs::path checkpoint = list_checkpoints(run("run") / "checkpoints").at(0);
  for (const char* name : {"state.json", "manifest.json"}) {
    const fs::path copy = dir_ / fmt::format("without_{}", name);
    fs::copy(checkpoint, copy);
    fs::remove(copy / name);
    const std::string where = (copy / name).string() + ": ";
    expect_mistake("eval " + copy.string(), where);
    expect_mistake("export " + copy.string() + " " + run("hf").string(), where);
    expect_mistake(train("--set init=" + copy.string() + into("new")), where);
    const Outcome inspected = rowan("inspect " + copy.string());
    EXPECT_EQ(inspected.code, 2);
    EXPECT_NE(inspected.out.find("checkpoint"), std::string::npos) << inspected.out;
    EXPECT_NE((inspected.out + inspected.err).find(where), std::string::npos) << inspected.out << inspected.err;
  }
}

}  // namespace
}  // namespace rowan
