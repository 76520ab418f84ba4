// Tests the ways to continue a run that a table of README.md lists. Also tests configs with the spelling of an earlier
// version.
#include "run/checkpoint.h"
#include "train_command.h"

namespace rowan {
namespace {

class Continuing : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    Json json = config();
    json["schedule"] = {{"name", "linear"}, {"warmup_steps", 2}, {"min_lr_ratio", 0}};
    json["run"]["eval_every"] = 4;
    write_config(json);
    ASSERT_EQ(rowan(train()).code, 0);
    before_ = rows(run("run"));
  }
  // The learning rate of the update that led to `step`.
  double rate(const std::string& name, int64_t step) {
    for (const Json& row : rows(run(name)))
      if (row["step"] == step && row.contains("lr")) return row["lr"];
    ADD_FAILURE() << name << " has no row of step " << step;
    return 0;
  }
  std::vector<Json> before_;
};

TEST_F(Continuing, MoreStepsUnderTheScheduleOverAllOfThem) {
  EXPECT_EQ(rowan(train("--set run.steps=20")).code, 2) << "a change of run.steps needs --resume";
  ASSERT_EQ(rowan(train("--resume --set run.steps=20")).code, 0);
  const std::vector<Json> after = rows(run("run"));
  ASSERT_GT(after.size(), before_.size());
  EXPECT_TRUE(std::equal(before_.begin(), before_.end(), after.begin())) << "earlier rows must not change";
  EXPECT_DOUBLE_EQ(rate("run", 13), 0.01 * (1 - (12.0 - 2) / (20 - 2)));
}

TEST_F(Continuing, AScheduleOfLaterIsNamed) {
  const Outcome late = rowan(train("--resume --set run.steps=20 --set schedule.from_step=15"));
  ASSERT_EQ(late.code, 0) << late.err;
  EXPECT_NE(late.err.find("from_step is 15, and this start begins at step 12"), std::string::npos) << late.err;
}

TEST_F(Continuing, ANewScheduleFromHere) {
  ASSERT_EQ(rowan(train("--resume --set run.steps=20 --set schedule.from_step=12")).code, 0);
  EXPECT_EQ(rate("run", 13), 0) << "the continued run must warm up again";
  EXPECT_DOUBLE_EQ(rate("run", 14), 0.005);
  EXPECT_DOUBLE_EQ(rate("run", 15), 0.01);
  EXPECT_DOUBLE_EQ(rate("run", 18), 0.005);
}

