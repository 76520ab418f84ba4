#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/files.h"
#include "small_run.h"
#include "sweep/sweep_folder.h"
#include "sweep/tuning.h"
#include "temporary_folder.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

using State = RunOutcome::State;

// Writes a base config to the test's own folder.
class SweepFolder : public ::testing::Test {
 protected:
  SweepFolder() {
    write_small_shard(folder_ / "train.bin", 3001);
    const Json base = {{"model", small_llama()},
                       {"data", {{"train", folder_ / "train.bin"}, {"validation", folder_ / "train.bin"}}},
                       {"batch", {{"sequences", 2}, {"sequence_length", 16}}},
                       {"optimizer", {{"name", "rmnp"}}},
                       {"run", {{"dir", "elsewhere"}, {"steps", 3}}}};
    folder_.write("base.json", base.dump(2));
  }

  TemporaryFolder folder_;
};

class TunedRuns : public SweepFolder {
 protected:
  SweepConfig sweep_of(std::vector<double> values, double extend, std::vector<int64_t> seeds) const;
};

SweepConfig TunedRuns::sweep_of(std::vector<double> values, double extend, std::vector<int64_t> seeds) const {
  SweepConfig sweep;
  sweep.dir = folder_ / "out";
  sweep.tuning = Tuning{{"optimizer.lr"}, std::move(values), false, extend, 64};
  sweep.seeds = std::move(seeds);
  sweep.axes = {{"optimizer", {{"rmnp", "", {}}}}};
  sweep.cells = {{{"rmnp"}, folder_ / "base.json", {}, 0}};
  return sweep;
}

// Completes one run after another, always the last of the open runs, until none is open. The loss is a parabola in
// log(lr).
std::map<std::string, double> make_all(const SweepConfig& sweep, double optimum) {
  std::map<std::string, double> done;
  auto outcome = [&](const SweepRun& run) {
    return done.contains(run.name) ? RunOutcome{State::done, done.at(run.name)} : RunOutcome{};
  };
  for (auto open = open_runs(sweep, outcome); !open.empty(); open = open_runs(sweep, outcome)) {
    const SweepRun& run = open.back();
    done[run.name] = std::pow(std::log(*run.tuned / optimum), 2) + 0.01 * static_cast<double>(run.seed.value_or(0));
  }
  return done;
}

std::vector<std::string> names(const std::map<std::string, double>& done) {
  std::vector<std::string> result;
  for (const auto& [name, loss] : done) result.push_back(name);
  return result;
}

TEST_F(TunedRuns, TheGridGrowsWhileTheBestIsAtAnEdgeAndSeedsFollowAtTheBest) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(make_all(sweep_of({1, 2, 4}, 2, {7, 8, 9}), 2)),
            (Names{"rmnp_lr1_seed7", "rmnp_lr2_seed7", "rmnp_lr2_seed8", "rmnp_lr2_seed9", "rmnp_lr4_seed7"}));
  EXPECT_EQ(names(make_all(sweep_of({1, 2}, 2, {7}), 8)),
            (Names{"rmnp_lr1", "rmnp_lr16", "rmnp_lr2", "rmnp_lr4", "rmnp_lr8"}));
  EXPECT_EQ(names(make_all(sweep_of({1, 2}, 2, {7}), 0.5)),
            (Names{"rmnp_lr0.25", "rmnp_lr0.5", "rmnp_lr1", "rmnp_lr2"}));
  EXPECT_EQ(names(make_all(sweep_of({1, 2}, 0, {7}), 8)), (Names{"rmnp_lr1", "rmnp_lr2"}));
}

TEST_F(TunedRuns, GrowingEndsAtTheFarthest) {
  SweepConfig sweep = sweep_of({1}, 2, {1});
  sweep.tuning->farthest = 4;
  EXPECT_EQ(make_all(sweep, 1e9).size(), 4) << "one value is at both edges: 0.5, 1, 2 and 4";
  EXPECT_EQ(make_all(sweep_of({1, 2}, 2, {1}), 1e9).size(), 8) << "to 128 = 64 x 2";
}

