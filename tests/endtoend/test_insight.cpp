// Tests the learning rates, times, norms and telemetry in the rows of a run, and the trace of a run. Also tests parts
// of what `rowan plan` prints, and that lines fit a terminal.
#include <pty.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <map>

#include "base/console.h"
#include "paths.h"
#include "trace_format.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Insight : public TrainCommand {
 protected:
  std::vector<Json> all_rows(const std::string& name) {
    std::vector<Json> result;
    std::istringstream lines(read_file(run(name) / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) result.push_back(Json::parse(line));
    return result;
  }

  // What the program prints on a terminal of this many columns.
  static std::string on_terminal(const std::string& arguments, unsigned short columns) {
    const winsize size = {40, columns, 0, 0};
    int terminal = -1;
    const pid_t child = ::forkpty(&terminal, nullptr, nullptr, &size);
    if (child == 0) {
      ::execl("/bin/sh", "sh", "-c", (rowan_command() + " " + arguments).c_str(), nullptr);
      ::_exit(127);
    }
    std::string text;
    char part[4096];
    for (ssize_t n; (n = ::read(terminal, part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(n));
    ::close(terminal);
    EXPECT_EQ(code_of(child), 0) << text;
    return text;
  }

  // The lines as they appeared on the terminal, including rewritten lines.
  static std::vector<std::string> lines_of(std::string text) {
    for (const char* erase : {"\x1b[K", "\r\n", "\r"})
      for (size_t at; (at = text.find(erase)) != std::string::npos;)
        text.replace(at, std::string(erase).size(), *erase == '\r' ? "\n" : "");
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
};

TEST_F(Insight, RowsHaveRatesTimesAndNorms) {
  ASSERT_EQ(
      rowan(train("--set run.norms_every=6 --set optimizer.telemetry_every=6 --set optimizer.adamw.lr_ratio=0.1")).code,
      0);
  std::vector<int64_t> with_norms, with_figures;
  double gradient = 0, logged = 0;
  for (const Json& row : all_rows("run")) {
    if (row.contains("loss")) {
      EXPECT_EQ(row["lr/matrices"], row["lr"]);
      EXPECT_DOUBLE_EQ(row["lr/vectors"], 0.1 * row["lr"].get<double>());
      for (const char* phase : {"data", "forward", "head", "backward", "messages", "optimizer"})
        EXPECT_GE(row.at(std::string("time/") + phase).get<double>(), 0) << phase;
      if (row["step"] == 6) logged = row["grad_norm"];
    }
    if (row.contains("optimizer/mean/row_norm")) with_figures.push_back(row["step"]);
    if (!row.contains("norm/weights/head")) continue;
    with_norms.push_back(row["step"]);
    if (row["step"] != 6) continue;
    for (const auto& [key, value] : row.items())
      if (key.starts_with("norm/gradients/")) gradient += value.get<double>() * value.get<double>();
    EXPECT_GT(row["norm/updates/layer_0"], 0.0);
    EXPECT_LT(row["norm/updates/layer_0"], row["norm/weights/layer_0"]);
    EXPECT_FALSE(row.contains("val_loss"));
  }
  EXPECT_EQ(with_norms, (std::vector<int64_t>{1, 6, 12}));
  EXPECT_EQ(with_figures, with_norms);
  EXPECT_NEAR(std::sqrt(gradient), logged, 1e-5 * logged) << "the gradient norms of all layers must give grad_norm";
  // A continued run does not mistake rows of norms for evaluations.
  ASSERT_EQ(
      rowan(train("--resume --set run.steps=13 --set run.keep_best=true --set optimizer.adamw.lr_ratio=0.1")).code, 0);
  EXPECT_EQ(all_rows("run").back()["step"], 13);
}

#ifdef ROWAN_MPI
// So many ranks cut every matrix, and the telemetry is that of rank 0.
TEST_F(Insight, TelemetryThatRank0DoesNotHaveIsNamed) {
  const auto said = [&](int ranks, const std::string& optimizer) {
    const Outcome result = shell(
        fmt::format("{} -n {} {} {}", mpirun(), ranks, rowan_command(),
                    train("--steps 1 --set model.num_hidden_layers=1 --set batch.sequences=12 --set "
                          "batch.micro_batch=1 --set shard=optimizer --set threads=1 --set optimizer.telemetry_every=1 "
                          "--set optimizer.name=" +
                          optimizer + into(fmt::format("{}{}", optimizer, ranks)))));
    EXPECT_EQ(result.code, 0) << result.err;
    const size_t at = result.err.find("optimizer.telemetry_every: ");
    return at == std::string::npos ? "" : result.err.substr(at + 27, result.err.find(';', at) - at - 27);
  };
  EXPECT_EQ(said(1, "rmnp"), "");
  EXPECT_EQ(said(12, "rmnp"), "telemetry is of whole matrices, and rank 0 updates none");
  EXPECT_EQ(said(1, "adamw"), "adamw has no telemetry");
}
#endif

TEST_F(Insight, SecondsAndRatesAgreeAndLeaveOutPauses) {
  write_small_shard(dir_ / "validation.bin", 100'001);  // an evaluation takes much longer than a step
  const std::string command = train("--set run.eval_every=1 --set run.eval_tokens=0");
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(rowan(command).code, 0);
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - begin;
  double last = 0, paused = 0;
  // Each row's tokens and rate give the seconds since the row before it.
  auto check = [&](int64_t step, double seconds) {
    int64_t tokens = step * 64;
    for (const Json& row : all_rows("run")) {
      if (!row.contains("loss") || row["step"] <= step) continue;
      seconds += (row["tokens"].get<double>() - static_cast<double>(tokens)) / row["tokens_per_second"].get<double>();
      EXPECT_NEAR(row["seconds"].get<double>(), seconds, 1e-6) << row;
      tokens = row["tokens"], last = row["seconds"];
      paused += row.value("time/evaluation", 0.0) + row.value("time/checkpoint", 0.0);
    }
    EXPECT_EQ(tokens, 12 * 64);
  };
  check(0, 0);
  EXPECT_GT(paused, 0);
  EXPECT_LT(last + paused / 2, whole.count());  // half, because a phase may last a little longer than its pause

  // After a resume, the seconds go on from those of the checkpoint.
  const fs::path checkpoints = run("run") / "checkpoints";
  fs::remove_all(checkpoints / "step_00000012");
  const Json state = Json::parse(read_file(checkpoints / "step_00000008/state.json"));
  ASSERT_EQ(rowan(command).code, 0);
  EXPECT_GT(state["seconds"], 0);
  check(8, state["seconds"]);
}

TEST_F(Insight, TheEstimateOfTheTimeLeftIsThatOfTheFirstSteps) {
  Json json = config();
  json["data"].erase("validation");
  write_config(json);
  const pid_t child = start(train("--set run.steps=100000000 --set run.checkpoint_every=0"));
  const std::string marks[] = {"about ", " left for 99999994 steps"};
  std::string text;
  until(child, [&] { return fs::exists(dir_ / "log") && (text = log()).find(marks[1]) != std::string::npos; });
  ::kill(child, SIGTERM);
  EXPECT_EQ(code_of(child), 143) << log();
  text.resize(text.find(marks[1]));
  text = text.substr(text.rfind(marks[0]) + marks[0].size());
  // The estimate, such as "7h 05m", is rounded down to its last unit.
  const std::map<char, double> units = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
  double estimate = 0, unit = 0;
  std::istringstream parts(text);
  for (auto [count, name] = std::pair(0, ' '); parts >> count >> name; estimate += count * unit) unit = units.at(name);
  // The program takes the seconds of steps 2 to 6. The rows of steps 1, 5 and 6 bound them.
  const std::vector<Json> all = all_rows("run");
  auto seconds = [&](size_t step) { return all.at(step - 1).at("seconds").get<double>(); };
  const double left = 99999994;
  EXPECT_GE(estimate + unit + 1, left * (seconds(5) - seconds(1)) / 5) << text;
  EXPECT_LE(estimate - 1, left * seconds(6) / 5) << text;
}

TEST_F(Insight, ARecipeWithoutFiguresSaysSo) {
  const Outcome result = rowan(train("--set optimizer.name=adamw --set optimizer.telemetry_every=6"));
  EXPECT_NE(result.err.find("adamw has no telemetry"), std::string::npos) << result.err;
}

// In the trace, operations are nested in phases, and phases in steps.
TEST_F(Insight, AProfileIsATraceOfNestedOperations) {
  const std::string file = (dir_ / "trace.json").string();
  ASSERT_EQ(rowan(train("--steps 3 --profile " + file)).code, 0);
  const Json trace = Json::parse(read_file(file));
  auto inside = expect_trace(trace);
  size_t operations = 0, steps = 0;
  for (const Json& event : trace.at("traceEvents")) {
    operations += event.value("cat", "") == "operation";
    steps += event["name"].get<std::string>().starts_with("step ");
  }
  EXPECT_EQ(steps, 3u);
  EXPECT_GT(operations, 100u);
  EXPECT_TRUE(inside["attention_forward"].contains("layer 0"));
  EXPECT_TRUE(inside["layer 0"].contains("backward"));
  EXPECT_TRUE(inside["adamw"].contains("optimizer"));
  EXPECT_TRUE(inside["forward"].contains("step 2"));
  std::filesystem::remove(file);
  const Outcome again = rowan(train("--steps 3 --profile " + file));
  EXPECT_NE(again.err.find("no trace was written"), std::string::npos) << again.err;
  EXPECT_FALSE(std::filesystem::exists(file));
  expect_mistake(train(into("other") + " --profile " + (dir_ / "no/trace.json").string()), "--profile");
  const std::string locked = (dir_ / "locked.json").string();
  std::filesystem::create_directories(locked + ".part/full");
  expect_mistake(train(into("other") + " --profile " + locked), "cannot create " + locked + ".part");
  EXPECT_FALSE(std::filesystem::exists(run("other")));
}

// A stop comes after the step that it meets, because a step has one micro-batch here.
TEST_F(Insight, AProfileCountsTheStepThatWasStopped) {
  const std::string trace = (dir_ / "trace.json").string();
  const pid_t child =
      start(train("--set run.steps=100000000 --set batch.sequences=2048 --set batch.micro_batch=2048 "
                  "--profile " +
                  trace));
  const fs::path metrics = run("run") / "metrics.jsonl";
  until(child, [&] { return fs::exists(metrics) && fs::file_size(metrics) > 0; });
  kill(child, SIGTERM);
  EXPECT_EQ(code_of(child), 143) << log();
  const std::string said = "stopped after step ", text = log();
  const size_t at = text.find(said);
  ASSERT_NE(at, std::string::npos) << text;
  const int64_t steps = std::min<int64_t>(std::stoll(text.substr(at + said.size())), 20);
  EXPECT_NE(text.find(fmt::format("a trace of {} steps", steps)), std::string::npos) << text;
}

TEST_F(Insight, PlanSaysDiskTimeAndMicroBatch) {
  const Outcome plan = rowan("plan " + file().string() + " --memory 1 --device h100");
  ASSERT_EQ(plan.code, 0) << plan.err;
  EXPECT_NE(plan.out.find("\nmicro-batch  4, all sequences of a rank, fit: "), std::string::npos) << plan.out;
  EXPECT_NE(plan.out.find("\n  a step           "), std::string::npos) << plan.out;
  EXPECT_NE(plan.out.find("with the 3 that are kept"), std::string::npos) << plan.out;
  // 12144 weights of 4 bytes each, and the optimizer state.
  EXPECT_NE(plan.out.find("\ndisk         127 KiB a checkpoint"), std::string::npos) << plan.out;
  // Each average of the weights adds 47.4 KiB, also to a checkpoint of bf16 weights.
  const std::string averages = " --set average.ema=0.9 --set average.tail=4";
  EXPECT_NE(rowan("plan " + file().string() + averages).out.find("\ndisk         222 KiB a checkpoint"),
            std::string::npos);
  EXPECT_NE(rowan("plan " + file().string() + " --memory 0.0001").out.find("none fits into"), std::string::npos);
  expect_mistake("plan " + file().string() + " --device h1", "h100");
}

TEST_F(Insight, LinesFitATerminal) {
  for (const unsigned short columns : {80, 120}) {
    const std::string name = "terminal_" + std::to_string(columns);
    const std::string shown = on_terminal(train(into(name) + " --set run.eval_every=6"), columns);
    size_t rows = 0, evaluations = 0;
    for (const std::string& line : lines_of(shown)) {
      EXPECT_LE(columns_of(line), columns) << line;
      rows += line.starts_with("step ") && line.find("loss") != std::string::npos;
      evaluations += line.find("evaluating") != std::string::npos;
      EXPECT_TRUE(!line.starts_with("step 3/12") || line.find("ETA") != std::string::npos) << line;
    }
    EXPECT_GE(rows, 14u);
    EXPECT_GE(evaluations, 2u);
    // Lines of the log are not shortened.
    EXPECT_NE(read_file(run(name) / "log.txt").find("  optimizer    matrices [matrix]: "), std::string::npos);
  }
  const std::string runs = run("terminal_80").string() + " " + run("terminal_120").string();
  for (const unsigned short columns : {80, 120})
    for (const std::string& line : lines_of(on_terminal("compare " + runs, columns)))
      EXPECT_LE(columns_of(line), columns) << line;
}

}  // namespace
}  // namespace rowan
