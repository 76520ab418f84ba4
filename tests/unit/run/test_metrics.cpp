#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/json.h"
#include "error_of.h"
#include "run/metrics.h"
#include "train/progress.h"
#include "train/signals.h"
#include "train/spike_detector.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class MetricsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("rowan_metrics_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  MetricsLog log(std::optional<int64_t> resumed) {
    return MetricsLog(dir_, resumed, [this](const std::string& text) { notes_ += text + "\n"; });
  }
  std::string content() { return read_file(dir_ / "metrics.jsonl"); }
  fs::path dir_;
  std::string notes_;
};

TEST_F(MetricsTest, RowsAreLinesOfJson) {
  MetricsLog log = this->log({});
  log.validation_row({0, 5.5, {}});
  log.train_row({1, 2.5, 0.001, 0.75, 4096, 1000, NAN, 4});
  log.validation_row({1, 2.25, {{"nats_per_byte", 0.5}}});
  EXPECT_EQ(content(),
            "{\"step\":0,\"val_loss\":5.5}\n"
            "{\"step\":1,\"loss\":2.5,\"lr\":0.001,\"grad_norm\":0.75,\"tokens\":4096,\"tokens_per_second\":1000.0,"
            "\"mfu\":null,\"seconds\":4.0}\n"
            "{\"step\":1,\"val_loss\":2.25,\"nats_per_byte\":0.5}\n");
}

TEST_F(MetricsTest, ResumingDropsRowsBehindTheCheckpoint) {
  {
    MetricsLog log = this->log({});
    for (int step = 1; step <= 4; ++step) log.train_row({.step = step});
    log.validation_row({4, 1, {}});
  }
  const std::string whole = content(), first_two = whole.substr(0, whole.find("{\"step\":3"));
  std::ofstream(dir_ / "metrics.jsonl", std::ios::app) << "{\"step\":2,\"lo";  // killed in the middle of a line
  {
    MetricsLog log = this->log(4);
    EXPECT_EQ(content(), whole);
  }
  MetricsLog log = this->log(2);
  EXPECT_EQ(content(), first_two);
  log.validation_row({2, 1, {}});
  EXPECT_EQ(content(), first_two + "{\"step\":2,\"val_loss\":1.0}\n");
  MetricsLog fresh = this->log({});
  EXPECT_EQ(content(), "");
  EXPECT_THROW(MetricsLog(dir_ / "absent", {}, nullptr), Error);
  EXPECT_EQ(notes_, "") << "an incomplete last line needs no note";
}

TEST_F(MetricsTest, AnEndByPatienceIsARowUntilTheRunGoesOn) {
  std::string before;
  {
    MetricsLog log = this->log({});
    log.validation_row({2, 1, {}});
    before = content();
    log.ended_row(2);
  }
  EXPECT_EQ(content(), before + "{\"step\":2,\"ended\":\"patience\"}\n");
  const auto ended = [&] { return ended_step(read_metrics(dir_ / "metrics.jsonl", [](const std::string&) {})); };
  EXPECT_EQ(ended(), 2);
  MetricsLog log = this->log(2);
  EXPECT_EQ(content(), before);
  EXPECT_EQ(log.evaluations().size(), 1u);
  EXPECT_EQ(ended(), std::nullopt);
  EXPECT_EQ(ended_step({{{"step", 2}, {"ended", "patience"}}, {{"step", 3}, {"loss", 1}}}), std::nullopt);
}

TEST_F(MetricsTest, AnEvaluationThatIsRepeatedIsDropped) {
  {
    MetricsLog log = this->log({});
    for (int step = 1; step <= 2; ++step) {
      log.train_row({.step = step});
      log.validation_row({step, 1, {}});
    }
  }
  const std::string whole = content();
  MetricsLog log(
      dir_, 2, [](const std::string&) {}, true);
  EXPECT_EQ(content(), whole.substr(0, whole.rfind("{\"step\":2,\"val_loss\"")));
  EXPECT_EQ(log.evaluations().size(), 1u);
}