TEST_F(TunedRuns, WhatDivergedIsTheWorst) {
  const SweepConfig sweep = sweep_of({1, 2}, 2, {1});
  const double infinite = std::numeric_limits<double>::infinity();
  auto outcome = [&](const SweepRun& run) {
    return RunOutcome{State::done, *run.tuned > 1.5 ? infinite : *run.tuned < 0.6 ? 2.0 : 1.0};
  };
  const std::vector<SweepRun> known = known_runs(sweep, outcome, Cells::all);
  ASSERT_EQ(known.size(), 3);
  EXPECT_EQ(known[0].name, "rmnp_lr0.5");
}

TEST_F(TunedRuns, ACellWithAFailureWaitsAndOthersGoOn) {
  SweepConfig sweep = sweep_of({1, 2}, 2, {1, 2});
  sweep.axes[0].values.push_back({"muon", "", {}});
  sweep.cells.push_back({{"muon"}, folder_ / "base.json", {}, 0});
  auto outcome = [&](const SweepRun& run) {
    if (run.name == "rmnp_lr1_seed1") return RunOutcome{State::failed, 0};
    return run.cell == 0 ? RunOutcome{} : RunOutcome{State::done, *run.tuned};
  };
  std::vector<std::string> open;
  for (const SweepRun& run : open_runs(sweep, outcome)) open.push_back(run.name);
  EXPECT_EQ(open, (std::vector<std::string>{"rmnp_lr2_seed1"})) << "muon is at its farthest";
}

TEST_F(TunedRuns, AValueThatTheKeyRefusesEndsTheGrid) {
  using Names = std::vector<std::string>;
  SweepConfig ratio = sweep_of({0.3, 0.9}, 2, {1, 2});
  ratio.tuning->paths = {"schedule.min_lr_ratio"};  // at most 1
  EXPECT_EQ(names(make_all(ratio, 1e9)),
            (Names{"rmnp_min_lr_ratio0.3_seed1", "rmnp_min_lr_ratio0.9_seed1", "rmnp_min_lr_ratio0.9_seed2"}));
  ratio.tuning->values = {0.9};  // one value at both edges
  ratio.seeds = {1};
  EXPECT_EQ(names(make_all(ratio, 1e9)), (Names{"rmnp_min_lr_ratio0.45", "rmnp_min_lr_ratio0.9"}));
  SweepConfig integers = sweep_of({5, 10}, 2, {1});
  integers.tuning->paths = {"batch.sequences"};
  integers.tuning->farthest = 2;
  EXPECT_EQ(names(make_all(integers, 1)), (Names{"rmnp_sequences10", "rmnp_sequences5"})) << "2.5 is no integer";
  EXPECT_EQ(names(make_all(integers, 1e9)), (Names{"rmnp_sequences10", "rmnp_sequences20", "rmnp_sequences5"}));
}

// Rounded to 6 digits, the next value is the edge itself.
TEST_F(TunedRuns, AStepThatRoundingUndoesEndsTheGrid) {
  int calls = 0;
  auto outcome = [&](const SweepRun&) {
    if (++calls > 1000) fail("the grid grows for ever");
    return RunOutcome{State::done, 1};
  };
  EXPECT_EQ(known_runs(sweep_of({5}, 1 + 1e-7, {1}), outcome, Cells::all).size(), 1);
}

TEST_F(TunedRuns, OnlyChosenCellsAreOpen) {
  SweepConfig sweep = sweep_of({1}, 0, {1});
  sweep.axes[0].values.push_back({"muon", "", {}});
  sweep.cells.push_back({{"muon"}, folder_ / "base.json", {}, 0});
  EXPECT_EQ(first_chosen(sweep), 0);
  EXPECT_EQ(error_of([&] {
              choose_cells(sweep, {"muon", "lion"});
            }),
            "--only: found 'lion', which no run has as a label; the labels are rmnp, muon; did you mean 'muon'?");
  choose_cells(sweep, {"muon"});
  EXPECT_EQ(first_chosen(sweep), 1);
  const auto outcome = [](const SweepRun&) { return RunOutcome{}; };
  const std::vector<SweepRun> open = open_runs(sweep, outcome);
  ASSERT_EQ(open.size(), 1);
  EXPECT_EQ(open[0].name, "muon_lr1");
  EXPECT_EQ(known_runs(sweep, outcome, Cells::chosen).size(), 1);
  EXPECT_EQ(known_runs(sweep, outcome, Cells::all).size(), 2);
}

