// Tests `rowan generate`, `eval`, `export`, `compare`, `inspect` and `bench` from the command line.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <set>

#include "base/files.h"
#include "command.h"
#include "paths.h"
#include "small_run.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class RunTools : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    run_ = dir_ / "run";
    write_small_run(run_, small_llama());
  }
  fs::path run_;
};

TEST_F(RunTools, GeneratesTheSameTextForTheSameSeed) {
  const std::string command = "generate " + run_.string() + " --prompt abc --tokens 40 --device cpu --seed ";
  Outcome first = rowan(command + "1");
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out.substr(0, 3), "abc");
  EXPECT_EQ(rowan(command + "1").out, first.out);
  EXPECT_NE(rowan(command + "2").out, first.out);
  EXPECT_EQ(rowan(command + "1 --temperature 0").out, rowan(command + "2 --top-k 1").out);
}

TEST_F(RunTools, AModelOfDocumentsIsGivenAPrompt) {
  Json config = Json::parse(read_file(run_ / "config.json"));
  config["data"]["reading"] = "documents";
  write_file_atomically(run_ / "config.json", config.dump());
  const std::string command = "generate " + run_.string() + " --tokens 5 --device cpu";
  expect_mistake(command, "--prompt: found no text, expected text to continue, because with data.reading documents");
  EXPECT_EQ(rowan(command + " --prompt abc").out.substr(0, 3), "abc");
}

TEST_F(RunTools, EvaluatesAndExports) {
  Outcome eval = rowan("eval " + run_.string() + " --device cpu");
  EXPECT_EQ(eval.code, 0) << eval.err;
  EXPECT_NE(eval.out.find("targets      100\n"), std::string::npos) << eval.out;
  EXPECT_EQ(rowan("export " + run_.string() + " " + (dir_ / "hf").string()).code, 0);
  expect_mistake("generate " + (dir_ / "hf").string(),
                 "found an exported model, expected a run or one of its checkpoints; to turn it into a run, use rowan "
                 "train with init");
  Outcome part = rowan("eval " + run_.string() + " --device cpu --tokens 32");
  EXPECT_NE(part.out.find("targets      32, in the first 2 of 7 rows of the 101 tokens\n"), std::string::npos)
      << part.out;
  EXPECT_TRUE(fs::exists(dir_ / "hf" / "model.safetensors"));
  EXPECT_TRUE(fs::exists(dir_ / "hf" / "config.json"));
}

TEST_F(RunTools, ComparesRunsBestFirst) {
  auto write = [&](const char* name, const char* lr, const std::string& rows) {
    fs::create_directories(dir_ / name);
    write_file_atomically(dir_ / name / "config.json",
                          fmt::format(R"({{"optimizer": {{"name": "rmnp", "lr": {}}}, "run": {{"steps": 20}}}})", lr));
    write_file_atomically(dir_ / name / "metrics.jsonl", rows);
    return (dir_ / name).string() + " ";
  };
  const std::string worse = write("worse", "0.5",
                                  R"({"step": 20, "loss": 2.5, "tokens": 400, "seconds": 4})"
                                  "\n"
                                  R"({"step": 10, "val_loss": 2.0})"
                                  "\n"
                                  R"({"step": 20, "val_loss": 2.25})"
                                  "\n");
  const std::string better = write("better", "0.25",
                                   R"({"step": 10, "loss": 9, "tokens": 200, "seconds": 2})"
                                   "\n"
                                   R"({"step": 10, "val_loss": 1.5})"
                                   "\n");
  const std::string fresh = write("fresh", "1", "");
  Outcome result = rowan("compare " + fresh + worse + better);
  EXPECT_EQ(result.code, 0) << result.err;
  const size_t first = result.out.find("better"), second = result.out.find("worse"), third = result.out.find("fresh");
  EXPECT_LT(first, second) << result.out;
  EXPECT_LT(second, third) << result.out;
  const std::string row = result.out.substr(second, result.out.find('\n', second) - second);
  for (const char* cell :
       {"| rmnp ", "| 0.5 ", "| 20 ", "| 2.5000 ", "| 2.2500 ", "| 9.488 ", "| 2.0000 at 10 ", "| 100 "})
    EXPECT_NE(row.find(cell), std::string::npos) << cell << " in " << row;
  EXPECT_NE(result.out.find("| 10 of 20 "), std::string::npos) << result.out;

  expect_mistake("train " + (dir_ / "better").string(),
                 "better: found a folder, expected a config file; the folder contains ");
  expect_mistake("compare " + (dir_ / "absent").string(), "absent: found no config.json, expected the folder of a run");
  // A line that is no row of metrics is left out, and the table is still printed.
  Outcome torn =
      rowan("compare " + better + write("torn", "1", "{\"step\": 10, \"val_loss\": 3.5}\n{\"loss\":1}\n{\"step\""));
  EXPECT_EQ(torn.code, 0);
  EXPECT_NE(torn.out.find("| 3.5000 "), std::string::npos) << torn.out;
  EXPECT_NE(torn.out.find("better"), std::string::npos) << torn.out;
  EXPECT_EQ(torn.err,
            fmt::format("rowan: {}, line 2: found an invalid row; left out\n", (dir_ / "torn/metrics.jsonl").string()));
}