TEST_F(MetricsTest, EvaluationsBeginAnewAtAMark) {
  const auto evaluated = [](const MetricsLog& log) {
    std::vector<int64_t> steps;
    for (const ValidationRow& row : log.evaluations()) steps.push_back(row.step);
    return steps;
  };
  using Steps = std::vector<int64_t>;
  {
    MetricsLog log = this->log({});
    for (int step : {2, 4, 6}) log.validation_row({step, 1, {}});
  }
  std::ofstream(dir_ / "metrics.jsonl", std::ios::app) << "{\"step\":6,\"lo";
  mark_other_evaluation(dir_ / "metrics.jsonl", 4);
  const std::string first = "{\"step\":2,\"val_loss\":1.0}\n", second = "{\"step\":4,\"val_loss\":1.0}\n",
                    mark = "{\"step\":4,\"evaluation\":\"changed\"}\n";
  {
    MetricsLog log = this->log(4);
    EXPECT_EQ(evaluated(log), Steps{});
    log.validation_row({4, 2, {}});
    log.validation_row({6, 3, {}});
  }
  EXPECT_EQ(content(), first + second + mark + "{\"step\":4,\"val_loss\":2.0}\n{\"step\":6,\"val_loss\":3.0}\n");
  {
    MetricsLog log = this->log(4);  // killed before its next checkpoint
    EXPECT_EQ(evaluated(log), Steps{4});
  }
  // Back to a checkpoint before the mark, under the config after it.
  MetricsLog log = this->log(2);
  EXPECT_EQ(evaluated(log), Steps{});
  EXPECT_EQ(content(), first + "{\"step\":2,\"evaluation\":\"changed\"}\n");
}

// A limit on file sizes makes writes fail as on a full disk. The TensorBoard events of a row are larger than the row,
// so they fail first.
TEST_F(MetricsTest, EventsThatCannotBeWrittenCostOneNoteAndNoRow) {
  MetricsLog log = this->log({});
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {1500, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  int64_t step = 0;
  std::string error;
  try {
    while (notes_.empty()) log.train_row({.step = ++step});
  } catch (const Error& failed) {
    error = failed.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(error, "");
  EXPECT_NE(notes_.find("no more events for TensorBoard"), std::string::npos) << notes_;
  for (int more = 0; more < 3; ++more) log.train_row({.step = ++step});
  const std::string rows = content();
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), step);
  EXPECT_EQ(std::count(notes_.begin(), notes_.end(), '\n'), 1) << notes_;
}

TEST_F(MetricsTest, BrokenRowsCostOneNote) {
  const std::string good = "{\"step\":1,\"loss\":2.0}\n", end = "{\"step\":3,\"val_loss\":1.5}\n";
  write_file_atomically(dir_ / "metrics.jsonl",
                        good + std::string(30, '\0') + "\n{\"loss\":1}\n[]\n{\"step\":\"a\",\"loss\":1}\n" +
                            "{\"step\":1e30,\"loss\":1}\n{\"step\":2,\"loss\":\"b\"}\n{\"step\":-1}\n" + end +
                            "{\"step\"");
  std::string notes;
  const std::vector<Json> rows = read_metrics(dir_ / "metrics.jsonl", [&](const std::string& text) { notes += text; });
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1]["val_loss"], 1.5);
  EXPECT_EQ(notes,
            (dir_ / "metrics.jsonl").string() + ", line 2: found an invalid row; left out, with 6 other such rows");
  MetricsLog log = this->log(3);
  EXPECT_EQ(content(), good + end);
  EXPECT_EQ(notes_, notes + "\n");
  ASSERT_EQ(log.evaluations().size(), 1u);
  EXPECT_EQ(log.evaluations()[0].val_loss, 1.5);
}

TEST_F(MetricsTest, AResumeIsARowAndCountsOnce) {
  for (int start = 0; start < 3; ++start) {
    MetricsLog log = this->log(start ? std::optional<int64_t>(5) : std::nullopt);
    if (start) log.resume_row(5, {{"world_size", start}});
    if (!start) log.train_row({.step = 5});
    log.train_row({.step = 6});
    log.sync();
  }
  const std::string text = content();
  EXPECT_EQ(text.find("{\"step\":6"), text.rfind("{\"step\":6"));
  EXPECT_EQ(text.find("resume"), text.find("\"resume\":{\"world_size\":2}") + 1) << text;
}

