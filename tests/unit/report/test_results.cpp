#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "report/html.h"
#include "report/judge.h"
#include "report/results.h"
#include "small_run.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

// A run of fewer than 10 steps has the loss of its last step.
TEST(Results, TrainLossIsTheMeanOfTheLastTenth) {
  for (const auto& [steps, expected] : {std::pair{1, 1.0}, {9, 9.0}, {10, 10.0}, {20, 19.5}}) {
    TemporaryFolder folder;
    folder.write("config.json", fmt::format(R"({{"run": {{"steps": {}}}}})", steps));
    std::string rows;
    for (int step = 1; step <= steps; ++step) rows += fmt::format("{{\"step\": {0}, \"loss\": {0}}}\n", step);
    folder.write("metrics.jsonl", rows);
    EXPECT_EQ(read_run(folder / "").train_loss, expected) << steps;
  }
}

// Groups, or rates of embeddings and vectors in a model without a head, may leave no parameter at AdamW's rate.
TEST(Results, ARateThatNoParameterHasIsNone) {
  const auto rate = [](bool tied, const std::string& rest) {
    ResultRun run;
    run.config = {{"model", small_llama()}, {"optimizer", Json::parse(R"({"name": "muon", "lr": 0.02)" + rest + "}")}};
    run.config["model"]["tie_word_embeddings"] = tied;
    run.planned = 10;
    return rates_of(run).adamw;
  };
  EXPECT_EQ(rate(false, ""), 3e-4);
  EXPECT_EQ(rate(false, R"(, "groups": [{"roles": ["embedding", "head"], "name": "lion"}])"), 3e-4);
  EXPECT_EQ(rate(false, R"(, "groups": [{"roles": ["embedding", "head", "norm"], "name": "lion"}])"), std::nullopt);
  const std::string own = R"(, "adamw": {"lr": 0.1, "embedding_lr": 0.3, "vector_lr": 0.2})";
  EXPECT_EQ(rate(false, own), 0.1);
  EXPECT_EQ(rate(true, own), std::nullopt);
}

// A table also shows runs of other versions, whose switches this one may refuse.
TEST(Results, ARefusedConfigHasTheRatesThatItNames) {
  ResultRun run;
  run.planned = 10;
  run.config = {{"optimizer", {{"name", "muon"}, {"lr", 0.02}, {"later_switch", 1}, {"adamw", {{"lr", 0.1}}}}}};
  EXPECT_EQ(rates_of(run).recipe, "muon");
  EXPECT_EQ(rates_of(run).main, 0.02);
  EXPECT_EQ(rates_of(run).adamw, 0.1);
  run.config = {{"optimizer", {{"name", "later"}}}};
  EXPECT_EQ(rates_of(run).recipe, "later");
  EXPECT_TRUE(std::isnan(rates_of(run).main));
  EXPECT_EQ(rates_of(run).adamw, std::nullopt);
}

ResultRun run_with(const std::string& rows) {
  TemporaryFolder folder;
  folder.write("config.json", R"({"run": {"steps": 60}})");
  folder.write("metrics.jsonl", rows);
  return read_run(folder / "");
}

// A loss that is not finite is null in metrics.jsonl.
TEST(Results, ARunDivergesWithItsNewestValidationLoss) {
  const std::string rows = "{\"step\": 20, \"val_loss\": 5.5}\n{\"step\": 40, \"val_loss\": null}\n";
  EXPECT_TRUE(run_with(rows).diverged);
  EXPECT_EQ(run_with(rows).final_loss("val_loss"), std::numeric_limits<double>::infinity());
  EXPECT_FALSE(run_with(rows + "{\"step\": 60, \"val_loss\": 5.2}\n").diverged);
}

// The loss before the mark is of other text, so it is neither the best loss nor a point of the curve.
TEST(Results, LossesBeforeAChangedEvaluationAreLeftOut) {
  const std::string rows =
      "{\"step\": 20, \"loss\": 6, \"tokens\": 200}\n{\"step\": 20, \"val_loss\": 3.5}\n"
      "{\"step\": 20, \"evaluation\": \"changed\"}\n";
  EXPECT_TRUE(run_with(rows).validation.empty());
  const ResultRun run =
      run_with(rows + "{\"step\": 40, \"loss\": 5, \"tokens\": 400}\n{\"step\": 40, \"val_loss\": 5.5}\n");
  ASSERT_EQ(run.validation.at("val_loss").size(), 1u);
  EXPECT_EQ(run.validation.at("val_loss")[0].loss, 5.5);
  EXPECT_FALSE(reaches(run, "val_loss", 4)) << "only the other text was as easy";
  EXPECT_EQ(reaches(run, "val_loss", 6)->tokens, 400);
  EXPECT_EQ(run.training.size(), 2u);
}

