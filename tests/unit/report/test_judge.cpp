#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <regex>

#include "base/files.h"
#include "report/html.h"
#include "report/judge.h"
#include "report/plot.h"
#include "temporary_folder.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// A run of 10 steps of 100 tokens that ends at `loss`.
ResultRun run_of(const std::string& optimizer, double lr, int64_t seed, double loss, double own_lr = 0.01) {
  ResultRun run;
  run.name = fmt::format("{}_{}_{}", optimizer, lr, seed);
  run.labels = {"small", optimizer};
  run.tuned = lr;
  run.seed = seed;
  run.config_file = "papers/" + optimizer + ".json";
  run.config = {{"optimizer", {{"name", optimizer}, {"lr", own_lr}}}};
  run.steps = run.planned = 10;
  run.tokens = 1000, run.seconds = 5;
  run.training = {{1, 100, loss + 3}, {10, 1000, loss}};
  run.validation["val_loss"] = {{0, 0, loss + 2}, {5, 500, loss + 1}, {10, 1000, loss}};
  return run;
}

Json target(const std::string& optimizer, double nats) {
  return {{"config", "papers/" + optimizer + ".json"},
          {"set", Json::object()},
          {"metric", "val_loss"},
          {"unit", "nats"},
          {"value", nats},
          {"step", 10},
          {"seeds", 1},
          {"batches", 0},
          {"source", "Table 1"},
          {"confidence", "printed"}};
}

ResultSet two_optimizers() {
  ResultSet set;
  set.axes = {"size", "optimizer"};
  set.tuned = "lr";
  set.against = "adamw";
  // adamw is best at 0.01, with losses 3.0, 3.1, 3.2; muon at 0.02, with 2.9, 3.1, 3.0.
  for (auto [lr, loss] : {std::pair{0.005, 3.4}, {0.01, 3.0}, {0.02, 3.3}})
    set.runs.push_back(run_of("adamw", lr, 1, loss));
  for (auto [seed, loss] : {std::pair{2, 3.1}, {3, 3.2}}) set.runs.push_back(run_of("adamw", 0.01, seed, loss));
  for (auto [lr, loss] : {std::pair{0.01, 3.05}, {0.02, 2.9}, {0.04, 3.05}})
    set.runs.push_back(run_of("muon", lr, 1, loss));
  for (auto [seed, loss] : {std::pair{2, 3.1}, {3, 3.0}}) set.runs.push_back(run_of("muon", 0.02, seed, loss));
  return set;
}

Json rows_of(const Table& table) { return Json::parse(render(table, TableFormat::json))["rows"]; }

TEST(Judge, TakesTheBestRateOfTheFirstSeedAndAllSeedsThere) {
  const Table table = judge(two_optimizers());
  const Json rows = rows_of(table);
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[0]["optimizer"], "muon") << "the lower loss first";
  EXPECT_DOUBLE_EQ(rows[0]["best_lr"], 0.02);
  EXPECT_EQ(rows[0]["tried"], (Json{0.01, 0.04}));
  EXPECT_EQ(rows[0]["seeds"], 3);
  EXPECT_NEAR(rows[0]["val_loss"].get<double>(), 3.0, 1e-12);
  EXPECT_NEAR(rows[0]["deviation"].get<double>(), 0.1, 1e-12);
  EXPECT_NEAR(rows[0]["perplexity"].get<double>(), std::exp(3.0), 1e-9);
  EXPECT_NEAR(rows[1]["val_loss"].get<double>(), 3.1, 1e-12);
  EXPECT_TRUE(rows[1]["difference"].is_null());
}

// The differences for the seeds 1, 2 and 3 are -0.1, 0 and -0.2. Their mean is -0.1 and their deviation 0.1.
TEST(Judge, PairsRunsOfTheSameSeed) {
  const ResultSet set = two_optimizers();
  const std::vector<ResultGroup> groups = make_groups(set);
  const Spread difference = paired_difference(set, groups[1], groups[0]);
  EXPECT_EQ(difference.count, 3);
  EXPECT_NEAR(difference.mean, -0.1, 1e-12);
  EXPECT_NEAR(confidence_of_mean(difference), 4.3026527 * 0.1 / std::sqrt(3.0), 1e-6);
  EXPECT_NE(render(judge(set), TableFormat::text).find("-0.1000 ± 0.2484"), std::string::npos);
}