// eval, generate and export take a run with --step; eval and export also take the folder of a checkpoint.
TEST_F(RunTools, TakesAnyCheckpoint) {
  const fs::path checkpoints = run_ / "checkpoints";
  write_small_run(run_, small_llama(), 5, 3);
  write_small_run(run_, small_llama(), 9, 2);  // other weights, and the lowest loss of the checkpoints that exist
  write_file_atomically(
      run_ / "metrics.jsonl",
      "{\"step\": 1, \"val_loss\": 3.5}\n{\"step\": 2, \"val_loss\": 2.5}\n{\"step\": 3, \"val_loss\": 3}\n"
      "{\"step\": 4, \"val_loss\": 1}\n{\"step\": 5, \"val_loss\": null}\n");
  auto evaluated = [&](const std::string& what) {
    Outcome eval = rowan("eval " + what + " --device cpu");
    EXPECT_EQ(eval.code, 0) << eval.err;
    return eval.out;
  };
  const std::string run = run_.string(), second = evaluated((checkpoints / "step_00000002").string());
  EXPECT_NE(second.find("step_00000002"), std::string::npos) << second;
  EXPECT_EQ(evaluated(run + " --step 2"), second);
  EXPECT_EQ(evaluated(run + " --step best"), second);
  const std::string note =
      "using step_00000002; the lowest loss was at step 4, whose checkpoint is not kept; "
      "run.keep_best keeps it\n";
  EXPECT_NE(rowan("eval " + run + " --device cpu --step best").err.find(note), std::string::npos);
  EXPECT_NE(evaluated(run + " --step newest"), second);
  EXPECT_EQ(evaluated(run + " --step newest"), evaluated(run));
  const std::string text = rowan("generate " + run + " --step 2 --tokens 20 --device cpu").out;
  EXPECT_EQ(rowan("generate " + run + " --step best --tokens 20 --device cpu").out, text);
  EXPECT_NE(rowan("generate " + run + " --tokens 20 --device cpu").out, text);
  ASSERT_EQ(rowan("export " + run + " " + (dir_ / "best").string() + " --step best").code, 0);
  ASSERT_EQ(rowan("export " + (checkpoints / "step_00000002").string() + " " + (dir_ / "second").string()).code, 0);
  EXPECT_EQ(read_file(dir_ / "best/model.safetensors"), read_file(dir_ / "second/model.safetensors"));
  const std::string rows = read_file(run_ / "metrics.jsonl");
  write_file_atomically(run_ / "metrics.jsonl", rows.substr(0, rows.find("{\"step\": 4")));
  EXPECT_EQ(rowan("eval " + run + " --device cpu --step best").err.find(note), std::string::npos);
  const Outcome inspected = rowan("inspect " + run + " --step best");
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_EQ(inspected.out.find("WRONG"), std::string::npos) << inspected.out;

  // Other names of the same checkpoint.
  const fs::path folder = checkpoints / "step_00000002";
  const std::string card = read_file(dir_ / "second/README.md");
  for (const std::string& name :
       {folder.string() + "/", folder.string() + "/.", folder.string() + "/../step_00000002/"})
    EXPECT_EQ(evaluated(name), second) << name;
  for (const auto& [where, name] :
       {std::pair(folder, "."), std::pair(folder, "./"), std::pair(checkpoints, "step_00000002"),
        std::pair(checkpoints, "step_00000002/"), std::pair(run_, "checkpoints/step_00000002")}) {
    const std::string out = (dir_ / "named").string(), there = "cd " + where.string() + " && " + rowan_command() + " ";
    const Outcome exported = shell(there + "export " + name + " " + out);
    ASSERT_EQ(exported.code, 0) << where << name << exported.err;
    EXPECT_NE(exported.err.find("step_00000002 of "), std::string::npos) << exported.err;
    EXPECT_EQ(read_file(dir_ / "named/README.md"), card) << where << name;
    EXPECT_EQ(shell(there + "eval " + name + " --device cpu").out, second) << where << name;
    fs::remove_all(out);
  }

  for (const char* command : {"eval ", "generate "}) {
    expect_mistake(command + run + " --step 7", "the checkpoints are of steps 3 2 1");
    expect_mistake(command + run + " --step bset", ": step: found 'bset', expected a step, best or newest");
  }
  expect_mistake("eval " + (checkpoints / "step_00000002").string() + " --step 1",
                 "--step 1: found a checkpoint, expected a run");
  fs::remove(run_ / "metrics.jsonl");
  expect_mistake("eval " + run + " --step best", "found no evaluated checkpoint");
  const fs::path weights = checkpoints / "step_00000002/model.safetensors";
  std::string bytes = read_file(weights);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomically(weights, bytes);
  expect_mistake("eval " + run + " --step 2", "step_00000002/model.safetensors: damaged");
}

