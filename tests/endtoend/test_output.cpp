// Tests where output goes, and output that cannot be written. Lost progress must not change a run, but a lost result
// must be an error.
#include "paths.h"
#include "train_command.h"

namespace rowan {
namespace {

class Output : public TrainCommand {
 protected:
  // Runs the command with its output redirected.
  Outcome sent(const std::string& arguments, const std::string& redirection) {
    return shell("sh -c '" + rowan_command() + " " + arguments + " " + redirection + "'");
  }
};

TEST_F(Output, ARunIsTheSameWhereNothingCanBeShown) {
  Outcome shown = rowan(train(into("shown")));
  ASSERT_EQ(shown.code, 0) << shown.err;
  const std::string whole = weights(run("shown"), 12);
  int number = 0;
  for (const char* redirection : {">/dev/full", "2>/dev/full", ">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"}) {
    const std::string name = std::to_string(++number);
    EXPECT_EQ(sent(train(into(name)), redirection).code, 0) << redirection;
    EXPECT_EQ(weights(run(name), 12), whole) << redirection;
    EXPECT_EQ(rows(run(name)), rows(run("shown"))) << redirection;
    EXPECT_NE(read_file(run(name) / "log.txt").find("done: 12 steps"), std::string::npos) << redirection;
  }
  // The reader closes the pipe early.
  shell("sh -c '{ " + rowan_command() + " " + train(into("left")) + " 2>&1; echo $? >" + (dir_ / "code").string() +
        "; } | head -n 1'");
  EXPECT_EQ(read_file(dir_ / "code"), "0\n");
  EXPECT_EQ(weights(run("left"), 12), whole);
}

TEST_F(Output, RowsGoToStdoutNotesToStderrAndBothToTheLog) {
  Outcome shown = rowan(train("--set run.eval_every=6"));
  ASSERT_EQ(shown.code, 0) << shown.err;
  EXPECT_TRUE(shown.out.starts_with("step 1/12  loss ")) << shown.out;
  EXPECT_EQ(std::count(shown.out.begin(), shown.out.end(), '\n'), 14) << "12 rows, 2 validations";
  EXPECT_EQ(shown.err.find("step 1/12"), std::string::npos);
  const std::string log = read_file(run("run") / "log.txt");
  for (const std::string& text : {shown.out, shown.err}) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_NE(log.find(line), std::string::npos) << line;
  }
}

// The default seed of a run is 42, and the sample's temperature is 0.7.
TEST_F(Output, TheSampleIsWhatGenerateContinues) {
  for (const std::string prompt : {"abc", ""}) {
    const std::string name = "run" + prompt;
    const Outcome trained =
        rowan(train("--set run.sample_prompt='\"" + prompt + "\"' --set run.sample_tokens=20" + into(name)));
    ASSERT_EQ(trained.code, 0) << trained.err;
    const Outcome text = rowan("generate " + run(name).string() + " --prompt '" + prompt +
                               "' --tokens 20 --temperature 0.7 --seed 42 --device cpu");
    ASSERT_EQ(text.code, 0) << text.err;
    EXPECT_TRUE(text.out.starts_with(prompt)) << text.out;
    EXPECT_NE(trained.err.find(", by the newest checkpoint:\n" + text.out), std::string::npos)
        << trained.err << "generate: " << text.out;
  }
}

TEST_F(Output, ADamagedEntropyFileEndsNoRun) {
  auto end_of_run = [&](const std::string& entropy) {
    write_file_atomically(dir_ / "entropy.json", entropy);
    const Outcome trained = rowan(train());
    EXPECT_EQ(trained.code, 0) << trained.err;
    return trained.err;
  };
  EXPECT_NE(end_of_run("{").find("warning: no entropy floor: " + (dir_ / "entropy.json").string() + ":1:"),
            std::string::npos);
  EXPECT_NE(end_of_run(R"({"entropy": 1, "shards": {"validation.bin": {"nats_per_token": 1.25}}})")
                .find("entropy of the whole validation text 1.2500"),
            std::string::npos);
}

TEST_F(Output, AResultThatCannotBeWrittenIsAnError) {
  ASSERT_EQ(rowan(train()).code, 0);
  const std::string dir = run("run").string();
  for (const std::string& command :
       {"compare " + dir, "eval " + dir, "plan " + file().string(), std::string("optimizers"),
        "inspect " + (dir_ / "train.bin").string(), "generate " + dir + " --tokens 3", std::string("--help")})
    for (const char* redirection : {">/dev/full", ">&-"}) {
      Outcome result = sent(command, redirection);
      EXPECT_EQ(result.code, 2) << command << redirection;
      EXPECT_NE(result.err.find("cannot write"), std::string::npos) << command << redirection << result.err;
    }
}

TEST_F(Output, TheFileThatCannotBeWrittenIsNamed) {
  EXPECT_EQ(sent("optimizers", ">/dev/full").err,
            "rowan: cannot write to standard output (/dev/full): No space left on device\n");
}

TEST_F(Output, AMistakeThatCannotBeShownIsStillAMistake) {
  for (const char* redirection : {"2>/dev/full", "2>&-"})
    EXPECT_EQ(sent("train /nowhere.json", redirection).code, 2) << redirection;
}

class ClosedPipe : public Output {
 protected:
  // Runs the command with `stream`, 1 or 2, connected to a pipe whose reader has ended.
  Outcome piped(const std::string& arguments, int stream) {
    return shell("bash -c 'cd " + dir_.string() + "; exec 3> >(:); wait $!; exec " + rowan_command() + " " + arguments +
                 " " + std::to_string(stream) + ">&3'");
  }
};

TEST_F(ClosedPipe, NotesThatNobodyReadsEndNoCommand) {
  ASSERT_EQ(rowan(train()).code, 0);
  const Json sweep = {{"base", file().string()}, {"dir", (dir_ / "made").string()}, {"seeds", {1, 2}}};
  write_file_atomically(dir_ / "sweep.json", sweep.dump());
  std::filesystem::create_directories(dir_ / "text");
  std::string text;
  for (int line = 0; line < 2000; ++line) text += fmt::format("Line {} of a text to learn from.\n\n", line);
  write_file_atomically(dir_ / "text/a.txt", text);
  const std::pair<std::string, std::string> commands[] = {
      {"sweep " + (dir_ / "sweep.json").string(), "made/report.html"},
      {"export " + run("run").string() + " " + (dir_ / "exported").string(), "exported/model.safetensors"},
      {"tales --stories 20 --validation-stories 5 --out " + (dir_ / "tales").string(), "tales/entropy.json"},
      {"new llama-2m --text text", "llama-2m.json"}};
  for (const auto& [command, product] : commands) {
    EXPECT_EQ(piped(command, 2).code, 0) << command;
    EXPECT_TRUE(std::filesystem::exists(dir_ / product)) << command;
  }
}

TEST_F(ClosedPipe, ResultsThatNobodyReadsAreAnError) {
  ASSERT_EQ(rowan(train()).code, 0);
  for (const std::string& command :
       {"compare " + run("run").string(), std::string("optimizers"), std::string("--help")}) {
    const Outcome result = piped(command, 1);
    EXPECT_EQ(result.code, 2) << command;
    EXPECT_NE(result.err.find("cannot write"), std::string::npos) << command << result.err;
    EXPECT_NE(result.err.find("Broken pipe"), std::string::npos) << command << result.err;
  }
}

}  // namespace
}  // namespace rowan