TEST_F(Continuing, BackToACheckpoint) {
  ASSERT_EQ(rowan(train("--from 4 --set optimizer.lr=0.02")).code, 0);
  EXPECT_DOUBLE_EQ(rate("run", 5), 2 * 0.01 * (1 - (4.0 - 2) / (12 - 2)));
  const std::string said = "optimizer.lr 0.01, from step 4 on 0.02", folder = run("run").string();
  const std::string compared = rowan("compare " + folder).out;
  EXPECT_NE(compared.find("run was continued under another config: "), std::string::npos) << compared;
  EXPECT_NE(compared.find(said), std::string::npos) << compared;
  const Outcome csv = rowan("compare " + folder + " --format csv");
  EXPECT_EQ(csv.out.find(said), std::string::npos) << csv.out;
  EXPECT_NE(csv.err.find(said), std::string::npos) << csv.err;
  ASSERT_EQ(rowan("report " + folder + " --out " + run("page.html").string()).code, 0);
  EXPECT_NE(read_file(run("page.html")).find(said), std::string::npos);
  ASSERT_EQ(rowan("export " + folder + " " + run("hf").string()).code, 0);
  EXPECT_NE(read_file(run("hf") / "README.md").find("| changed on the way | " + said + " |"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(run("run") / "earlier-1" / "metrics.jsonl"));
  EXPECT_TRUE(std::filesystem::exists(run("run") / "earlier-1" / "step_00000012"));
}

TEST_F(Continuing, WeightsOnly) {
  for (const std::string from : {"", "@best", "@8"}) {
    const std::string name = "weights" + from;
    Json json = config();
    json["init"] = run("run").string() + from;
    json["run"]["dir"] = run(name).string();
    json["run"]["steps"] = 2;
    write_config(json);
    const Outcome result = rowan(train());
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(rate(name, 1), 0) << "the new run must warm up";
    EXPECT_EQ(rows(run(name))[0]["tokens"], 64) << "the new run must begin with sample 0";
    EXPECT_LT(rows(run(name))[0]["loss"], 0.99 * before_[0]["loss"].get<double>())
        << "the new run must not begin with random weights";
  }
}

// Initial weights are not read when a run continues, so its record must not name others.
TEST_F(Continuing, TheRecordOfTheInitialWeightsStays) {
  const Outcome other = rowan(train("--resume --steps 16 --set init=/other"));
  EXPECT_EQ(other.code, 0) << other.err;
  EXPECT_NE(other.err.find("init: found \"/other\", which is not read"), std::string::npos) << other.err;
  EXPECT_EQ(Json::parse(read_file(run("run") / "config.json"))["init"], "");
  EXPECT_EQ(read_file(run("run") / "starts.jsonl").find("/other\","), std::string::npos);
  ASSERT_EQ(rowan(train("--steps 16")).code, 0);
}

// The advice of a refusal must work.
TEST_F(Continuing, WhatHasToStayIsRefusedWithAndWithoutResume) {
  const std::string config = read_file(run("run") / "config.json");
  for (const auto& [change, said] :
       {std::pair("model.qk_norm=rms", "qk_norm: none there, rms here"),
        std::pair("model.logit_softcap=1", "logit_softcap: 0 there, 1 here"),
        std::pair("model.rope_theta=500", "rope_theta: 10000 there, 500 here"),
        std::pair("model.num_attention_heads=2", "the number of heads: 4 there, 2 here"),
        std::pair("model.intermediate_size=32", "model.intermediate_size: 24 there, 32 here"),
        std::pair("model.num_hidden_layers=3", "model.num_hidden_layers: 2 there, 3 here"),
        std::pair("batch.sequences=8", "batch.sequences: 4 there, 8 here"),
        std::pair("batch.sequence_length=8", "batch.sequence_length: 16 there, 8 here"),
        std::pair("run.seed=7", "run.seed: 42 there, 7 here"),
        std::pair("data.order=sequential", "data.order: \"shuffled\" there, \"sequential\" here")})
    for (const char* how : {"", "--resume --steps 20 ", "--from 4 "})
      expect_mistake(train(std::string(how) + "--set " + change),
                     fmt::format("holds a run with another config ({}), and this has to stay", said));
  const std::string advice = "--resume to continue the run with the new config";
  expect_mistake(train("--steps 16 --set optimizer.lr=1"), advice + ", or --from STEP");
  expect_mistake(train("--steps 16 --set optimizer.name=adamw"),
                 advice + " if its optimizer has the same state, or --from STEP");
  expect_mistake(train("--steps 16 --set data.train=" + (dir_ / "validation.bin").string()),
                 advice + " if its shards are the same, or --from STEP");
  EXPECT_EQ(read_file(run("run") / "config.json"), config);
  const Outcome dropout = rowan(train("--resume --steps 16 --set model.attention_dropout=0.1"));
  EXPECT_EQ(dropout.code, 0) << dropout.err;
}

class FinishedRun : public Continuing {
 protected:
  std::string kept() { return read_file(run("run") / "config.json") + read_file(run("run") / "starts.jsonl"); }
};

// config.json says with what the run was trained, so a start that takes no step leaves it as it is.
TEST_F(FinishedRun, AStartWithoutAStepLeavesItsConfig) {
  const std::string before = kept();
  for (const char* how : {"--resume ", "--from 12 "})
    expect_mistake(train(std::string(how) + "--set optimizer.lr=0.5"),
                   "the run is done, so no step would be taken with the new config (first difference at optimizer.lr: "
                   "0.01 there, 0.5 here); choose more run.steps");
  expect_mistake(train("--set optimizer.lr=0.5"), "--resume and more run.steps to continue the run");
  for (const char* same : {"", "--resume", "--set run.log_every=3 --set threads=1"}) {
    const Outcome again = rowan(train(same));
    EXPECT_EQ(again.code, 0) << again.err;
  }
  EXPECT_EQ(kept(), before);
  EXPECT_EQ(rows(run("run")), before_);
  // A run may end earlier than it was planned to.
  std::filesystem::remove_all(run("run") / "checkpoints/step_00000012");
  ASSERT_EQ(rowan(train("--resume --steps 8")).code, 0);
  EXPECT_EQ(Json::parse(read_file(run("run") / "config.json"))["run"]["steps"], 8);
}

TEST_F(FinishedRun, AStartWithoutAStepRemovesNoCheckpoint) {
  const auto there = [&] { return list_checkpoints(run("run") / "checkpoints").size(); };
  ASSERT_EQ(there(), 3u);
  for (const char* fewer : {"--set run.keep=1", "--resume --set run.keep=2 --set run.keep_every=12"}) {
    ASSERT_EQ(rowan(train(fewer)).code, 0);
    EXPECT_EQ(there(), 3u) << fewer;
  }
  const Outcome more = rowan(train("--resume --steps 16 --set run.keep=1"));
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_NE(
      more.err.find("run.keep was 3 and is now 1: the next save removes the checkpoints that this config does not"),
      std::string::npos)
      << more.err;
  EXPECT_EQ(there(), 1u);
  const Outcome same = rowan(train("--resume --steps 20 --set run.keep=1"));
  EXPECT_EQ(same.err.find("the next save"), std::string::npos) << same.err;
}

// Training shards are compared by the restore. Losses on other validation shards are only not comparable.
TEST_F(FinishedRun, OtherValidationShardsAreNamed) {
  const std::filesystem::path checkpoints = run("run") / "checkpoints";
  const auto repeated = [&] {
    std::filesystem::remove_all(checkpoints / "step_00000012");
    const Outcome result = rowan(train());
    EXPECT_EQ(result.code, 0) << result.err;
    return result.err;
  };
  EXPECT_EQ(repeated().find("warning: data.validation"), std::string::npos);
  write_small_shard(dir_ / "validation.bin", 401);
  for (int repetition = 0; repetition < 2; ++repetition) {
    const std::string said = repeated();
    EXPECT_NE(said.find("warning: data.validation: validation.bin: bytes was 1626 and is now 1826; losses before and "
                        "after step 8 are not of the same text"),
              std::string::npos)
        << said;
  }
  EXPECT_EQ(rowan(train()).err.find("warning: data.validation"), std::string::npos) << "step 12 was of these shards";
}

// The loss beside the config's evaluation keys is what these keys give.
TEST_F(FinishedRun, ItIsEvaluatedAgainUnderOtherKeysOfEvaluation) {
  const auto last = [&] { return rows(run("run")).back(); };
  const Json whole = last();
  ASSERT_EQ(rowan(train("--set run.eval_tokens=32")).code, 0);
  EXPECT_EQ(rows(run("run")).size(), before_.size());
  EXPECT_EQ(last()["step"], 12);
  EXPECT_NE(last()["val_loss"], whole["val_loss"]);
  EXPECT_EQ(Json::parse(read_file(run("run") / "config.json"))["run"]["eval_tokens"], 32);
  const std::string other = (dir_ / "other.bin").string();
  std::filesystem::copy(dir_ / "train.bin", other);
  ASSERT_EQ(rowan(train("--resume --set run.eval_tokens=32 --set data.validation=" + other)).code, 0);
  EXPECT_EQ(Json::parse(read_file(run("run") / "config.json"))["data"]["validation"], other);
  ASSERT_EQ(rowan(train("--resume")).code, 0);
  EXPECT_EQ(last()["val_loss"], whole["val_loss"]);
}

// A lower loss on other text is not a better one.
TEST_F(FinishedRun, TheBestIsOfTheNewestEvaluation) {
  const auto best = [&] {
    const Outcome eval = rowan("eval " + run("run").string() + " --device cpu --step best");
    EXPECT_EQ(eval.code, 0) << eval.err;
    return eval.out.substr(0, eval.out.find('\n'));
  };
  // As if the loss at step 4 had been the lowest of all.
  std::string text = read_file(run("run") / "metrics.jsonl");
  const std::string begin = R"({"step":4,"val_loss":)";
  const size_t at = text.find(begin) + begin.size();
  ASSERT_GT(at, begin.size());
  text.replace(at, text.find_first_of(",}", at) - at, "0.5");
  write_file_atomically(run("run") / "metrics.jsonl", text);
  EXPECT_TRUE(best().ends_with("step_00000004")) << best();
  // Shards that only have another place.
  const std::filesystem::path moved = dir_ / "moved" / "validation.bin", other = dir_ / "other.bin";
  std::filesystem::create_directories(moved.parent_path());
  std::filesystem::copy(dir_ / "validation.bin", moved);
  ASSERT_EQ(rowan(train("--resume --set data.validation=" + moved.string())).code, 0);
  EXPECT_TRUE(best().ends_with("step_00000004")) << best();
  // Other shards. The evaluation at step 12 is the first on them.
  std::filesystem::copy(dir_ / "train.bin", other);
  const std::string more = " --set run.keep=1 --set run.keep_best=true --set data.validation=" + other.string();
  ASSERT_EQ(rowan(train("--resume" + more)).code, 0);
  EXPECT_TRUE(best().ends_with("step_00000012")) << best();
  const Outcome later = rowan(train("--resume --steps 20" + more));
  ASSERT_EQ(later.code, 0) << later.err;
  EXPECT_FALSE(std::filesystem::exists(run("run") / "checkpoints/step_00000004")) << "kept as the best";
  EXPECT_EQ(rowan(train("--resume --steps 20 --set run.patience=1" + more)).code, 0);
}

TEST_F(FinishedRun, OtherValidationDataNeedsOnlyAResume) {
  std::filesystem::copy(dir_ / "train.bin", dir_ / "other.bin");
  const std::string other = "--set data.validation=" + (dir_ / "other.bin").string();
  expect_mistake(
      train(other),
      "choose another run.dir, --resume to evaluate the run with the new config, since it is done, or --from");
  const size_t rows_before = before_.size();
  ASSERT_EQ(rowan(train("--resume " + other)).code, 0);
  EXPECT_EQ(rows(run("run")).size(), rows_before) << "no step";
}

// A run that patience ended is evaluated again and takes no step. At this learning rate the loss soon rises.
TEST_F(Continuing, PatienceIsOverAlsoForAnotherEvaluation) {
  const std::string more =
      into("patient") +
      " --set optimizer.lr=0.3 --set 'schedule={\"name\": \"constant\", \"warmup_steps\": 2}' --set run.steps=60 --set "
      "run.eval_every=2 --set run.patience=4 ";
  const Outcome ended = rowan(train(more));
  ASSERT_EQ(ended.code, 0) << ended.err;
  ASSERT_NE(ended.err.find("no better validation loss"), std::string::npos) << ended.err;
  const int64_t last = rows(run("patient")).back()["step"];
  const Outcome again = rowan(train("--resume --set run.eval_tokens=32 " + more));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.err.find(fmt::format("the run had ended after step {}, by run.patience", last)), std::string::npos)
      << again.err;
  EXPECT_EQ(rows(run("patient")).back()["step"], last);
  EXPECT_EQ(rows(run("patient")).back()["ended"], "patience");
}