class SweepFile : public SweepFolder {
 protected:
  SweepFile() {
    json_ = {{"base", "base.json"},
             {"dir", folder_ / "out"},
             {"axes", {{"optimizer", {{"rmnp", Json::object()}, {"muon", {{"optimizer", {{"name", "muon"}}}}}}}}}};
  }
  SweepConfig load() { return load_sweep(folder_.write("sweep.json", json_.dump(1)), {}); }
  // Returns the message of load(), which must be one line.
  std::string error() {
    std::string text = error_of([&] { load(); });
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 0);
    return text;
  }
  void expect(const std::string& part) { EXPECT_NE(error().find(part), std::string::npos) << error(); }

  Json json_;
};

TEST_F(SweepFile, CellsAreTheProductOfTheAxes) {
  json_["axes"]["run.steps"] = {2, 3};
  json_["set"] = {{"batch.sequences", 4}};
  json_["tune"] = {{"path", "optimizer.lr"}, {"factors", {0.5, 1, 2}}};
  json_["seeds"] = {5, 6};
  const SweepConfig sweep = load();
  ASSERT_EQ(sweep.cells.size(), 4);
  EXPECT_EQ(sweep.cells[3].labels, (std::vector<std::string>{"muon", "3"}));
  const SweepRun run = make_run(sweep, 3, 0.5 * sweep.cells[3].own, 6);
  EXPECT_EQ(run.name, "muon_steps3_lr0.01_seed6") << "half of muon's own rate";
  const TrainConfig config = config_of(sweep, run);
  EXPECT_EQ(config.optimizer.rates().recipe, "muon");
  EXPECT_DOUBLE_EQ(config.optimizer.rates().main, 0.01);
  EXPECT_EQ(config.run.steps, 3);
  EXPECT_EQ(config.run.seed, 6);
  EXPECT_EQ(config.batch.sequences, 4);
  EXPECT_EQ(config.run.dir, folder_ / "out/muon_steps3_lr0.01_seed6");
}

TEST_F(SweepFile, AKeyOfIntegersCanBeTuned) {
  json_["tune"] = {{"path", "run.steps"}, {"values", {2, 4}}};
  const SweepConfig sweep = load();
  EXPECT_EQ(config_of(sweep, make_run(sweep, 0, 4, {})).run.steps, 4);
  json_["tune"]["values"] = {2, 2.5, 4};
  expect("tune.values: run.steps: found a number (2.5), expected an integer");
}

TEST_F(SweepFile, FactorsNeedAnOwnValueAboveZero) {
  json_["set"] = {{"optimizer.weight_decay", 0}};
  json_["tune"] = {{"path", "optimizer.weight_decay"}, {"factors", {0.5, 1, 2}}, {"extend", 2}};
  EXPECT_EQ(error(), folder_ / "sweep.json" +
                         ": the runs of (rmnp): tune.factors: found optimizer.weight_decay 0 in the config, expected a "
                         "value greater than 0; set it there, or use tune.values");
}

TEST_F(SweepFile, RunsHaveDifferentNames) {
  json_["set"] = {{"optimizer.lr", 0.11}};
  json_["tune"] = {{"path", "optimizer.lr"}, {"factors", {9.99998, 9.99999}}};
  expect("tune.factors: found optimizer.lr 1.1 twice, rounded to 6 digits");
  json_["tune"]["factors"] = {1, 2};
  json_.erase("set");
  json_["axes"] = {{"size", {{"a b", {{"optimizer.lr", 1}}}, {"a-b", {{"optimizer.lr", 8}}}}}};
  expect("found two runs with the folder " + folder_ / "out/a-b_...: (a b) and (a-b)");
  json_["tune"] = {{"path", "optimizer.lr"}, {"values", {1e-310}}};  // not a normal number
  json_["axes"].erase("size");
  EXPECT_EQ(error(), "");
}