TEST_F(RunTools, MistakesAreOneLine) {
  expect_mistake("eval " + (dir_ / "absent").string(), "absent: found no config.json, expected the folder of a run");
  expect_mistake("generate 'Once upon'",
                 "Once upon: found no such folder, expected a run; the text to continue is given");
  expect_mistake("generate " + run_.string() + " 'Once upon'", "Once upon; the text to continue is given by --prompt");
  expect_mistake("generate " + run_.string() + " --promt Once", "; did you mean --prompt?");
  for (const char* temperature : {"-1", "nan", "inf", "1e9"})
    expect_mistake("generate " + run_.string() + " --temperature " + temperature,
                   fmt::format("--temperature: found {}, expected 0 to 100", temperature));
  for (const char* seed : {"18446744073709551616", "-1"})
    expect_mistake("generate " + run_.string() + " --seed " + seed,
                   fmt::format("--seed: found {}, expected 0 to 18446744073709551615", seed));
  expect_mistake("generate " + run_.string() + " --seed one", "--seed: found 'one', expected an integer");
  expect_mistake("generate " + run_.string() + " --tokens 010", "--tokens: found '010', expected an integer");
  expect_mistake("bench loader --sequences 4611686018427387904 --sequence-length 4",
                 "--sequences: found 4611686018427387904");
  expect_mistake("bench loader --sequences 1048577 --sequence-length 2048",
                 "--sequences: found 1048577 of 2048 tokens, expected at most 1048576");
  expect_mistake("bench loader --seconds nan", "--seconds: found nan, expected 0.001 to 1000000");
  expect_mistake("eval " + run_.string() + " --data " + (dir_ / "none*.bin").string(), "none*.bin: no such file");
  expect_mistake("eval " + run_.string() + " --task spelling x", "hellaswag");
  expect_mistake("export " + run_.string() + " /proc/nowhere", "/proc/nowhere");
  for (const fs::path& precious : {run_, run_ / "checkpoints/step_00000001"})
    expect_mistake("export " + run_.string() + " " + precious.string(),
                   precious == run_ ? "found a run with its checkpoints" : "found a checkpoint with its state.json");

  Json other = small_llama();
  other["intermediate_size"] = 32;
  Json config = Json::parse(read_file(run_ / "config.json"));
  config["model"] = other;
  write_file_atomically(run_ / "config.json", config.dump());
  expect_mistake("export " + run_.string() + " " + (dir_ / "hf").string(), "weights of another model");
}