// What changes the order of sums, and so the last bits, is named by the resume.
TEST_F(Continuing, AnotherPlaceIsNamed) {
  const std::filesystem::path checkpoints = run("run") / "checkpoints", eighth = checkpoints / "step_00000008";
  // Repeats steps 9 to 12. Returns the notes about the place.
  const auto notes = [&](const std::string& more, const std::string& environment = "") {
    std::filesystem::remove_all(checkpoints / "step_00000012");
    const Outcome result = shell(environment + " " + rowan_command() + " " + train(more));
    EXPECT_EQ(result.code, 0) << result.err;
    std::string found;
    std::istringstream lines(result.err);
    for (std::string line; std::getline(lines, line);)
      if (line.find("sums may be taken in another order") != std::string::npos) found += line + "\n";
    return found;
  };
  EXPECT_EQ(notes(""), "");
  const std::string threads = notes("--set threads=3");
  EXPECT_TRUE(threads.starts_with("device was ")) << threads;
  EXPECT_NE(threads.find(", 3 threads, "), std::string::npos) << threads;
#ifdef __x86_64__
  const std::string level = notes("", "ROWAN_ISA=v2");
  EXPECT_TRUE(level.starts_with("device was ")) << level;
  EXPECT_NE(level.find("and is now "), std::string::npos) << level;
#endif
  EXPECT_TRUE(notes("--set batch.micro_batch=4").starts_with("micro_batch was 2 and is now 4: "));
  EXPECT_TRUE(notes("--set batch.micro_batch=0").starts_with("micro_batch was 2 and is now 4: "));

  // The checkpoint of another version of the program.
  Json state = Json::parse(read_file(eighth / "state.json")),
       manifest = Json::parse(read_file(eighth / "manifest.json"));
  const std::string here = state.at("program").dump();
  state["program"] = "0.1.9";
  const std::string text = state.dump();
  manifest["files"]["state.json"] = {{"bytes", text.size()}, {"xxh64", fmt::format("{:016x}", hash64(text))}};
  write_file_atomically(eighth / "state.json", text);
  write_file_atomically(eighth / "manifest.json", manifest.dump());
  EXPECT_TRUE(notes("").starts_with("program was \"0.1.9\" and is now " + here + ": "));
  // Earlier versions noted less.
  state.erase("program");
  state.erase("micro_batch");
  const std::string older = state.dump();
  manifest["files"]["state.json"] = {{"bytes", older.size()}, {"xxh64", fmt::format("{:016x}", hash64(older))}};
  write_file_atomically(eighth / "state.json", older);
  write_file_atomically(eighth / "manifest.json", manifest.dump());
  EXPECT_EQ(notes(""), "");
}