TEST_F(SweepFile, ARunThatWasTheOnlySeedKeepsItsName) {
  json_["seeds"] = {5, 6};
  SweepConfig sweep = load();
  const auto name = [&](int64_t seed) { return make_run(sweep, 0, {}, seed).name; };
  EXPECT_EQ(name(5), "rmnp_seed5");
  std::filesystem::create_directories(folder_ / "out/rmnp");
  folder_.write("out/rmnp/config.json", R"({"run": {"seed": 5}})");
  EXPECT_EQ(name(5), "rmnp");
  EXPECT_EQ(name(6), "rmnp_seed6");
  std::filesystem::create_directories(folder_ / "out/rmnp_seed5");
  EXPECT_EQ(name(5), "rmnp_seed5") << "a run that was begun under this name";
  std::filesystem::remove_all(folder_ / "out/rmnp");
  sweep.seeds = {5};
  EXPECT_EQ(name(5), "rmnp_seed5") << "the other seeds were removed";
  std::filesystem::create_directories(folder_ / "out/rmnp");
  folder_.write("out/rmnp/config.json", R"({"run": {"seed": 5}})");
  EXPECT_EQ(name(5), "rmnp") << "begun as the only seed, too";
  sweep.seeds = {5, 6};
  sweep.axes.clear(), sweep.cells[0].labels.clear();
  EXPECT_EQ(name(6), "seed6");
  EXPECT_EQ(make_run(sweep, 0, {}, {}).name, "run");
}

// A user edits the base for the next sweep while this one runs.
TEST_F(SweepFile, AnEditedBaseChangesNoRunOfALoadedSweep) {
  const SweepConfig sweep = load();
  Json longer = Json::parse(read_file(folder_ / "base.json"));
  longer["batch"]["sequence_length"] = 32;
  for (const std::string& edited : {std::string("{"), longer.dump()}) {
    folder_.write("base.json", edited);
    EXPECT_EQ(config_of(sweep, make_run(sweep, 1, {}, {})).batch.sequence_length, 16);
  }
  EXPECT_EQ(config_of(load(), make_run(sweep, 1, {}, {})).batch.sequence_length, 32) << "a new sweep reads it";
}

TEST_F(SweepFile, NoRunHasANameOfTheSweepsOwnFiles) {
  const auto with_label = [&](const std::string& label) {
    json_["axes"] = {{"kind", {{label, Json::object()}}}};
    return error();
  };
  for (const char* label : {"logs", "diverged", "table.md", "lock", "sweep.json"})
    EXPECT_EQ(with_label(label), fmt::format("{}: axes: found a run with the folder {}, which the sweep uses itself; "
                                             "choose a label other than '{}'",
                                             folder_ / "sweep.json", folder_ / "out/" + label, label));
  for (const char* name : {"", ".", ".."}) EXPECT_TRUE(is_taken_by_sweep(name)) << name;
  EXPECT_EQ(with_label("log"), "");
  EXPECT_EQ(with_label(std::string(245, 'a')), "");
  const std::string mistake = "axes: found labels that make a folder name of 246 bytes, expected at most 245";
  EXPECT_NE(with_label(std::string(246, 'a')).find(mistake), std::string::npos);
  json_["seeds"] = {1, 2};
  EXPECT_EQ(with_label("logs"), "") << "logs_seed1 and logs_seed2";
}

TEST_F(SweepFile, NamesKeepLettersBeyondAscii) {
  json_["axes"] = {{"kind", {{"é日", Json::object()}, {"ü月", Json::object()}}}};
  const SweepConfig sweep = load();
  EXPECT_EQ(make_run(sweep, 0, {}, {}).name, "é日");
  EXPECT_EQ(make_run(sweep, 1, {}, {}).name, "ü月");
}