TEST_F(RunTools, DamagedCheckpointIsNamed) {
  const fs::path weights = run_ / "checkpoints" / "step_00000001" / "model.safetensors";
  std::string bytes = read_file(weights);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomically(weights, bytes);
  Outcome result = rowan("generate " + run_.string());
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find(weights.string() + ": damaged: wrong checksum of tensor '"), std::string::npos)
      << result.err;
}

TEST_F(RunTools, BenchesWriteTheirFiguresAsJson) {
  const std::string model = quoted(source_path("configs/models/gpt2_tiny.json")), file = (dir_ / "bench.json").string();
  const std::string step = " --device cpu --threads 1 --batch 1 --seq 8 --model " + model + " --json " + file;
  Outcome kernels = rowan("bench kernels --repeats 1 --recipe adamw nora namo-d" + step);
  ASSERT_EQ(kernels.code, 0) << kernels.err;
  std::set<std::string> operations;
  std::map<std::string, double> counted;
  const Json measured = Json::parse(read_file(file));
  EXPECT_TRUE(measured["complete"]);
  for (const Json& row : measured["rows"]) {
    operations.insert(row["operation"]);
    const double bytes = row["bytes"].get<double>() / row["copy_bytes_per_second"].get<double>(),
                 products = row["flops"].get<double>() / row["product_flops_per_second"].get<double>(),
                 exponentials = row["exponentials"].get<double>() / row["exponentials_per_second"].get<double>(),
                 bound = std::max(bytes, products + exponentials);
    EXPECT_GT(row["of_bound"], 0) << row;
    EXPECT_NEAR(row["of_bound"].get<double>() / (bound / row["seconds"].get<double>()), 1, 1e-9) << row;
    EXPECT_EQ(row["bound_by"], bound == bytes ? "copy" : products > exponentials ? "products" : "exponentials") << row;
    counted[row["operation"]] = row["exponentials"];
  }
  EXPECT_EQ(counted["attention_backward"], 4 * 36) << "4 heads, 8 tokens";
  EXPECT_EQ(counted["cross_entropy"], 8 * 257) << "8 tokens";
  EXPECT_EQ(counted["linear_forward"], 0);
  for (const char* operation : {"embedding_backward", "norm_forward", "attention_backward", "linear_backward_weight",
                                "cross_entropy", "adamw", "normalized_step row, project", "adaptive_factors"})
    EXPECT_TRUE(operations.contains(operation)) << operation << " is missing in\n" << kernels.out;

  Outcome one = rowan("bench step --steps 1 --optimizer rmnp" + step);
  ASSERT_EQ(one.code, 0) << one.err;
  const Json figures = Json::parse(read_file(file));
  EXPECT_GT(figures["mfu_full"], figures["mfu_causal"]);
  EXPECT_EQ(figures["optimizer"], "rmnp");
  expect_mistake("bench step --optimizer rmpn" + step, "did you mean 'rmnp'");
  expect_mistake("bench gemm --json " + (dir_ / "absent" / "x.json").string(),
                 "found no folder " + (dir_ / "absent").string());
}

// A kill in the middle leaves the rows that were measured.
TEST_F(RunTools, BenchesWriteEachRow) {
  const fs::path file = dir_ / "bench.json";
  const std::string model = " --device cpu --threads 1 --model " +
                            quoted(source_path("configs/models/gpt2_tiny.json")) + " --json " + file.string();
  for (const std::string bench : {"kernels --repeats 5 --batch 1 --seq 8", "optimizer --steps 500"}) {
    const pid_t child = start("bench " + bench + model);
    until(child, [&] { return fs::exists(file); });
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << bench << " ended before the kill\n" << log();
    const Json left = Json::parse(read_file(file));
    EXPECT_FALSE(left["complete"]) << bench;
    ASSERT_FALSE(left["rows"].empty()) << bench;
    EXPECT_GT(left["rows"][0]["seconds"], 0) << bench;
    fs::remove(file);
  }
}

}  // namespace
}  // namespace rowan
