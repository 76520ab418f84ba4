// Tests `rowan train` from the command line. The tests cover the quickstart, evaluations, resuming, stopping, killing,
// skipped updates, micro-batches, recomputation, given weights, damaged files, mistakes, and the plan of a run.
#include <signal.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "base/safetensors.h"
#include "paths.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Train : public TrainCommand {
 protected:
  // Expects that two runs have the same losses and gradient norms, up to rounding errors.
  void expect_same_course(const std::string& one, const std::string& other) {
    const std::vector<Json> a = rows(run(one)), b = rows(run(other));
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      if (a[i].contains("loss")) {
        EXPECT_NEAR(a[i]["loss"].get<double>(), b[i]["loss"].get<double>(), 1e-5) << a[i];
        EXPECT_NEAR(a[i]["grad_norm"].get<double>() / b[i]["grad_norm"].get<double>(), 1, 1e-4) << a[i];
      }
  }
  void expect_bad_config(const std::string& assignment, const std::string& part) {
    expect_mistake(train("--set " + assignment), part);
  }
};

TEST_F(Train, QuickstartAtReducedSizeComesNearTheEntropyFloor) {
  const fs::path tales = dir_ / "tales";
  ASSERT_EQ(rowan("tales --out " + tales.string()).code, 0);
  Outcome result = rowan("train " + quoted(source_path("configs/quickstart.json")) +
                         " --set run.steps=220 --set data.train=" + (tales / "train.bin").string() +
                         " --set data.validation=" + (tales / "validation.bin").string() + " --set run.eval_every=0" +
                         into("quickstart"));
  ASSERT_EQ(result.code, 0) << result.err;
  const Json last = rows(run("quickstart")).back();
  const Json floor = Json::parse(read_file(tales / "entropy.json"))["shards"]["validation.bin"]["nats_per_token"];
  EXPECT_GT(last["val_loss"].get<double>(), floor.get<double>()) << "no honest model beats the entropy";
  EXPECT_LT(last["val_loss"].get<double>(), floor.get<double>() + 0.4);
  EXPECT_NE(result.err.find("entropy of the whole validation text"), std::string::npos);
  EXPECT_TRUE(fs::exists(run("quickstart") / "loss.svg"));
}

TEST_F(Train, EvaluationIsShownKeptAndLeavesTheRunAsItIs) {
  std::string items;
  for (int i = 0; i < 9; ++i)
    items +=
        Json{{"ctx", std::string(1 + i, 'a')}, {"endings", {"b", "cd", "ghi", "e f"}}, {"label", i % 4}}.dump() + "\n";
  const std::string file = (dir_ / "hellaswag.jsonl").string();
  write_file_atomically(file, items);
  ASSERT_EQ(rowan(train("--set run.eval_every=100" + into("plain"))).code, 0);
  Outcome scored = rowan(train("--set run.eval_every=3 --set data.hellaswag=" + file));
  ASSERT_EQ(scored.code, 0) << scored.err;
  EXPECT_EQ(weights(run("run"), 12), weights(run("plain"), 12));

  const Json last = rows(run("run")).back();
  EXPECT_EQ(last["step"], 12);
  EXPECT_GT(last["val_loss"], 0);
  // `rowan eval` prints the same score for the last checkpoint.
  Outcome eval = rowan("eval " + run("run").string() + " --task hellaswag " + file + " --device cpu --micro-batch 2");
  const std::string figures =
      fmt::format("acc_norm {:.4f}  acc {:.4f}  (9 items", last["hellaswag_acc_norm"].get<double>(),
                  last["hellaswag_acc"].get<double>());
  EXPECT_NE(eval.out.find(figures), std::string::npos) << eval.out << eval.err << last;
  EXPECT_NE(scored.out.find("hellaswag_acc_norm"), std::string::npos) << scored.out;
  EXPECT_EQ(scored.err.find("step 3/12"), std::string::npos) << scored.err;
  bool in_events = false;
  for (const auto& entry : fs::directory_iterator(run("run") / "tensorboard"))
    in_events |= read_file(entry.path()).find("validation/hellaswag_acc_norm") != std::string::npos;
  EXPECT_TRUE(in_events);
  // HellaSwag may be switched on when a run continues.
  Outcome resumed = rowan(train("--set run.eval_every=3 --set data.hellaswag=" + file + into("plain")));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(rows(run("plain")).back()["hellaswag_acc_norm"], last["hellaswag_acc_norm"]);

  // Mistakes are reported before anything starts.
  fs::remove_all(run("run"));
  expect_bad_config("data.hellaswag=/nowhere.jsonl", "/nowhere.jsonl");
  expect_mistake(train("--set tokenizer=\"\" --set data.hellaswag=" + file), "needs a tokenizer");
  expect_mistake(train("--set batch.sequence_length=2 --set data.hellaswag=" + file), "hellaswag.jsonl: example 0");
  EXPECT_FALSE(fs::exists(run("run")));
}