// A full disk accepts only part of a line. The rest of it, and later rows, are written once there is room.
TEST_F(MetricsTest, RowsThatFindNoRoomAreWrittenLater) {
  MetricsLog log = this->log({});
  log.train_row({.step = 1});
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const auto limit_size = [&](rlim_t size) {
    const rlimit limit{size, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  };
  limit_size(content().size() + 20);
  for (int step = 2; step <= 3; ++step) log.validation_row({step, 1, {}});
  const std::string failed = error_of([&] { log.sync(); });
  limit_size(before.rlim_cur);
  log.validation_row({4, 1, {}});
  limit_size(content().size());
  log.validation_row({5, 1, {}});
  limit_size(before.rlim_cur);
  std::signal(SIGXFSZ, handler);
  log.sync();
  const std::string file = (dir_ / "metrics.jsonl").string(), full = "cannot write " + file + ": File too large";
  EXPECT_EQ(failed, full);
  const std::string note = "warning: " + full + "; rows wait in memory, and each later row tries again\n";
  const size_t first = notes_.find(note), second = notes_.find(note, first + 1);
  EXPECT_NE(second, std::string::npos) << "a note for each full disk: " << notes_;
  EXPECT_EQ(notes_.find(note, second + 1), std::string::npos) << notes_;
  std::string steps;
  for (const Json& row : read_metrics(file, [](const std::string& text) { FAIL() << text; }))
    steps += row["step"].dump();
  EXPECT_EQ(steps, "12345");
}

TEST_F(MetricsTest, RowsThatWereRemovedOrReplacedAreWrittenAgain) {
  MetricsLog log = this->log({});
  log.validation_row({1, 1, {}});
  log.sync();
  EXPECT_EQ(notes_, "");
  fs::remove(dir_ / "metrics.jsonl");
  log.validation_row({2, 1, {}});
  log.sync();
  write_file_atomically(dir_ / "metrics.jsonl", "{\"step\":1,\"val_loss\":0.5}\n");
  log.validation_row({3, 1, {}});
  log.sync();
  EXPECT_EQ(content(), "{\"step\":1,\"val_loss\":1.0}\n{\"step\":2,\"val_loss\":1.0}\n{\"step\":3,\"val_loss\":1.0}\n");
  const std::string note =
      "warning: " + (dir_ / "metrics.jsonl").string() + ": was removed or replaced; written again with all rows\n";
  EXPECT_EQ(notes_, note + note);
}

TEST_F(MetricsTest, ProgressRewritesOneLineOnATerminal) {
  const TrainRow row{250, 3.4521, 2e-3, 0.8125, 1000000, 41234, 0.381, 25};
  auto shown = [&](bool in_place) {
    std::FILE* file = std::fopen((dir_ / "out").c_str(), "w");
    fs::remove(dir_ / "log.txt");
    {
      Progress progress(500, file, file, in_place);
      progress.message("before the log");
      progress.keep_log(dir_ / "log.txt");
      progress.train(row, 24);
      progress.validation({250, 3.5, {{"floor", 1.25}}});
      TrainRow last = row;
      last.step = 500;
      last.mfu = NAN;
      progress.train(last, 0);
    }
    std::fclose(file);
    return read_file(dir_ / "out");
  };
  const std::string line = "step 250/500  loss 3.4521  lr 2.00e-03  |g| 0.812  41.2K tok/s  MFU 38.1%  ETA 24s";
  const std::string validation = "step 250/500  validation loss 3.5000  floor 1.2500\n";
  const std::string last = "step 500/500  loss 3.4521  lr 2.00e-03  |g| 0.812  41.2K tok/s";
  const std::string plain = "before the log\n" + line + "\n" + validation + last + "\n";
  EXPECT_EQ(shown(false), plain);
  EXPECT_EQ(read_file(dir_ / "log.txt"), plain);
  EXPECT_EQ(shown(true), "before the log\n\r\x1b[K" + line + "\n" + validation + "\r\x1b[K" + last + "\n");
  EXPECT_EQ(read_file(dir_ / "log.txt"), plain);
}

TEST_F(MetricsTest, AnEvaluationIsAPassingLine) {
  std::FILE* file = std::fopen((dir_ / "out").c_str(), "w");
  {
    Progress progress(500, file, file, true);
    progress.train({.step = 1, .loss = 2, .tokens_per_second = 100, .mfu = NAN}, 9);
    progress.evaluating(1, 0.25);
    progress.validation({1, 3.5, {}});
    Progress plain(500, file, file, false);
    plain.evaluating(1, 0.5);
  }
  std::fclose(file);
  EXPECT_EQ(read_file(dir_ / "out"),
            "\r\x1b[Kstep 1/500  loss 2.0000  lr 0.00e+00  |g| 0  100 tok/s  ETA 9.0s\n"
            "\r\x1b[Kstep 1/500  evaluating, 25%\r\x1b[Kstep 1/500  validation loss 3.5000\n");
}

TEST(Console, LinesBreakAtWordsUnderTheirText) {
  EXPECT_EQ(wrapped("  model  one two three four five", 20, 9), "  model  one two\n         three four\n         five");
  EXPECT_EQ(wrapped("one two three", 0), "one two three");
  EXPECT_EQ(wrapped("one two three\nfour", 10), "one two\nthree\nfour");
  EXPECT_EQ(wrapped("aaaaaaaaaaaaaaaa bb", 10), "aaaaaaaaaaaaaaaa bb") << "nowhere to break";
  EXPECT_EQ(wrapped("± ± ± ± ± ± ±", 13), "± ± ± ± ± ± ±") << "columns, not bytes";
}

TEST_F(MetricsTest, WhatCannotBeShownIsLostAndNothingElse) {
  std::FILE* full = std::fopen("/dev/full", "w");
  {
    Progress progress(500, full, full, false);
    progress.keep_log("/dev/full");
    progress.train({.step = 1}, 0);
    progress.message("lost");
    Progress nowhere(500, full, full, true);
    nowhere.keep_log(dir_ / "absent/log.txt");
    nowhere.train({.step = 1}, 0);
  }
  std::fclose(full);
}

TEST(Human, Numbers) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(999.9), "1.00K");
  EXPECT_EQ(human_count(12345), "12.3K");
  EXPECT_EQ(human_count(124439808), "124M");
  EXPECT_EQ(human_count(1.5e15), "1500T");
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(human_bytes(139.0 * (1 << 30)), "139 GiB");
  EXPECT_EQ(human_duration(0.25), "0.2s");
  EXPECT_EQ(human_duration(59.6), "1m 00s");
  EXPECT_EQ(human_duration(185), "3m 05s");
  EXPECT_EQ(human_duration(7620), "2h 07m");
  EXPECT_EQ(human_duration(5 * 86400 + 3 * 3600), "5d 03h");
  EXPECT_EQ(human_duration(INFINITY), "-");
}