TEST(Results, ARunThatPatienceEndedIsFinished) {
  const std::string rows =
      "{\"step\": 20, \"loss\": 6, \"val_loss\": 5.5}\n{\"step\": 40, \"val_loss\": 5.75}\n{\"step\": 40, \"ended\": "
      "\"patience\"}\n";
  const ResultRun run = run_with(rows);
  EXPECT_EQ(run.last_step(), 40);
  EXPECT_EQ(run.final_loss("val_loss"), 5.75);
  ResultSet set;
  set.runs = {run};
  set.runs[0].name = "a";
  EXPECT_EQ(notes_on(set), std::vector<std::string>{"a ended at step 40 of 60, by run.patience"});
  // The run was continued.
  const ResultRun more = run_with(rows + "{\"step\": 41, \"loss\": 5}\n");
  EXPECT_EQ(more.last_step(), 60);
  EXPECT_FALSE(more.final_loss("val_loss"));
}

TEST(Results, NoTokensAreReadBeforeTheFirstStep) {
  EXPECT_EQ(run_with("{\"step\": 0, \"val_loss\": 5.5}\n").validation.at("val_loss")[0].tokens, 0);
}

// Without `seeds`, a sweep.json has no seed, and the config of a run that has not begun is not there.
TEST(Results, ATunedSweepWithoutSeedsShowsItsFinishedRuns) {
  TemporaryFolder folder;
  Json runs = Json::array();
  for (const auto& [name, tuned] : {std::pair("a", 0.1), {"b", 0.2}, {"c", 0.4}})
    runs.push_back({{"name", name}, {"labels", Json::array()}, {"config", "base.json"}, {"tuned", tuned}});
  folder.write("sweep.json", Json{{"axes", Json::array()},
                                  {"tuned", "lr"},
                                  {"metric", "val_loss"},
                                  {"against", ""},
                                  {"targets", Json::array()},
                                  {"runs", runs}}
                                 .dump());
  for (const auto& [name, loss] : {std::pair("b", 3.5), {"c", 3.25}}) {
    std::filesystem::create_directory(folder / name);
    folder.write(name + std::string("/config.json"),
                 R"({"run": {"steps": 1, "seed": 42}, "optimizer": {"name": "adamw", "lr": 0.1}})");
    folder.write(name + std::string("/metrics.jsonl"),
                 fmt::format("{{\"step\": 1, \"loss\": 4, \"val_loss\": {}}}\n", loss));
  }
  const ResultSet set = read_sweep(folder / "");
  const ResultGroup group = make_groups(set).at(0);
  EXPECT_EQ(group.best, 0.4);
  EXPECT_EQ(group.loss.mean, 3.25);
  EXPECT_NE(html_report(set, "t").find("Loss against lr"), std::string::npos);
}

// The list of targets in a sweep.json, which a hand or another version may have written.
TEST(Results, TargetsOfASweepAreChecked) {
  TemporaryFolder folder;
  const Json good = {{"config", "a.json"},   {"set", Json::object()},
                     {"metric", "val_loss"}, {"unit", "nats"},
                     {"value", 3.5},         {"step", 10},
                     {"seeds", 1},           {"batches", 0},
                     {"source", "Table 1"},  {"confidence", "printed"}};
  const auto error = [&](const Json& targets) {
    folder.write("sweep.json", Json{{"axes", Json::array()},
                                    {"tuned", ""},
                                    {"metric", "val_loss"},
                                    {"against", ""},
                                    {"targets", targets},
                                    {"runs", Json::array()}}
                                   .dump());
    try {
      EXPECT_EQ(read_sweep(folder / "").targets, targets);
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(error(Json::array()), "");
  EXPECT_EQ(error(Json::array({good})), "");
  EXPECT_NE(error({{"x", 1}}).find("sweep.json:1: targets: found an object"), std::string::npos);
  EXPECT_NE(error(Json::array({1})).find("targets.0: found an integer, expected an object"), std::string::npos);
  for (const auto& [key, value] : good.items()) {
    Json lacks = good, wrong = good;
    lacks.erase(key);
    wrong[key] = nullptr;
    EXPECT_NE(error(Json::array({lacks})).find("targets.0."), std::string::npos) << key;
    EXPECT_NE(error(Json::array({wrong})).find("targets.0." + key), std::string::npos) << key;
  }
}

TEST(Results, ARunIsReadOnce) {
  TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    std::filesystem::create_directory(folder / name);
    folder.write(std::string(name) + "/config.json", R"({"run": {"steps": 1}})");
    folder.write(std::string(name) + "/metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n");
  }
  std::filesystem::create_directory_symlink("a", folder / "link");
  auto error = [&](const std::string& second) {
    try {
      read_runs({folder / "a", folder / second}, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(error("b"), "");
  EXPECT_EQ(error("a"), folder / "a" + std::string(": given twice"));
  for (const char* other : {"link", "b/../a"})
    EXPECT_EQ(error(other), folder / other + std::string(": given twice, also as ") + (folder / "a"));
}

TEST(Results, ASweepIsNoRun) {
  TemporaryFolder folder;
  folder.write("sweep.json", "{}");
  try {
    read_runs({folder / ""}, {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(": found a sweep, expected the folder of a run"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace rowan