TEST_F(Train, TheResolvedConfigRepeatsTheRunBitForBit) {
  ASSERT_EQ(rowan(train("--set optimizer.lr=0.02")).code, 0);
  Outcome again = rowan("train " + (run("run") / "config.json").string() + into("again"));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(weights(run("run"), 12), weights(run("again"), 12));
  EXPECT_EQ(rows(run("run")), rows(run("again")));
}

TEST_F(Train, ResumingEqualsNeverHavingStopped) {
  for (const char* precision : {"fp32", "bf16", "bf16_pure", "bf16_stochastic"}) {
    const std::string set = std::string(" --set precision=") + precision, name = precision;
    Outcome whole = rowan(train(set + into(name)));
    ASSERT_EQ(whole.code, 0) << whole.err;
    // Makes a run whose newest checkpoint is of step 8.
    ASSERT_EQ(rowan(train(set + into(name + "_cut"))).code, 0);
    fs::remove_all(run(name + "_cut") / "checkpoints/step_00000012");
    Outcome resumed = rowan(train(set + into(name + "_cut")));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_NE(resumed.err.find("resumed from"), std::string::npos);
    EXPECT_EQ(weights(run(name), 12), weights(run(name + "_cut"), 12)) << name;
    EXPECT_EQ(rows(run(name)), rows(run(name + "_cut"))) << name;
  }
}

TEST_F(Train, UpdatesThatStandOutAreSkippedAlsoAfterAResume) {
  const std::string more =
      "--set skip.grad_norm_zscore=0.5 --set skip.loss_zscore=3 --set skip.window=3 --set optimizer.lr=0.05";
  Outcome whole = rowan(train(more));
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_NE(whole.err.find("standard deviations above the mean of its last 3 values; update skipped (1 so far)"),
            std::string::npos)
      << whole.err;
  int64_t skipped = 0;
  for (size_t at = 0; (at = whole.err.find("; update skipped", at)) != std::string::npos; ++at) ++skipped;
  const Json state = Json::parse(read_file(run("run") / "checkpoints/step_00000012/state.json"));
  EXPECT_EQ(state["updates"], 12 - skipped);
  int64_t noted = 0;
  for (const Json& row : rows(run("run")))
    if (row.contains("skipped")) {
      ++noted;
      EXPECT_NE(row["skipped"].get<std::string>().find("standard deviations above the mean"), std::string::npos) << row;
    }
  EXPECT_EQ(noted, skipped);
  const Outcome seldom = rowan(train(more + " --set run.log_every=100 --set run.eval_every=0" + into("seldom")));
  const std::vector<Json> logged = rows(run("seldom"));
  EXPECT_EQ(std::count_if(logged.begin(), logged.end(), [](const Json& row) { return row.contains("skipped"); }),
            skipped)
      << seldom.err;
  ASSERT_EQ(rowan(train(more + into("cut"))).code, 0);
  fs::remove_all(run("cut") / "checkpoints/step_00000012");
  ASSERT_EQ(rowan(train(more + into("cut"))).code, 0);
  EXPECT_EQ(weights(run("run"), 12), weights(run("cut"), 12));
  EXPECT_EQ(rows(run("run")), rows(run("cut")));
  EXPECT_NE(read_file(run("cut") / "log.txt").find(fmt::format("({} so far)", skipped)), std::string::npos);
  ASSERT_EQ(rowan(train("--set optimizer.lr=0.05" + into("all"))).code, 0);
  EXPECT_NE(weights(run("run"), 12), weights(run("all"), 12));

  // A step whose update was skipped leaves no checkpoint, except the last step.
  Outcome each = rowan(train(more + " --set run.checkpoint_every=1 --set run.keep=0" + into("each")));
  ASSERT_EQ(each.code, 0) << each.err;
  for (int step = 1; step <= 12; ++step) {
    const bool skipped = each.err.find(fmt::format("step {}: the ", step)) != std::string::npos;
    const std::string name = fmt::format("checkpoints/step_{:08}", step);
    EXPECT_EQ(fs::exists(run("each") / name), !skipped || step == 12) << step << each.err;
  }
}