TEST(Judge, SaysHowManySeedsADifferenceIsOf) {
  ResultSet set = two_optimizers();
  set.runs[3].seed = 7;  // of adamw; muon has none of this seed
  const Table two = judge(set);
  EXPECT_NE(render(two, TableFormat::text).find(" (2 of 3 seeds)"), std::string::npos);
  EXPECT_EQ(rows_of(two)[0]["pairs"], 2);
  EXPECT_GT(rows_of(two)[0]["difference_confidence"], 0);
  EXPECT_EQ(two.notes[0].find("against adamw: mean difference"), 0u);
  EXPECT_EQ(render(two, TableFormat::text).find("pairs"), std::string::npos) << "a column for programs";
  EXPECT_EQ(html_report(set, "title").find("<th></th>"), std::string::npos);
  set.runs[4].seed = 8;
  const Table one = judge(set);
  EXPECT_NE(render(one, TableFormat::text).find("-0.1000 (1 of 3 seeds)"), std::string::npos);
  EXPECT_TRUE(rows_of(one)[0]["difference_confidence"].is_null());
  EXPECT_EQ(render(one, TableFormat::text).find("confidence interval"), std::string::npos) << "there is none";
  EXPECT_EQ(render(judge(two_optimizers()), TableFormat::text).find(" of 3 seeds"), std::string::npos);
}

TEST(Judge, SaysWhetherThePublishedOrderIsKept) {
  ResultSet set = two_optimizers();
  set.targets = {target("adamw", 3.25), target("muon", 3.05)};
  Table table = judge(set);
  EXPECT_EQ(table.notes[0], "order of small: as published");
  EXPECT_NEAR(rows_of(table)[0]["ours_minus_published"].get<double>(), -0.05, 1e-12);
  set.targets = {target("adamw", 3.0), target("muon", 3.05)};
  table = judge(set);
  EXPECT_EQ(table.notes[0],
            "order of small: not as published: muon before adamw by +0.1000 ± 0.2484 (published: behind by 0.0500)");
}

TEST(Judge, AnOrderIsOfTheSameStepAndOfPublishedValuesThatDiffer) {
  const auto note = [](double adamw, double muon, int64_t step) {
    ResultSet set = two_optimizers();
    set.targets = {target("adamw", adamw), target("muon", muon)};
    set.targets[1]["step"] = step;
    return judge(set).notes[0];
  };
  EXPECT_TRUE(note(3.0, 3.05, 10).starts_with("order of small: not as published"));
  for (const std::string& text : {note(3.0, 3.05, 20), note(3.05, 3.0, 20), note(3.0, 3.0, 10)})
    EXPECT_FALSE(text.starts_with("order")) << text;
}

// Two runs of one seed are one sample, and which of them would be paired is arbitrary.
TEST(Judge, ARepeatedSeedIsNamedAndNotPaired) {
  ResultSet set = two_optimizers();
  set.runs.push_back(set.runs[1]);  // adamw at 0.01 with seed 1
  const std::vector<ResultGroup> groups = make_groups(set);
  for (const auto& [group, other] : {std::pair(1, 0), {0, 1}})
    EXPECT_EQ(paired_difference(set, groups[group], groups[other]).count, 2) << "seeds 2 and 3";
  EXPECT_NEAR(paired_difference(set, groups[1], groups[0]).mean, -0.1, 1e-12);
  const std::string text = render(judge(set), TableFormat::text);
  const std::string warning = "warning: adamw: several runs of seed 1 are counted as different seeds";
  EXPECT_NE(text.find(warning), std::string::npos) << text;
  EXPECT_EQ(render(judge(two_optimizers()), TableFormat::text).find("several runs"), std::string::npos);
}

