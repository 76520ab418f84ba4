#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "commands/commands.h"
#include "temporary_folder.h"
#include "unit/commands/run_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Compare : public ::testing::Test {
 protected:
  // Writes a run of 40 steps that was evaluated twice. A loss that is not finite is null. Returns the run's folder.
  std::string write_run(const std::string& name, const std::vector<std::string>& losses) {
    fs::create_directories(folder_ / name);
    folder_.write(name + "/config.json", R"({"optimizer": {"name": "adamw", "lr": 0.01}, "run": {"steps": 40}})");
    std::string rows;
    for (int step = 0; const std::string& loss : losses) {
      step += 20;
      rows += fmt::format("{{\"step\": {0}, \"loss\": {1}, \"tokens\": {0}, \"seconds\": 1}}\n", step, loss);
      rows += fmt::format("{{\"step\": {}, \"val_loss\": {}}}\n", step, loss);
    }
    folder_.write(name + "/metrics.jsonl", rows);
    return folder_ / name;
  }

  // The standard output of the command.
  static std::string run(void (*add)(CommandLine&), const std::string& arguments) {
    const Told told = run_command(add, arguments);
    EXPECT_EQ(told.error, "");
    return told.out;
  }

  TemporaryFolder folder_;
};

TEST_F(Compare, ADivergedRunIsBehindTheFiniteOnes) {
  const std::string runs = write_run("new", {}) + " " + write_run("diverged", {"2.5", "null"}) + " " +
                           write_run("stopped", {"null"}) + " " + write_run("worse", {"4", "3.5"}) + " " +
                           write_run("better", {"4", "3"});
  const Json rows = Json::parse(run(add_compare, runs + " --format json"))["rows"];
  const std::vector<std::string> order = {"better", "worse", "diverged", "stopped", "new"};
  ASSERT_EQ(rows.size(), order.size());
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(rows[i]["run"], folder_ / order[i]);
  EXPECT_EQ(rows[1]["val_loss"], 3.5);
  EXPECT_TRUE(rows[2]["val_loss"].is_null());
  EXPECT_TRUE(rows[2]["perplexity"].is_null());
  EXPECT_EQ(rows[2]["best"], 2.5);
  const std::string text = run(add_compare, runs + " --format text");
  std::istringstream lines(text);
  size_t diverged = 0;
  for (std::string row; std::getline(lines, row);) diverged += row.find(" diverged ") != std::string::npos;
  EXPECT_EQ(diverged, 2) << text;
  const std::string csv = run(add_compare, runs + " --format csv");
  EXPECT_NE(csv.find("/diverged,adamw,0.01,,40,40.0,,,,2.5,40.0,1.0\n"), std::string::npos) << csv;
  EXPECT_EQ(csv.find("null"), std::string::npos) << csv;
  run(add_report, runs + " --out " + folder_ / "page.html");
  EXPECT_NE(read_file(folder_ / "page.html").find("<td>diverged</td>"), std::string::npos);
}

// An unfinished run may have trained since its last evaluation, whose step is then shown.
TEST_F(Compare, ALossOfAnEarlierStepHasItsStep) {
  const std::string stopped = write_run("stopped", {"4"}), whole = write_run("whole", {"4", "3"});
  folder_.write("stopped/metrics.jsonl", read_file(folder_ / "stopped/metrics.jsonl") +
                                             "{\"step\": 30, \"loss\": 3.5, \"tokens\": 30, \"seconds\": 2}\n");
  const std::string text = run(add_compare, stopped + " " + whole + " --format csv") +
                           run(add_compare, stopped + " " + whole + " --format markdown");
  EXPECT_NE(text.find("| 30 of 40 | 30     | 3.5000     | 4.0000 at 20 | 54.598     | 4.0000 at 20  |"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("| 3.0000       |"), std::string::npos) << text;
  EXPECT_NE(text.find(",val_loss,"), std::string::npos) << text;
  const std::string other = run(add_compare, whole + " --metric val_loss_batch_mean --format markdown");
  EXPECT_NE(other.find("| best val_loss_batch_mean |"), std::string::npos) << other;
}

TEST_F(Compare, AFolderWhoseNameIsNotUtf8IsShown) {
  const std::string name = write_run("run\xff", {"3"});
  const Json rows = Json::parse(run(add_compare, name + " --format json"))["rows"];
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["run"], folder_ / "run\ufffd");
  for (const char* format : {"text", "markdown", "csv"})
    EXPECT_NE(run(add_compare, name + " --format " + format).find("run\xff"), std::string::npos) << format;
  run(add_report, name + " --out " + folder_ / "page.html");
}

}  // namespace
}  // namespace rowan