TEST_F(SweepFile, APartOfASectionIsSetAfterTheSection) {
  json_["axes"] = {{"rate", {{"high", {{"optimizer.lr", 0.5}}}}}, {"optimizer", json_["axes"]["optimizer"]}};
  const SweepConfig sweep = load();
  const TrainConfig config = config_of(sweep, make_run(sweep, 1, {}, {}));
  EXPECT_EQ(config.optimizer.rates().recipe, "muon");
  EXPECT_EQ(config.optimizer.rates().main, 0.5);
}

// A label or `set` may give a whole section, of which another axis, `set` or `tune` overwrites a part.
TEST_F(SweepFile, APartThatIsOverwrittenIsRefused) {
  const std::string file = folder_ / "sweep.json";
  const Json good = json_, section = {{"name", "muon"}, {"lr", 0.5}, {"adamw", {{"lr", 0.25}}}};
  const Json rates = {{"high", {{"optimizer.lr", 0.125}}}};
  json_["axes"] = {{"optimizer", {{"muon", {{"optimizer", section}}}}}, {"rate", rates}};
  expect(": axes.optimizer.muon.optimizer: found 0.5, but " + file);
  expect(": axes.rate.high.optimizer.lr sets optimizer.lr to 0.125; remove one of them");
  json_["axes"] = {{"rate", rates}, {"optimizer", {{"muon", {{"optimizer", section}}}}}};
  expect(": axes.optimizer.muon.optimizer: found 0.5, but ");
  json_["axes"] = {{"optimizer.adamw.lr", {0.1}}, {"optimizer", {{"muon", {{"optimizer", section}}}}}};
  expect(": axes.optimizer.muon.optimizer: found 0.25, but ");
  json_["axes"] = {{"optimizer.adamw.lr", {0.25}}, {"optimizer", {{"muon", {{"optimizer", section}}}}}};
  EXPECT_EQ(error(), "") << "the same value";
  json_["axes"] = {{"optimizer", {{"muon", {{"optimizer", section}}}}}};
  json_["tune"] = {{"path", "optimizer.lr"}, {"values", {0.1}}};
  expect(": axes.optimizer.muon.optimizer: found optimizer.lr, which tune.path sets, too; remove one of them");
  json_["tune"] = {{"path", "optimizer.lr"}, {"factors", {1, 2}}};
  EXPECT_EQ(error(), "") << "factors of the label's own rate";
  json_ = good;
  json_["tune"] = {{"path", "optimizer.lr"}, {"values", {0.1}}};
  EXPECT_EQ(error(), "") << "the labels' sections have no rate";
  json_["set"] = {{"optimizer", section}};
  json_["axes"] = {{"grad_clip", {1}}};
  expect(": set.optimizer: found optimizer.lr, which tune.path sets, too");
  json_.erase("tune");
  json_["axes"] = {{"rate", rates}};
  expect(": set.optimizer: found 0.5, but ");
  json_["set"] = {{"optimizer.lr", 0.5}};
  expect(": set.optimizer.lr: found 0.5, but ");
  json_["axes"] = {{"optimizer", {{"muon", {{"optimizer", {{"name", "muon"}, {"lr", 0.25}}}}}}}};
  expect(": axes.optimizer.muon.optimizer: found 0.25, but ");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(SweepFile, AnAxisCanBePartOfTheBasesName) {
  json_["base"] = "{kind}.json";
  json_["axes"] = {{"kind", {"base", "none"}}};
  expect("none.json");
  json_["axes"]["kind"] = {"base"};
  EXPECT_EQ(load().cells[0].labels, (std::vector<std::string>{"base"}));
}

TEST_F(SweepFile, AnAxisOfConfigsNeedsNoBase) {
  json_.erase("base");
  expect("base: is missing; expected a base config, or an axis whose values all name configs");
  json_["axes"] = {{"optimizer", {{"rmnp", {{"config", "base.json"}}}}}};
  EXPECT_EQ(load().cells[0].config, folder_ / "base.json");
}

TEST_F(SweepFile, MistakesAreOneLineBeforeAnythingRuns) {
  const Json good = json_;
  auto with = [&](const std::string& path, const Json& value, const std::string& part) {
    json_ = good;
    apply_edit(json_, {path, value, path});
    expect(part);
  };
  with("axes", {{"optimizer.lrr", {0.1, 0.2}}}, "optimizer.lrr: unknown key 'lrr'; did you mean 'lr'?");
  with("axes", {{"optimizer.lr", Json::array()}}, "axes.optimizer.lr: found an axis without values");
  with("axes", {{"optimizer.lr", {0.1, 0.10}}}, "axes.optimizer.lr: found 0.1 twice");
  with("axes", {{"grad_clip", {1, 2, 1.0}}}, "axes.grad_clip: found 1.0 twice");
  with("axes", {{"kind", {{"a,b", Json::object()}}}},
       "axes.kind: found the label 'a,b', expected no comma, which separates the labels of --only");
  with("axes", {{"data.train", {"a.bin,b.bin"}}}, "axes.data.train: found the label 'a.bin,b.bin', expected no comma");
  with("axes", {{"optimizer.name", {"muon", "muoon"}}}, "did you mean 'muon'?");
  with("axes", {{"run.seed", {1, 2}}}, "not allowed in a sweep; use the sweep's key \"seeds\"");
  with("axes", {{"run.dir", {"a"}}}, "not allowed in a sweep, which chooses the folders of its runs");
  with("axes", {{"optimizer", {{{"name", "muon"}}}}}, "found an object or a list without a label, expected {");
  with("tune", {{"path", "optimizer.lr"}, {"values", Json::array()}},
       "tune.values: found an empty list, expected at least one value");
  with("tune", {{"path", "optimizer.lr"}, {"values", {0.1, -1}}}, "tune.values: found -1");
  with("tune", {{"path", "optimizer.lr"}, {"values", {0.1, 0.1}}}, "tune.values: found 0.1 twice");
  with("tune", {{"path", "optimizer.lr"}, {"values", {1}}, {"extend", 1}},
       "found 1, expected 0, or a factor greater than 1 and at most 1000");
  with("tune", {{"path", {"optimizer.lr", "optimizer.lr"}}, {"values", {1}}}, "tune.path: found optimizer.lr twice");
  with("tune", {{"path", "optimizer.lr"}, {"values", {1}}, {"farthest", 4}},
       "tune.farthest: found it without extend, expected both");
  with("tune", {{"path", "data.reading"}, {"factors", {1}}}, "found no number at data.reading");
  with("seeds", {1, 2, 1}, "seeds: found 1 twice");
  with("metric", "val_los",
       "found 'val_los', expected one of val_loss, val_loss_batch_mean, val_loss_galore; did you mean 'val_loss'?");
  with("metric", "val_loss_galore", "which needs data.batch_means; the config has none");
  with("against", "adamw", "found 'adamw', expected a label of an axis");
  with("resources", {{"ranks", 2}, {"launcher", "srun -n 2"}},
       "resources.launcher: found no {ranks}, expected it where the number of ranks belongs");
  with("resources", {{"ranks", 2}, {"launcher", "srun -n {rank}"}},
       "resources.launcher: found {rank}, expected {ranks}");
  with("resources", {{"ranks", 2}, {"launcher", "srun -n {ranks} {"}}, "resources.launcher: found {, expected {ranks}");
  with("resources", {{"launcher", "srun -n {ranks}"}}, "resources.launcher: has no effect without ranks");
  with("loss", 0, "loss: found 0, expected at least 1e-06");
  with("set", {{"data.train", "/nowhere.bin"}}, "/nowhere.bin");
  with("base", "other.json", "other.json");
  with("basis", "base.json", "unknown key 'basis'; did you mean 'base'?");
  folder_.write("targets.json", R"({"targets": [{"config": "base.json", "metric": "accuracy"}]})");
  with("targets", "targets.json", "targets.0.metric: found 'accuracy', expected one of val_loss");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(SweepFile, TheLabelOfAgainstIsOfOneAxis) {
  json_["against"] = "none";
  json_["axes"] = {{"clip", {{"none", Json::object()}, {"one", {{"grad_clip", 1}}}}},
                   {"z", {{"none", Json::object()}, {"some", {{"z_loss", 1e-4}}}}}};
  expect("against: found 'none', a label of the axes clip and z; expected a label of one axis");
  json_["against"] = "one";
  EXPECT_EQ(error(), "");
}

TEST_F(SweepFile, AFileWithoutPlaceForAnEditIsOneLine) {
  const auto with_edit = [&](const std::string& text) {
    const std::string file = folder_.write("sweep.json", text);
    return error_of([&] { load_sweep(file, {"set.run.steps=3"}); });
  };
  for (const char* set : {R"("x")", "[]", "3"}) {
    json_["set"] = Json::parse(set);
    EXPECT_EQ(with_edit(json_.dump()), "--set set.run.steps: found a value at 'set', expected an object") << set;
  }
  EXPECT_NE(with_edit("[]").find("sweep.json: top level: found a list, expected an object"), std::string::npos);
  EXPECT_NE(with_edit("3").find("sweep.json: top level: found an integer, expected an object"), std::string::npos);
}

TEST_F(SweepFile, AMistakeInAConfigIsSaidWithItsPlaceInTheSweep) {
  const Json good = json_;
  const std::string file = folder_ / "sweep.json";
  auto with = [&](const std::string& path, const Json& value, const std::string& message) {
    json_ = good;
    apply_edit(json_, {path, value, path});
    EXPECT_TRUE(error().starts_with(message)) << error() << "\n" << message;
  };
  with("axes", {{"recipe", {{"adamw", {{"optimizer", {{"lr", 1}}}}}}}},
       file + ":7: axes.recipe.adamw.optimizer: optimizer.name: is missing");
  with("axes", {{"recipe", {{"adamw", {{"optimizer.name", "adamx"}}}}}},
       file + ":7: axes.recipe.adamw.optimizer.name: found 'adamx', expected one of");
  with("axes", {{"recipe", {{"adamw", {{"optimizer..lr", 1}}}}}},
       file + ":7: axes.recipe.adamw.optimizer..lr: found 'optimizer..lr', expected a path such as optimizer.lr");
  with("axes", {{"optimizer.lr", {0.1, -1}}}, file + ":5: axes.optimizer.lr: found -1");
  with("set", {{"optimizer.lr", -1}}, file + ":15: set.optimizer.lr: found -1");
  with("tune", {{"path", "run.steps"}, {"values", {0.5}}}, file + ":16: tune.values: run.steps: found a number (0.5)");
  with("dir", std::string(1, '\0'), file + ":3: dir: run.dir: found a zero byte");
  with("base", "other.json", file + ": the runs of (rmnp): cannot open " + (folder_ / "other.json"));
  with("axes", {{"optimizer", {{"muon", {{"config", "other.json"}}}}}},
       file + ": the runs of (muon): cannot open " + (folder_ / "other.json"));
  json_["axes"] = Json::object(), json_["base"] = "other.json";
  EXPECT_TRUE(error().starts_with(file + ": base: cannot open " + (folder_ / "other.json"))) << error();
  json_ = good;
  folder_.write("sweep.json", json_.dump(1));
  const std::string strange = folder_.write("sweep\xff.json", json_.dump(1));
  EXPECT_EQ(error_of([&] { load_sweep(strange, {}); }),
            strange + ": found the name of a file that is not valid UTF-8, which sweep.json cannot record");
  const std::string set = error_of([&] { load_sweep(file, {"set.optimizer.name=muonn"}); });
  EXPECT_TRUE(set.starts_with(file + ": the runs of (rmnp): --set set.optimizer.name: found 'muonn'")) << set;
}

}  // namespace
}  // namespace rowan