using LongTrain = Train;

// The shards have different sizes, so the runs stop at different places in shards and epochs.
TEST_F(LongTrain, StoppingAtAnyStepEqualsNeverHavingStopped) {
  const int tokens[] = {70, 33, 1, 129};
  for (int i = 0; i < 4; ++i) write_small_shard(dir_ / fmt::format("uneven-{}.bin", i), tokens[i]);
  const std::string more =
      "--set data.train=" + (dir_ / "uneven-*.bin").string() + " --set data.end_id=5 --set run.keep=0 ";
  for (const char* reading : {"packed", "documents"}) {
    const std::string set = more + "--set run.checkpoint_every=1 --set data.reading=" + reading, name = reading;
    Outcome whole = rowan(train(set + into(name)));
    ASSERT_EQ(whole.code, 0) << whole.err;
    for (int step = 1; step < 12; ++step) {
      const fs::path cut = run(name + "_cut");
      fs::remove_all(cut);
      fs::copy(run(name), cut, fs::copy_options::recursive);
      for (int later = step + 1; later <= 12; ++later)
        fs::remove_all(cut / fmt::format("checkpoints/step_{:08}", later));
      ASSERT_EQ(rowan(train(set + into(name + "_cut"))).code, 0);
      EXPECT_EQ(weights(run(name), 12), weights(cut, 12)) << reading << ", stopped after step " << step;
      EXPECT_EQ(rows(run(name)), rows(cut)) << reading << ", stopped after step " << step;
    }
  }
  // `tokens` counts all positions. With documents, `unpadded_tokens` counts the positions without padding.
  const Json packed = rows(run("packed")).front(), documents = rows(run("documents")).front();
  EXPECT_EQ(packed["tokens"], 64);
  EXPECT_FALSE(packed.contains("unpadded_tokens"));
  EXPECT_EQ(documents["tokens"], 64);
  EXPECT_EQ(documents["unpadded_tokens"], 64) << "every document is longer than a row";
}

TEST_F(Train, MicroBatchesAndRecomputationDoNotChangeTheRun) {
  ASSERT_EQ(rowan(train()).code, 0);
  ASSERT_EQ(rowan(train("--set recompute=block" + into("recompute"))).code, 0);
  ASSERT_EQ(rowan(train("--set batch.micro_batch=4" + into("whole"))).code, 0);
  EXPECT_EQ(weights(run("run"), 12), weights(run("recompute"), 12));
  expect_same_course("run", "whole");
}

// Dropout and attention within documents do not depend on the micro-batch size or on recomputation.
TEST_F(Train, DropoutAndDocumentsAreTheSameForAnyMicroBatchAndRecomputation) {
  Json json = config();
  json["model"] = small_gpt2();
  json["model"]["embd_pdrop"] = json["model"]["attn_pdrop"] = json["model"]["resid_pdrop"] = 0.1;
  json["data"]["documents"] = {{"end_token", "first"}, {"end_targets", "ignored"}};
  json["data"]["end_id"] = 101;
  json["z_loss"] = 1e-3;
  json["run"]["eval_every"] = 12;
  write_config(json);
  const Outcome first = rowan(train());
  ASSERT_EQ(first.code, 0) << first.err;
  ASSERT_EQ(rowan(train("--set recompute=block" + into("recompute"))).code, 0);
  ASSERT_EQ(rowan(train("--set batch.micro_batch=1" + into("single"))).code, 0);
  ASSERT_EQ(rowan(train("--set z_loss=0" + into("plain"))).code, 0);
  EXPECT_EQ(weights(run("run"), 12), weights(run("recompute"), 12));
  EXPECT_NE(weights(run("run"), 12), weights(run("plain"), 12));
  const std::vector<Json> a = rows(run("run")), plain = rows(run("plain"));
  EXPECT_EQ(a[0]["loss"], plain[0]["loss"]) << "the loss is reported without z-loss";
  expect_same_course("run", "single");
  // rowan eval reads the same documents without dropout.
  const Outcome eval = rowan("eval " + run("run").string() + " --device cpu");
  EXPECT_NE(eval.out.find(fmt::format("loss         {:.4f}", a.back()["val_loss"].get<double>())), std::string::npos)
      << eval.out << a.back();
}