TEST(Judge, ADivergedGroupHasNoDistance) {
  ResultSet set = two_optimizers();
  set.targets = {target("adamw", 3.0), target("muon", 3.05)};
  for (ResultRun& run : set.runs)
    if (run.labels[1] == "adamw") run.diverged = true;
  Table table = judge(set);
  EXPECT_EQ(table.notes[0],
            "order of small: not as published: muon before adamw, which diverged (published: behind by 0.0500)");
  EXPECT_EQ(rows_of(table)[1]["published"], 3.0);
  EXPECT_TRUE(rows_of(table)[1]["ours_minus_published"].is_null());
  for (ResultRun& run : set.runs) run.diverged = true;
  table = judge(set);
  EXPECT_EQ(render(table, TableFormat::text).find("order of"), std::string::npos) << "neither is before the other";
  for (const std::string& text : {render(table, TableFormat::text), html_report(set, "t")})
    for (const char* part : {"+inf", "nan"}) EXPECT_EQ(text.find(part), std::string::npos) << text;
}

TEST(Judge, AConversionComparesLikeWithLike) {
  ResultSet set = two_optimizers();
  for (ResultRun& run : set.runs) {
    run.validation["val_loss_batch_mean"] = run.validation["val_loss"];
    run.validation["val_loss_galore"] = run.validation["val_loss"];
  }
  Json item = target("adamw", 0);
  item["metric"] = "val_loss_galore", item["unit"] = "perplexity", item["value"] = 33.28, item["batches"] = 98;
  EXPECT_NEAR(std::exp(parse_target(item).loss_of_batch_mean()), 34.49, 0.005);
  set.targets = Json::array({item});
  set.metric = "val_loss_galore";
  EXPECT_NEAR(rows_of(judge(set))[1]["published"].get<double>(), std::log(33.28), 1e-12);
  set.metric = "val_loss_batch_mean";
  EXPECT_NEAR(rows_of(judge(set))[1]["published"].get<double>(), std::log(33.28) * 99 / 98, 1e-12);
  set.metric = "val_loss";  // another metric: the published value is shown but not compared
  EXPECT_TRUE(rows_of(judge(set))[1]["ours_minus_published"].is_null());
}

TEST(Judge, ATargetOfOtherStepsIsNotCompared) {
  ResultSet set = two_optimizers();
  Json item = target("adamw", 3.0);
  item["step"] = 20;
  set.targets = Json::array({item});
  const Table table = judge(set);
  EXPECT_TRUE(rows_of(table)[1]["ours_minus_published"].is_null());
  EXPECT_NE(render(table, TableFormat::text).find("3.0000 at step 20"), std::string::npos);
}

TEST(Judge, TheTargetWithTheRunsSettingsIsTaken) {
  Json plain = target("adamw", 3), special = target("adamw", 4);
  special["set"] = {{"optimizer.lr", 0.02}};
  const Json targets = {plain, special};
  EXPECT_EQ(target_of(targets, "papers/adamw.json", {{"optimizer", {{"lr", 0.01}}}})->value, 3);
  EXPECT_EQ(target_of(targets, "papers/adamw.json", {{"optimizer", {{"lr", 0.02}}}})->value, 4);
  EXPECT_FALSE(target_of(targets, "papers/muon.json", {}));
}

TEST(Judge, TokensToALossAreReadBetweenEvaluations) {
  ResultSet set = two_optimizers();
  // The validation loss of a run falls from loss + 2 at 0 tokens to loss + 1 at 500 and loss at 1000.
  EXPECT_NEAR(reaches(set.runs[1], "val_loss", 3.5)->tokens, 750, 1e-9);
  EXPECT_NEAR(reaches(set.runs[1], "val_loss", 9)->tokens, 0, 1e-9);
  EXPECT_FALSE(reaches(set.runs[1], "val_loss", 2.9));
  set.loss = 4;
  EXPECT_NEAR(rows_of(judge(set))[0]["tokens_to_loss"].get<double>(), 500, 1e-9);
  set.loss = 3.05;
  EXPECT_TRUE(rows_of(judge(set))[0]["tokens_to_loss"].is_null()) << "one seed never reaches this loss";
  set.loss = 9;
  EXPECT_EQ(render(judge(set), TableFormat::text).find("at most"), std::string::npos) << "it is reached at step 0";
  for (ResultRun& run : set.runs) run.validation["val_loss"].erase(run.validation["val_loss"].begin());
  const std::string text = render(judge(set), TableFormat::text);
  EXPECT_NE(text.find("at most 500"), std::string::npos) << text;
  EXPECT_NE(text.find("tokens to 9: \"at most\" is the first evaluation"), std::string::npos) << text;
}