// An earlier version of Rowan wrote f32 where this version writes fp32.
TEST_F(Continuing, TheSpellingOfAnEarlierVersionIsTheSameConfig) {
  Json json = config();
  json["optimizer"] = {{"name", "soap"}, {"lr", 0.01}, {"state", "fp32"}, {"precondition_state", "fp32"}};
  json["run"].update({{"dir", run("soap").string()}, {"steps", 4}});
  write_config(json);
  ASSERT_EQ(rowan(train()).code, 0);
  const auto written = [&] { return Json::parse(read_file(run("soap") / "config.json")); };
  Json older = written();
  std::string optimizer = older["optimizer"].dump();
  size_t renamed = 0;
  for (size_t at; (at = optimizer.find("\"fp32\"")) != std::string::npos; ++renamed)
    optimizer.replace(at, 6, "\"f32\"");
  EXPECT_GE(renamed, 2U) << optimizer;
  older["optimizer"] = Json::parse(optimizer);
  write_file_atomically(run("soap") / "config.json", older.dump(2));
  const Outcome compared = rowan("compare " + run("soap").string() + " --by optimizer.state --format csv");
  EXPECT_NE(compared.out.find("\nfp32,"), std::string::npos) << compared.out;
  const Outcome same = rowan(train());
  EXPECT_EQ(same.code, 0) << same.err;
  json["optimizer"]["state"] = json["optimizer"]["precondition_state"] = "f32";
  write_config(json);
  const Outcome more = rowan(train("--resume --steps 8"));
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(written()["optimizer"]["state"], "fp32");
  const std::string starts = read_file(run("soap") / "starts.jsonl");
  EXPECT_EQ(starts.find("state\":{\"from"), std::string::npos) << starts;

  const std::string command = "export " + run("soap").string() + " ";
  for (const std::string dtype : {"f32", "fp32"})
    EXPECT_EQ(rowan(command + run("as_" + dtype).string() + " --dtype " + dtype).code, 0);
  EXPECT_EQ(read_file(run("as_f32") / "model.safetensors"), read_file(run("as_fp32") / "model.safetensors"));
  expect_mistake(command + run("as_f16").string() + " --dtype f16", "--dtype: f16 not in {fp32,bf16}");
}

TEST_F(Continuing, OneCheckpointOfMany) {
  for (const std::string step : {"4", "best", "newest"}) {
    EXPECT_EQ(rowan("eval " + run("run").string() + " --device cpu --step " + step).code, 0) << step;
    EXPECT_EQ(rowan("export " + run("run").string() + " " + run("hf_" + step).string() + " --step " + step).code, 0);
  }
}

}  // namespace
}  // namespace rowan