TEST_F(Train, ASignalFinishesTheStepAndTheSameCommandGoesOn) {
  const std::string more = "--set run.steps=1500 --set run.checkpoint_every=0 --set run.log_every=10";
  const fs::path metrics = run("run") / "metrics.jsonl";
  const pid_t child = start(train(more));
  until(child, [&] { return fs::exists(metrics) && !read_file(metrics).empty(); });  // ten steps are made
  kill(child, SIGTERM);
  EXPECT_EQ(code_of(child), 128 + SIGTERM) << log();
  ASSERT_FALSE(fs::is_empty(run("run") / "checkpoints"));
  const std::string stopped = fs::directory_iterator(run("run") / "checkpoints")->path().filename().string();
  EXPECT_NE(stopped, "step_00001500");
  Outcome resumed = rowan(train(more));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find(stopped), std::string::npos);
}

TEST_F(Train, KilledAtRandomMomentsItGoesOnExactly) {
  const std::string more = "--set run.steps=300 --set run.checkpoint_every=3 --set run.keep=2 --set run.log_every=50";
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(rowan(train(more + into("whole"))).code, 0);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  Random random(7, 0);
  int midway = 0;  // kills after the first checkpoint and before the last
  for (int attempt = 0; midway < 8 && attempt < 100; ++attempt) {
    const pid_t child = start(train(more));
    std::this_thread::sleep_for(seconds * random.uniform());
    kill(child, SIGKILL);
    if (const int code = code_of(child); code == -SIGKILL) {
      const std::vector<fs::path> made = list_checkpoints(run("run") / "checkpoints");
      midway += !made.empty() && step_of(made[0]) < 300;
    } else {  // the run ended before the kill: start again
      ASSERT_EQ(code, 0) << log();
      ASSERT_EQ(weights(run("run"), 300), weights(run("whole"), 300));
      fs::remove_all(run("run"));
    }
  }
  EXPECT_GT(midway, 0) << "no kill came between the first and the last checkpoint";
  Outcome last = rowan(train(more));
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(weights(run("run"), 300), weights(run("whole"), 300));
}