TEST(Judge, WhatIsNotThroughOrDivergedIsSaid) {
  ResultSet set = two_optimizers();
  set.tuned = "", set.against = "";
  set.runs.resize(2);
  set.runs[0].tuned.reset(), set.runs[1].tuned.reset();
  set.runs[0].steps = 7, set.runs[0].validation["val_loss"].pop_back();
  set.runs[1].labels = {"small", "muon"};
  set.runs[1].diverged = true;
  const std::string text = render(judge(set), TableFormat::text);
  EXPECT_NE(text.find("unfinished"), std::string::npos) << text;
  EXPECT_NE(text.find("diverged"), std::string::npos) << text;
  EXPECT_NE(text.find("1 of 2 runs are unfinished"), std::string::npos) << text;
}

TEST(Judge, AMetricThatAFinishedRunLacksIsSaid) {
  ResultSet set = two_optimizers();
  set.metric = "val_loss_galore";
  const std::string text = render(judge(set), TableFormat::text);
  EXPECT_NE(text.find("not measured"), std::string::npos) << text;
  EXPECT_NE(text.find("10 of 10 runs are finished without val_loss_galore"), std::string::npos) << text;
  EXPECT_EQ(text.find("unfinished"), std::string::npos) << text;
  EXPECT_EQ(text.find("open"), std::string::npos) << text;
  for (ResultRun& run : set.runs) run.steps = 7;
  EXPECT_NE(render(judge(set), TableFormat::text).find("10 of 10 runs are unfinished"), std::string::npos);
}

TEST(Judge, TablesInEveryForm) {
  Table table;
  table.columns = {{"a", "a"}, {"β", "b"}};
  table.add_row() = {{"x,\"y\"", "x,\"y\""}, {"1.5 ± 0.1", 1.5}};
  table.add_row() = {{"", nullptr}, {"2", 2}};
  table.notes = {"said"};
  EXPECT_EQ(render(table, TableFormat::text), "a      β\nx,\"y\"  1.5 ± 0.1\n-      2\n\nsaid\n");
  EXPECT_EQ(render(table, TableFormat::markdown),
            "| a     | β         |\n|-------|-----------|\n| x,\"y\" | 1.5 ± 0.1 |\n| -     | 2         |\n\n- said\n");
  EXPECT_EQ(render(table, TableFormat::csv), "a,b\n\"x,\"\"y\"\"\",1.5\n,2\n");
  EXPECT_EQ(Json::parse(render(table, TableFormat::json)),
            Json::parse(R"({"rows": [{"a": "x,\"y\"", "b": 1.5}, {"a": null, "b": 2}], "notes": ["said"]})"));
}

// As labels of a sweep may be.
TEST(Judge, CellsStayCells) {
  Table table;
  table.columns = {{"a|b", "a"}, {"c", "c"}};
  table.add_row() = {{"x|y\nz", "x|y\nz"}, {"é", "é"}};
  table.notes = {"of a|b\nc"};
  EXPECT_EQ(render(table, TableFormat::markdown), "| a\\|b   | c |\n|--------|---|\n| x\\|y z | é |\n\n- of a|b c\n");
  EXPECT_EQ(render(table, TableFormat::text), "a|b    c\nx|y z  é\n\nof a|b c\n");
  EXPECT_EQ(render(table, TableFormat::csv), "a,c\n\"x|y\nz\",é\n");
}