TEST(StopSignals, FirstAsksAndSecondInterruptKills) {
  {
    StopSignals signals;
    EXPECT_EQ(StopSignals::received(), 0);
    std::raise(SIGTERM);
    EXPECT_EQ(StopSignals::received(), SIGTERM);
  }
  pid_t child = ::fork();
  if (child == 0) {
    StopSignals signals;
    std::raise(SIGINT);
    if (StopSignals::received() != SIGINT) ::_exit(1);
    std::raise(SIGINT);
    ::_exit(2);
  }
  int status;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

TEST(SpikeDetector, AreStandardDeviationsAboveTheLastValues) {
  SpikeDetector outliers(4);
  for (double value : {1.0, 3.0, 1.0, 3.0}) EXPECT_EQ(outliers.add(value), 0) << "the window is not full";
  EXPECT_DOUBLE_EQ(outliers.add(7), 5);  // mean 2, deviation 1
  EXPECT_EQ(outliers.recent(), (std::vector<double>{3, 1, 3, 7}));
  SpikeDetector again(4);
  again.restore({9, 3, 1, 3, 7});
  EXPECT_EQ(again.add(2), outliers.add(2));
  SpikeDetector flat(2);
  for (int i = 0; i < 3; ++i) flat.add(5);
  EXPECT_EQ(flat.add(6), 0) << "equal values have no deviation to measure with";
}

}  // namespace
}  // namespace rowan