TEST_F(Train, MistakesInTheConfigAreOneLineThatNamesThem) {
  expect_bad_config("data.train=", "data.train: found an empty name, expected a file or glob");
  expect_mistake(train(into(std::string(300, 'x'))), "xx: File name too long");
  expect_bad_config("optimizer.lrr=1", "optimizer.lrr: unknown key 'lrr'");
  expect_bad_config("optimizer.name=muon-moonlit", "muon-moonlight");
  expect_bad_config("optimizer.lrate=1", "unknown key 'lrate'; did you mean 'lr'?");
  expect_bad_config("schedule.warmup=3", "unknown key 'warmup'; did you mean 'warmup_steps'?");
  expect_bad_config("lr=3e-4", "--set lr: unknown key 'lr'; did you mean optimizer.lr?");
  expect_bad_config("seed=3", "--set seed: unknown key 'seed'; did you mean run.seed?");
  expect_bad_config("hidden_size=3", "did you mean model.hidden_size?");
  expect_mistake(train("--device cpu"), "a config's key is set by --set device=VALUE; try --help");
  expect_mistake(train("--warmup-steps=3"), "a config's key is set by --set schedule.warmup_steps=VALUE; try --help");
  expect_mistake(train("--step 3"), "; did you mean --steps?; try --help");
  expect_mistake(train("--nonsense"), "not expected: --nonsense; try --help");
  expect_mistake("sweep " + file().string(), "model: this is the config of a run; rowan train reads it");
  expect_bad_config("run.steps=twelve", "run.steps: found a string");
  expect_bad_config("run.stepps=3", "did you mean 'steps'");
  expect_bad_config("batch.sequence_length=64", "the positions of the model");
  expect_bad_config("batch.micro_batch=3", "found 3, expected a divisor of 4");
  expect_bad_config("model.num_attention_heads=3", "found 3, expected a divisor of");
  expect_bad_config("precision=fp16", "expected one of fp32, bf16");
  expect_bad_config("optimizer.lr=-1", "optimizer.lr");
  expect_bad_config("schedule.warmup_steps=-1", "warmup_steps");
  expect_bad_config("skip.window=1", "skip.window: found 1, expected at least 2");
  expect_bad_config("data.train=/nowhere/*.bin", "/nowhere/*.bin");
  expect_bad_config("optimizer.lr=abc", "--set optimizer.lr: found a string");
  expect_bad_config("residual=bf16", "expected one of compute, fp32");
  expect_bad_config("z_loss=-1", "z_loss");
  // The kernels take these numbers in fp32, which cannot hold 1e39.
  for (const char* key : {"z_loss", "model.logit_softcap", "model.attention_scale", "model.initializer_range"})
    expect_bad_config(std::string(key) + "=1e39", "found 1e+39, expected at most 3.4028234663852886e+38");
  expect_bad_config("data.documents.end_token=before", "expected one of first, last");
  expect_bad_config("data.documents.positions=restart", "data.documents.end_token: is missing");
  expect_bad_config("data.documents.end_token=first", "data.documents: found end id");
  expect_bad_config("data.documents.end_token=first --set data.reading=documents", "is for packed rows");
  expect_bad_config("model.attention_dropout=1", "expected at least 0 and below 1");
  expect_bad_config("model.logit_softcap=0", "expected more than 0");
  expect_bad_config("batch.sequences=1000000000000 --set batch.micro_batch=1000000000000",
                    "at once, expected at most 134217728");
  expect_bad_config("run.seed=18446744073709551615",
                    "--set run.seed: found 18446744073709551615, expected at most 9223372036854775807");
  expect_bad_config("run.seed=99999999999999999999999",
                    "run.seed: found 9.999999999999999e+22, expected at most 9223372036854775807");
  expect_bad_config("run.seed=-9223372036854775809", "expected at least 0");
  expect_bad_config("threads=100000", "threads: found 100000, expected at most 4096");
  expect_bad_config("optimizer=3", "--set optimizer: found an integer");
  expect_bad_config("grad_clip=1e400", "--set grad_clip: found a string");
  expect_bad_config("run..steps=3", "expected path=value");
  expect_bad_config("nonsense", "expected path=value");
  expect_bad_config("\"a\n=1\"", "--set a?: unknown key 'a?'");
  expect_bad_config("run.dir=\xff", "not valid UTF-8");
  expect_bad_config("\"run.dir=" + std::string(99, '[') + std::string(99, ']') + "\"",
                    "--set run.dir: found nesting deeper than the limit of 64 levels");
  expect_bad_config("tokenizer=byte", "tokenizer: found 'byte'");
  expect_bad_config("attention=cudn", "did you mean 'cudnn'");
  expect_bad_config("attention=cudnn", "attention: found cudnn, which does not compute in fp32; use rowan");
  expect_bad_config("products=timed",
                    "products: found \"timed\", expected \"heuristic\", because the device is \"cpu\"");
  expect_bad_config("attention=cudnn --set precision=bf16", "expected \"rowan\", because the device is \"cpu\"");
  if (!fs::exists("/dev/nvidia0") && !fs::exists("/dev/dxg"))
    expect_bad_config("attention=cudnn --set precision=bf16 --set device=auto", "; use \"");
  expect_mistake("train /nowhere.json", "/nowhere.json");
  expect_mistake(train("--resume"), "no checkpoint");
  expect_bad_config("tokenizer=gpt2:/nowhere.tiktoken", "/nowhere.tiktoken");
  expect_bad_config("model.vocab_size=251", "bytes: found 257 ids, expected at most 251");
  expect_mistake("trian " + file().string(), "unknown command 'trian'; did you mean 'train'?");
  write_file_atomically(dir_ / "sweep.json", R"({"base": "config.json", "dir": "x", "axes": {}})");
  expect_mistake("train " + (dir_ / "sweep.json").string(),
                 "axes: found a sweep, expected the config of a run; rowan sweep reads sweeps");
  write_file_atomically(dir_ / "text.txt", "Once upon a time\n");
  expect_bad_config("data.train=" + (dir_ / "text.txt").string(),
                    "text.txt: found text, expected a token shard; to make shards: rowan");
  expect_bad_config("data.train=" + dir_.string(), "found a folder, expected the shards in it: " + dir_.string());
  EXPECT_FALSE(fs::exists(run("run"))) << "a refused run leaves nothing behind";
}