// A run of 0 steps has no time, and its number of tokens may be unknown.
TEST(Judge, AMissingNumberIsEmpty) {
  ResultSet set;
  set.axes = {"size", "optimizer"};
  set.loss = 9;
  set.runs = {run_of("adamw", 0.01, 1, 3)};
  const double missing = std::numeric_limits<double>::quiet_NaN();
  set.runs[0].tuned.reset();
  set.runs[0].seconds = missing;
  for (ResultPoint& point : set.runs[0].validation["val_loss"]) point.tokens = missing;
  const Table table = judge(set, true);
  EXPECT_EQ(render(table, TableFormat::csv),
            "size,optimizer,seeds,val_loss,deviation,perplexity,tokens_to_loss,seconds\n"
            "small,adamw,1,3.0,,20.085536923187668,,\n");
  EXPECT_TRUE(rows_of(table)[0]["seconds"].is_null());
  EXPECT_EQ(render(table, TableFormat::text).find("nan"), std::string::npos);
}

TEST(Judge, ASweptRateHasTheRateOfAdamWBesideIt) {
  ResultSet set = two_optimizers();
  set.tuned = "";
  EXPECT_EQ(render(judge(set), TableFormat::text).find("its AdamW lr"), std::string::npos);
  set.axes[0] = "optimizer.lr";
  EXPECT_NE(render(judge(set), TableFormat::text).find("its AdamW lr"), std::string::npos);
}

TEST(Judge, ARunOfNoStepsHasRatesToo) {
  ResultRun run = run_of("adamw", 0.01, 1, 3);
  run.planned = 0;
  run.config["optimizer"]["groups"] = {
      {{"roles", {"embedding"}}, {"name", "adamw"}, {"schedule", {{"name", "constant"}, {"from_step", 5}}}}};
  EXPECT_EQ(rates_of(run).main, 0.01);
}

TEST(Judge, LossesOfDifferentTokenizersAreNotCompared) {
  ResultSet set = two_optimizers();
  EXPECT_TRUE(notes_on(set).empty());
  for (ResultRun& run : set.runs) run.config["tokenizer"] = "bytes";
  EXPECT_TRUE(notes_on(set).empty());
  set.runs[1].config["tokenizer"] = "gpt2:vocab.bpe";
  EXPECT_NE(render(judge(set), TableFormat::text).find("different tokenizers"), std::string::npos);
}

TEST(Judge, DifferentPrecisionsAreSaid) {
  ResultSet set = two_optimizers();
  for (ResultRun& run : set.runs) run.config["precision"] = "bf16";
  EXPECT_TRUE(notes_on(set).empty());
  set.runs[1].config["precision"] = "fp32";
  EXPECT_EQ(notes_on(set), std::vector<std::string>{"the runs differ in precision (bf16, fp32)"});
  set.axes[0] = "precision";
  EXPECT_TRUE(notes_on(set).empty()) << "the table has a column of it";
}

TEST(Judge, LossesOnDifferentTextAreNotCompared) {
  const Json config = {{"data", {{"validation", "a.bin"}}}, {"batch", {{"sequence_length", 16}}}};
  auto notes = [&](const std::function<void(ResultRun&)>& change) {
    ResultSet set = two_optimizers();
    for (ResultRun& run : set.runs) run.config.update(config), run.config["run"]["eval_tokens"] = 640;
    change(set.runs[1]);
    return notes_on(set);
  };
  using Notes = std::vector<std::string>;
  const std::string before = "the losses are not of the same text and context: the runs differ in ";
  EXPECT_EQ(notes([](ResultRun&) {}), Notes{});
  EXPECT_EQ(notes([](ResultRun& run) {
              run.config["data"]["validation"] = Json::array({"a.bin", "b.bin"});
            }),
            Notes{before + "data.validation (a.bin, [\"a.bin\",\"b.bin\"])"});
  EXPECT_EQ(notes([](ResultRun& run) { run.config["data"]["reading"] = "documents"; }),
            Notes{before + "data.reading (packed, documents)"});
  EXPECT_EQ(notes([](ResultRun& run) { run.config["data"]["reading"] = "packed"; }), Notes{});
  EXPECT_EQ(notes([](ResultRun& run) {
              run.config["data"]["documents"] = {{"end_token", "first"}};
            }),
            Notes{before + "data.documents (none, {\"end_token\":\"first\"})"});
  EXPECT_EQ(notes([](ResultRun& run) {
              run.config["data"]["batch_means"] = {{"ranks", 2}};
            }),
            Notes{before + "data.batch_means (none, {\"ranks\":2})"});
  EXPECT_EQ(notes([](ResultRun& run) {
              run.config["batch"]["sequence_length"] = 32;
              run.config["run"]["eval_tokens"] = 1280;
            }),
            Notes{before + "batch.sequence_length (16, 32) and run.eval_tokens (640, 1280)"});
  EXPECT_EQ(notes([](ResultRun& run) {
              run.config["run"]["eval_tokens"] = 1280;
              run.validation.clear();  // a run without an evaluation is compared with none
            }),
            Notes{});
}