TEST_F(Train, InitialWeightsThatAreNotFiniteAreRefused) {
  const fs::path source = run("source"), hf = dir_ / "hf";
  write_small_run(source, small_llama());
  ASSERT_EQ(rowan("export " + source.string() + " " + hf.string()).code, 0);
  std::string bytes = read_file(hf / "model.safetensors");
  bytes.replace(bytes.size() - 2, 2, "\xc0\x7f");  // the upper half of a NaN
  write_file_atomically(hf / "model.safetensors", bytes);
  expect_mistake(train("--set init=" + hf.string()), "': found a value that is not finite in fp32");
}

TEST_F(Train, ARunOfNoStepsIsItsInitialWeights) {
  const fs::path source = run("source"), hf = dir_ / "hf";
  write_small_run(source, small_llama());
  ASSERT_EQ(rowan("export " + source.string() + " " + hf.string()).code, 0);
  const std::string command = train("--set precision=bf16 --set run.steps=0 --set init=" + hf.string());
  Outcome zero = rowan(command);
  ASSERT_EQ(zero.code, 0) << zero.err;
  EXPECT_NE(zero.err.find("starts from the weights in " + (hf / "model.safetensors").string()), std::string::npos);
  ASSERT_EQ(rowan("export " + run("run").string() + " " + (dir_ / "again").string()).code, 0);
  EXPECT_EQ(read_file(dir_ / "again/model.safetensors"), read_file(hf / "model.safetensors"));
  ASSERT_EQ(rows(run("run")).size(), 1u);
  EXPECT_EQ(rows(run("run"))[0]["step"], 0);
  auto evaluated = [&](const fs::path& folder) {
    const std::string data = " --device cpu --data " + (dir_ / "validation.bin").string();
    const std::string out = rowan("eval " + folder.string() + data).out;
    return out.substr(out.find("\nloss "));
  };
  EXPECT_EQ(evaluated(run("run")), evaluated(source));
  EXPECT_NE(rowan("eval " + run("run").string()).out.find("fp32; the run trains in bf16"), std::string::npos);
  EXPECT_NE(evaluated(source).find("targets      300"), std::string::npos);

  // A finished run does nothing when it is started again. With more steps it continues.
  ASSERT_EQ(rowan(command).code, 0);
  EXPECT_EQ(rows(run("run")).size(), 1u);
  Outcome more = rowan(train("--resume --set run.steps=2 --set init=" + hf.string()));
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(rows(run("run")).front()["step"], 0);
  EXPECT_EQ(rows(run("run")).back()["step"], 2);
}

TEST_F(Train, GivenWeightsAreReadOnceAndCheckedFirst) {
  write_small_run(run("source"), small_llama());
  const std::string init = "--set init=" + run("source").string();
  Outcome tuned = rowan(train(init));
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  EXPECT_GT(std::abs(rows(run("run"))[0]["loss"].get<double>() - std::log(257)), 0.1)
      << "the loss must not be that of random weights";
  EXPECT_EQ(Json::parse(read_file(run("run") / "config.json"))["init"], run("source").string());

  const auto bad = [&](const std::string& more, const std::string& part) {
    expect_mistake(train(more + into("bad")), part);
    EXPECT_FALSE(fs::exists(run("bad")));
  };
  bad("--set init=/nowhere", "init: /nowhere: no such file or folder");
  bad(init + " --set model.num_hidden_layers=1",
      "found tensor 'model.layers.1.input_layernorm.weight', F32[16], which this model lacks");
  bad(init + " --set model.intermediate_size=40", "found F32[24, 16], expected [40, 16]: weights of another model");
  bad(init + " --set model.rope_theta=500", "config.json: rope_theta: found 10000, expected 500 as in");
  expect_mistake(train(), "another config (first difference at init: ");

  const std::string whole = weights(run("run"), 12);
  fs::remove_all(run("source"));
  fs::remove_all(run("run") / "checkpoints/step_00000012");
  Outcome resumed = rowan(train(init));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(weights(run("run"), 12), whole);
}