TEST(Judge, RunsThatDifferInMoreThanTheirSeedsAreNamed) {
  ResultSet set = two_optimizers();
  for (ResultRun& run : set.runs) run.config["run"] = {{"steps", 10}, {"seed", *run.seed}, {"dir", run.name}};
  EXPECT_EQ(render(judge(set), TableFormat::text).find("warning"), std::string::npos);
  set.runs[3].config["run"]["steps"] = 20;  // adamw at 0.01, seed 2
  set.runs[3].config["new"] = 1;            // a key that only this run has
  const std::string text = render(judge(set), TableFormat::text);
  EXPECT_NE(text.find("warning: adamw: runs that differ in run.steps are counted as seeds; "), std::string::npos)
      << text;
  set.runs[0].config["run"]["steps"] = 30;  // a run at another rate than the best
  EXPECT_EQ(text, render(judge(set), TableFormat::text));
}

// Rows of one block are compared with each other, so the table says if their losses are of runs of other lengths or
// models.
TEST(Judge, RowsOfDifferentTrainingAreSaid) {
  ResultSet set = two_optimizers();
  for (ResultRun& run : set.runs)
    run.config.update({{"model", {{"hidden_size", 64}}}, {"run", {{"steps", 10}}}, {"batch", {{"sequences", 8}}}});
  const auto notes = [&] { return render(judge(set), TableFormat::text); };
  EXPECT_EQ(notes().find("not of the same training"), std::string::npos);
  for (ResultRun& run : set.runs)
    if (run.labels[1] == "muon") run.config["run"]["steps"] = 20, run.config["model"]["hidden_size"] = 32;
  EXPECT_NE(notes().find("the rows of small are not of the same training: they differ in model and run.steps ("),
            std::string::npos)
      << notes();
  set.axes[0] = "run.steps";  // the table has a column of it
  EXPECT_NE(notes().find("they differ in model\n"), std::string::npos) << notes();
  for (ResultRun& run : set.runs) run.labels[0] = run.labels[1];  // rows of different blocks
  EXPECT_EQ(notes().find("not of the same training"), std::string::npos) << notes();
}

// At 80 columns the table fits. At 22 columns it fits with rows and columns exchanged. At 18 columns only one row fits
// at a time.
TEST(Judge, ATableFitsTheTerminal) {
  Table table;
  table.columns = {{"run", ""}, {"loss", ""}, {"steps", ""}, {"tokens/s", ""}};
  table.add_row() = {{"one", {}}, {"1.25", {}}, {"10", {}}, {"100", {}}};
  table.add_row() = {{"other", {}}, {"2.5", {}}, {"20", {}}, {"200", {}}};
  table.notes = {"a note of some words"};
  EXPECT_EQ(render_for(table, 80),
            "run    loss  steps  tokens/s\none    1.25  10     100\nother  2.5   20     200\n\na note of some words\n");
  EXPECT_EQ(render_for(table, 22),
            "run       one   other\nloss      1.25  2.5\nsteps     10    20\ntokens/s  100   200\n\n"
            "a note of some words\n");
  EXPECT_EQ(render_for(table, 18),
            "run       one\nloss      1.25\nsteps     10\ntokens/s  100\n\n"
            "run       other\nloss      2.5\nsteps     20\ntokens/s  200\n\na note of some\nwords\n");
}