TEST_F(Train, TextThatIsNotJsonIsPlaced) {
  auto expect = [&](const std::string& text, const std::string& part) {
    write_file_atomically(file(), text);
    expect_mistake(train(), file().string() + ":" + part);
  };
  expect("", "1:1: not valid JSON");
  expect("{\n  \"a\": 1\n  \"b\": 2\n}", "3:5: not valid JSON");
  expect("{\"run\": {\"steps\": 1,\n  \"steps\": 2}}", "2:3: the key 'steps' appears twice");
  expect(R"({"a\nb": 1, "a\nb": 1})", "1:13: the key 'a?b' appears twice");
  expect("{\n\"grad_clip\": 1e400}", "2:14: not valid JSON: the number 1e400 is too large");
  expect("{\"model\": " + std::string(1000, '[') + std::string(1000, ']') + "}",
         " found nesting deeper than the limit of 64 levels");
}

TEST_F(Train, ADirectoryThatCannotBeARunsIsRefused) {
  write_file_atomically(run("file"), "");
  expect_mistake(train(into("file")), "cannot create the directory " + run("file").string());
  expect_mistake(train("--set run.dir=/proc/nowhere"), "cannot create the directory /proc/nowhere");

  fs::create_directories(run("model"));
  write_file_atomically(run("model") / "config.json", "{}");
  expect_mistake(train(into("model")), "found config.json without a run");
  EXPECT_EQ(read_file(run("model") / "config.json"), "{}");

  fs::create_directories(run("half") / "checkpoints/step_00000004");
  expect_mistake(train(into("half")), "no undamaged checkpoint in");
}

TEST_F(Train, DamagedOrUnfitDataIsNamed) {
  std::string shard = read_file(dir_ / "train.bin");
  auto with = [&](const std::string& bytes) { write_file_atomically(dir_ / "train.bin", bytes); };
  with(shard.substr(0, 2000));
  expect_mistake(train(), "train.bin");
  with("\1\2\3\4" + shard.substr(4));
  expect_mistake(train(), "train.bin");
  with(shard.substr(0, 1024));
  expect_mistake(train(), "train.bin");
  with(shard);
  expect_mistake(train("--set model.vocab_size=100"), "train.bin: token 250: found id 250, expected less than 100");
  EXPECT_FALSE(fs::exists(run("run")));
}

TEST_F(Train, ADamagedCheckpointIsSkippedAndAnotherModelsIsRefused) {
  ASSERT_EQ(rowan(train()).code, 0);
  const std::string whole = weights(run("run"), 12);
  const fs::path model = run("run") / "checkpoints/step_00000012/model.safetensors";
  std::string bytes = read_file(model);
  bytes[bytes.size() - 5] ^= 1;
  write_file_atomically(model, bytes);
  Outcome resumed = rowan(train());
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("step_00000012/model.safetensors"), std::string::npos) << resumed.err;
  EXPECT_NE(resumed.err.find("step_00000008"), std::string::npos);
  EXPECT_EQ(weights(run("run"), 12), whole);
  expect_mistake(train("--resume --set optimizer.name=adamw --steps 16"), "a checkpoint of another optimizer");
}

TEST_F(Train, APlanNeedsNoDataAndWritesNothing) {
  Outcome plan = rowan("plan " + file().string() + " --set data.train=/nowhere.bin");
  EXPECT_EQ(plan.code, 0) << plan.err;
  auto says = [&](const std::string& part) {
    EXPECT_NE(plan.out.find(part), std::string::npos) << part << "\n" << plan.out;
  };
  says("activations");
  says("  with recompute   none ");
  says("scores are not stored");
  says("steps        12 of 4 sequences of 16 tokens: 768 tokens");
  says("  training         /nowhere.bin");
  says("  validation       " + (dir_ / "validation.bin").string());
  says("at the end on 300 tokens");  // the whole validation set
  const std::string documents = " --set data.documents.end_token=first --set data.end_id=5";
  plan = rowan("plan " + file().string() + " --set data.train=/nowhere.bin" + documents);
  EXPECT_EQ(plan.code, 0) << plan.err;
  says("their length is unknown without the data; attention over whole rows is assumed");
  plan = rowan("plan " + file().string() + documents);
  EXPECT_EQ(plan.code, 0) << plan.err;
  says("  documents        attention within documents is ");
  EXPECT_FALSE(fs::exists(run("run")));
}

}  // namespace
}  // namespace rowan