TEST(Judge, TheReportIsOnePageWithoutANetwork) {
  ResultSet set = two_optimizers();
  set.targets = Json::array({target("adamw", 3.05)});
  for (ResultRun& run : set.runs) run.telemetry["mean/alpha"] = {{5, 500, 1.2}, {10, 1000, 1.1}};
  const std::string html = html_report(set, "a <title>");
  EXPECT_NE(html.find("a &lt;title&gt;"), std::string::npos);
  for (const char* part :
       {"<svg", "Loss against lr", "alpha, mean over the matrices", "published: small, adamw", "optimizer.name"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  for (const char* part : {"<script", "http:", "https:", "nan", "inf,"}) {
    std::string without = std::regex_replace(html, std::regex("http://www.w3.org/2000/svg"), "");
    EXPECT_EQ(without.find(part), std::string::npos) << part;
  }
}

TEST(Judge, APlotOfNothingIsNothing) {
  EXPECT_EQ(plot_svg({"t", "x", "y", false, {}}), "");
  EXPECT_EQ(plot_svg({"t", "x", "y", true, {{"a", 0, false, {{0, 1}, {-1, 2}}}}}), "") << "no logarithm";
  EXPECT_NE(plot_svg({"t", "x", "y", true, {{"a", 0, false, {{0.1, 1}, {1, INFINITY}, {10, 2}}}}}), "");
}

class Targets : public ::testing::Test {
 protected:
  std::string error(const std::string& text) {
    return error_of([&] { load_targets(folder_.write("targets.json", text)); });
  }
  TemporaryFolder folder_;
};

TEST_F(Targets, AreReadStrictly) {
  auto with = [](const std::string& more) {
    return R"({"targets": [{"config": "a.json", "metric": "val_loss", "step": 10, "source": "Table 1", )" + more +
           "}]}";
  };
  EXPECT_EQ(error(with(R"("nats": 3.1)")), "");
  const Json targets = load_targets(folder_ / "targets.json");
  EXPECT_EQ(targets[0]["config"], (fs::path(folder_ / "x").parent_path() / "a.json").string());
  EXPECT_NE(error(with(R"("nats": 3.1, "perplexity": 20)")).find("conflicts with perplexity"), std::string::npos);
  EXPECT_NE(error(with(R"("nats": 3.1, "sd": 1)")).find("unknown key 'sd'"), std::string::npos);
  EXPECT_NE(error(R"({"targets": [{"config": "a", "metric": "accuracy"}]})")
                .find("targets.json:1: targets.0.metric: found "
                      "'accuracy', expected one of val_loss"),
            std::string::npos);
  EXPECT_NE(
      error(R"({"targets": [{"config": "a", "metric": "val_loss_galore", "perplexity": 20, "step": 1, "source": ""}]})")
          .find("batches: is missing"),
      std::string::npos);
  auto two = [&](const std::string& first, const std::string& second) {
    const std::string setup = R"({"config": "a.json", "metric": "val_loss", "step": 10, "source": "")";
    return error(R"({"targets": [)" + setup + ", " + first + "}, " + setup + ", " + second + "}]}");
  };
  EXPECT_NE(
      two(R"("nats": 3)", R"("nats": 4)").find("targets.1.nats: found 4.0, expected 3 nats as another result has"),
      std::string::npos);
  EXPECT_NE(two(R"("perplexity": 1)", R"("nats": 4)").find("targets.1.nats: found 4.0"), std::string::npos);
  EXPECT_EQ(two(R"("nats": 3)", R"("nats": 3)"), "") << "reported twice";
  EXPECT_EQ(two(R"("nats": 3)", R"("nats": 4, "set": {"optimizer.lr": 0.1})"), "");
  auto elsewhere = [&](const std::string& more) {
    return error(R"({"targets": [], "elsewhere": [{"source": "a", "what": "b", "optimizer": "muon")" + more + "}]}");
  };
  EXPECT_EQ(elsewhere(R"(, "bits_per_byte": 1.2, "seeds": 3, "deviation": 0.01)"), "");
  EXPECT_NE(elsewhere("").find(
                "elsewhere.0.what: expected exactly one of perplexity, nats and bits_per_byte beside this key"),
            std::string::npos);
  EXPECT_NE(elsewhere(R"(, "nats": 1, "step": 2)").find("unknown key 'step'"), std::string::npos);
}

}  // namespace
}  // namespace rowan
