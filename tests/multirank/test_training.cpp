// Whole training runs on several ranks give the losses and weights of one process. A step of one micro-step sends as
// many bytes as one all-reduce, or more under `weights`. The Long tests run every recipe under every shard setting.
// Also tests dropout, evaluation, stop signals, data that cannot be read, and checkpoints that other ranks continue
// under another shard setting.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <span>

#include "base/random.h"
#include "comm/transports.h"
#include "distances.h"
#include "optim/recipe.h"
#include "optim/recipes.h"
#include "ranks.h"
#include "train/trainer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

constexpr int steps = 30;

// A folder that all ranks see, with a corpus of 16-bit tokens. The tokens form words of a small artificial language, so
// that a model can learn them. Rank 0 removes the folder at the end.
class Folder {
 public:
  Folder() {
    path_ = fs::temp_directory_path() / ("training" + ranks().gather(std::to_string(getpid()))[0]);
    if (ranks().rank() == 0) {
      fs::create_directories(path_);
      std::ofstream file(path_ / "train.bin", std::ios::binary);
      for (uint64_t i = 0; i < 4000; ++i) {
        uint16_t token = static_cast<uint16_t>((i % 3 + 1) * (philox(3, i / 3).word[0] % 16));
        file.write(reinterpret_cast<const char*>(&token), sizeof token);
      }
    }
    ranks().barrier();
  }
  ~Folder() {
    ranks().barrier();
    if (ranks().rank() == 0) fs::remove_all(path_);
  }

  TrainConfig config(const std::string& recipe, ShardMode shard, const std::string& run = "run") const {
    auto has = [&](const char* word) { return recipe.find(word) != std::string::npos; };
    Json json = {{"model",
                  {{"model_type", "llama"},
                   {"hidden_size", 16},
                   {"num_hidden_layers", 3},
                   {"num_attention_heads", 2},
                   {"intermediate_size", 24},
                   {"vocab_size", 96},  // an embedding of 1536 elements; it can be divided at element 1024
                   {"max_position_embeddings", 16}}},
                 {"data", {{"train", (path_ / "train.bin").string()}, {"format", "nanogpt"}, {"width", 2}}},
                 {"batch", {{"sequences", 12}, {"sequence_length", 8}, {"micro_batch", 1}}},
                 {"optimizer", {{"name", recipe.substr(0, recipe.find(' '))}, {"lr", 3e-3}}},
                 {"grad_clip", 1.0},
                 {"precision", "fp32"},
                 {"shard", name_of(shard)},
                 {"average", {{"ema", 0.9}, {"tail", 5}}},
                 {"run", {{"dir", (path_ / run).string()}, {"steps", steps}}}};
    // The basis of a factor's null space depends only on rounding, and rounding depends on the number of ranks.
    // one_sided uses the side whose factor has no null space.
    const Recipe known = named_recipe(json["optimizer"]["name"].get<std::string>());
    if (known.precondition != Precondition::none || known.shampoo) {
      json["optimizer"]["one_sided"] = true;
      json["optimizer"]["precondition_frequency"] = 3;
    }
    // Steps along directions with nearly no gradient, and signs of elements near zero, also depend only on rounding. A
    // large eps and a small learning rate keep these steps small.
    if (known.precondition != Precondition::none) json["optimizer"]["precondition_eps"] = 3e-2;
    if (known.radius != 1) json["optimizer"]["lr"] = known.lr;
    if (has(" heads")) json["optimizer"]["blocks"] = "heads";
    if (has(" pairs")) json["optimizer"]["blocks"] = "pairs";
    if (has(" halves")) json["optimizer"]["blocks"] = 2;
    if (has(" bf16")) {  // on other numbers of ranks, a value may round to another bf16 number, so the steps are small
      json["optimizer"]["precondition_state"] = "bf16";
      json["optimizer"]["lr"] = 1e-3;
    }
    if (recipe == "mars-adamw") json["optimizer"]["mars_gamma"] = 1;  // large enough that MARS clips
    fs::path file = path_ / ("config" + std::to_string(ranks().rank()) + ".json");
    std::ofstream(file) << json.dump(1);
    return load_config(file.string(), {});
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<double> train(Trainer& trainer, int64_t until) {
  std::vector<double> losses;
  while (trainer.steps_done() < until) losses.push_back(trainer.step().loss);
  return losses;
}

using Weights = std::map<std::string, std::vector<float>>;

// This rank's shares, by parameter and first element.
Weights shares_of(const Trainer& trainer) {
  Weights result;
  for (const Share& share : trainer.sharding().shares()) {
    auto& values = result[share.parameter->name + "+" + std::to_string(share.begin)];
    values.resize(static_cast<size_t>(share.count));
    backend().download(values.data(), share.weight);
  }
  return result;
}

// This rank's part of the averaged weights averages().all()[which], by parameter and first element.
Weights average_of(const Trainer& trainer, size_t which) {
  Weights result;
  const Averages::Average& average = trainer.averages().all()[which];
  for (size_t i = 0; i < average.values.size(); ++i) {
    const Share& share = trainer.sharding().shares()[i];
    auto& values = result[share.parameter->name + "+" + std::to_string(share.begin)];
    values.resize(static_cast<size_t>(share.count));
    backend().download(values.data(), average.values[i]);
  }
  return result;
}

struct Reference {
  std::vector<double> losses;
  Weights weights;
  std::array<Weights, 2> averages = {};
};

// Compares this rank's shares and averages with the same elements of a run on one process. Returns the largest
// difference.
double difference(const Trainer& trainer, const Reference& whole) {
  double worst = 0;
  auto compare = [&](const Weights& mine, const Weights& want) {
    for (const Share& share : trainer.sharding().shares()) {
      const std::vector<float>& part = mine.at(share.parameter->name + "+" + std::to_string(share.begin));
      const std::vector<float>& all = want.at(share.parameter->name + "+0");
      worst = std::max(worst, largest_difference(part, std::span(all).subspan(share.begin, part.size())));
    }
  };
  compare(shares_of(trainer), whole.weights);
  for (size_t which : {0, 1})
    if (!whole.averages[which].empty()) compare(average_of(trainer, which), whole.averages[which]);
  return worst;
}

Reference one_process(const Folder& folder, const std::string& recipe) {
  auto alone = make_single_communicator();
  TrainConfig config = folder.config(recipe, ShardMode::none);
  Trainer trainer(config, backend(), *alone);
  std::vector<double> losses = train(trainer, steps);
  return {losses, shares_of(trainer), {{average_of(trainer, 0), average_of(trainer, 1)}}};
}

// `recipe`: a recipe's name. A suffix " heads", " pairs" or " halves" splits matrices into blocks of one head, two
// heads or half the rows. " bf16" stores preconditioners in bf16.
struct Setting {
  std::string recipe;
  ShardMode shard;
};

class Training : public testing::TestWithParam<Setting> {};

TEST_P(Training, IsThatOfOneProcessAndTheSameTwice) {
  const auto& [recipe, shard] = GetParam();
  Folder folder;
  static std::map<std::string, Reference> known;
  if (!known.contains(recipe)) known[recipe] = one_process(folder, recipe);
  const Reference& want = known[recipe];
  EXPECT_LT(want.losses.back(), want.losses.front());
  TrainConfig config = folder.config(recipe, shard);
  std::vector<double> first_losses;
  Weights first_weights;
  for (int time = 0; time < 2; ++time) {
    Trainer trainer(config, backend(), ranks());
    std::vector<double> got = train(trainer, steps);
    EXPECT_LT(largest_difference(got, want.losses), 1e-5);
    EXPECT_LT(difference(trainer, want), 1e-4);
    if (time == 0) {
      first_losses = got, first_weights = shares_of(trainer);
    } else {
      EXPECT_EQ(got, first_losses);
      EXPECT_TRUE(shares_of(trainer) == first_weights);
    }
  }
}

// Dropout masks depend on the sample, not on the rank that processes it.
TEST(Dropout, IsThatOfOneProcess) {
  Folder folder;
  TrainConfig config = folder.config("adamw", ShardMode::optimizer);
  config.model.dropout = {0.1, 0.2, 0.3};
  config.data.documents = DocumentConfig{EndToken::last, DocumentPositions::restart, EndTargets::ignored};
  config.data.shards.end_id = 0;
  auto alone = make_single_communicator();
  TrainConfig whole = config;
  whole.shard = ShardMode::none;
  Trainer one(whole, backend(), *alone), many(config, backend(), ranks());
  const std::vector<double> want = train(one, steps), got = train(many, steps);
  for (int step = 0; step < steps; ++step) EXPECT_NEAR(got[step], want[step], 1e-5) << step;
  EXPECT_LT(difference(many, Reference{{}, shares_of(one)}), 1e-4);
}

// A step of one micro-step sends each gradient to its owner and each weight to all ranks, or sums the gradients on all
// ranks. Under ShardMode::weights, a step sends more, because the weights of the layers are gathered again for the
// backward pass. Under every setting, one control message a step carries the loss and the gradient's sum of squares.
TEST_P(Training, SendsTheBytesOfOneAllReduce) {
  const auto& [recipe, shard] = GetParam();
  const int n = ranks().size();
  Folder folder;
  TrainConfig config = folder.config(recipe, shard);
  config.batch.micro_batch = config.batch.sequences / n;
  Trainer trainer(config, backend(), ranks());
  const ParameterTable& table = trainer.model().parameters();
  const double bytes = 4.0 * static_cast<double>(shard == ShardMode::none ? table.elements() : table.count());
  trainer.check_weights();  // sends the initial weights, which belong to no step
  const Traffic before = ranks().traffic();
  train(trainer, 3);
  const Traffic after = ranks().traffic();
  const double sent = ranks().sum({static_cast<double>(after.tensor_bytes() - before.tensor_bytes())})[0];
  EXPECT_EQ(after.calls_of(Message::control) - before.calls_of(Message::control), 3);
  if (shard != ShardMode::weights) {
    EXPECT_EQ(sent, 3 * 2.0 * (n - 1) * bytes);
  } else {
    EXPECT_GE(sent, 3 * 2.0 * (n - 1) * bytes);  // layers are gathered again for the backward pass
  }
}

std::string name_of_setting(const testing::TestParamInfo<Setting>& info) {
  std::string name = info.param.recipe + "_" + name_of(info.param.shard);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

std::vector<Setting> every_setting() {
  std::vector<Setting> all;
  for (const std::string& recipe : recipe_names()) {
    for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights})
      all.push_back({recipe, shard});
  }
  for (const char* recipe : {"muon heads", "muon pairs", "muon halves", "soap pairs", "soap halves", "soap bf16",
                             "kl-soap bf16", "shampoo bf16", "shampoo heads", "dion2 heads", "mars-m heads"})
    for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights})
      all.push_back({recipe, shard});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Long, Training, testing::ValuesIn(every_setting()), name_of_setting);
INSTANTIATE_TEST_SUITE_P(
    Some, Training,
    testing::Values(Setting{"adamw", ShardMode::none}, Setting{"muon", ShardMode::optimizer},
                    Setting{"rmnp", ShardMode::gradients}, Setting{"namo-d", ShardMode::weights},
                    Setting{"soap heads", ShardMode::optimizer}, Setting{"muown heads", ShardMode::weights},
                    Setting{"normuon pairs", ShardMode::gradients}, Setting{"muon halves", ShardMode::optimizer},
                    Setting{"soap bf16", ShardMode::weights}, Setting{"mars-adamw", ShardMode::optimizer}),
    name_of_setting);

TEST(Evaluation, RanksShareTheWorkAndAgree) {
  Folder folder;
  // llm.c's format: seven examples, each a context and four endings.
  if (ranks().rank() == 0) {
    std::vector<uint16_t> words(512);
    const int32_t header[] = {hellaswag_magic, 1, 7};
    std::memcpy(words.data(), header, sizeof header);
    for (uint16_t i = 0; i < 7; ++i)
      for (uint16_t word : {65535, 38, int{i}, i % 4, 4, 2, i + 1, 9, 1, i + 20, 2, 5, 6, 1, i + 30, 3, 7, 8, i + 9})
        words.push_back(static_cast<uint16_t>(word));
    std::ofstream(folder.path() / "hellaswag.bin", std::ios::binary)
        .write(reinterpret_cast<const char*>(words.data()), static_cast<std::streamsize>(2 * words.size()));
  }
  ranks().barrier();
  auto score = [&](Communicator& communicator, ShardMode shard) {
    TrainConfig config = folder.config("muon", shard);
    config.data.validation = config.data.train[0].files;
    config.data.hellaswag = (folder.path() / "hellaswag.bin").string();
    config.run.eval_tokens = 0;
    Trainer trainer(config, backend(), communicator);
    train(trainer, 3);
    const auto loss = trainer.validate();
    const auto hellaswag = trainer.hellaswag();
    EXPECT_EQ(loss->targets, 3999);
    EXPECT_EQ(hellaswag->items, 7);
    const Weights weights = shares_of(trainer);
    const auto averages = trainer.validate_averages();
    EXPECT_EQ(averages.size(), 1) << "`tail` begins in the last steps of the run";
    EXPECT_EQ(averages[0].first, "ema");
    EXPECT_EQ(shares_of(trainer), weights);
    EXPECT_EQ(trainer.validate()->mean, loss->mean);
    EXPECT_NE(averages[0].second, loss->mean);
    return std::tuple(loss->mean, hellaswag->correct_by_mean, hellaswag->correct_by_sum, averages[0].second);
  };
  auto alone = make_single_communicator();
  const auto want = score(*alone, ShardMode::none);
  for (ShardMode shard : {ShardMode::none, ShardMode::weights}) {
    const auto got = score(ranks(), shard);
    EXPECT_NEAR(std::get<0>(got), std::get<0>(want), 1e-5);
    EXPECT_EQ(std::get<1>(got), std::get<1>(want));
    EXPECT_EQ(std::get<2>(got), std::get<2>(want));
    EXPECT_NEAR(std::get<3>(got), std::get<3>(want), 1e-5);
  }
}

// The ranks of `first` save a run, and the ranks of `second` continue it. The result must equal the result of a run
// that never stopped.
void save_and_resume(const Folder& folder, Communicator& first, ShardMode before, Communicator& second, ShardMode after,
                     const Reference& want) {
  SCOPED_TRACE(std::string(name_of(before)) + " to " + name_of(after));
  const std::string run = "run" + std::to_string(static_cast<int>(before)) + std::to_string(static_cast<int>(after));
  const fs::path checkpoint = folder.path() / run / "checkpoints" / "step_00000010";
  if (first.size() == ranks().size() || ranks().rank() == 0) {
    TrainConfig config = folder.config("muon", before, run);
    Trainer trainer(config, backend(), first);
    train(trainer, 10);
    trainer.save({{"seconds", 1}}, {}, [] {});
  }
  ranks().barrier();
  TrainConfig config = folder.config("muon", after, run);
  Trainer trainer(config, backend(), second);
  EXPECT_EQ(trainer.restore(checkpoint)["seconds"], 1);
  std::vector<double> got = train(trainer, steps);
  for (int step = 10; step < steps; ++step) EXPECT_NEAR(got[step - 10], want.losses[step], 1e-5) << "step " << step;
  EXPECT_LT(difference(trainer, want), 1e-4);
  ranks().barrier();
  if (ranks().rank() == 0) fs::remove_all(folder.path() / run);
  ranks().barrier();
}

TEST(Resume, UnderAnyNumberOfRanksAndAnySetting) {
  Folder folder;
  Reference want = one_process(folder, "muon");
  auto alone = make_single_communicator();
  save_and_resume(folder, ranks(), ShardMode::optimizer, *alone, ShardMode::none, want);
  save_and_resume(folder, *alone, ShardMode::none, ranks(), ShardMode::weights, want);
}

// One rank gets a stop signal between two micro-batches. All ranks abort the step, and repeating it gives the same
// result.
TEST(Stop, InTheMiddleOfAStepChangesNothing) {
  Folder folder;
  for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights}) {
    SCOPED_TRACE(name_of(shard));
    TrainConfig config = folder.config("muon", shard);
    Trainer undisturbed(config, backend(), ranks()), trainer(config, backend(), ranks());
    const std::vector<double> want = train(undisturbed, 3);
    int looks = 0;
    trainer.listen([&] { return Wishes{++looks == 1 && ranks().rank() == ranks().size() - 1, false}; });
    EXPECT_THROW(trainer.step(), Stopped);
    EXPECT_EQ(trainer.steps_done(), 0);
    trainer.listen({});
    EXPECT_EQ(train(trainer, 3), want);
  }
}

// Gives every token an id outside the vocabulary.
void spoil(const fs::path& shard) {
  std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
  const std::string ids(fs::file_size(shard), '\xff');
  file.write(ids.data(), static_cast<std::streamsize>(ids.size()));
}

// The last rank reads its own copy of the shard, whose ids it spoils after two steps.
TEST(BadData, OfOneRankEndsTheStepOnAllAndChangesNothing) {
  Folder folder;
  const int last = ranks().size() - 1;
  const fs::path own = folder.path() / "own.bin";
  for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights})
    for (bool looks : {false, true}) {  // between micro-batches, or only at the end of a step
      SCOPED_TRACE(fmt::format("{} {}", name_of(shard), looks));
      if (ranks().rank() == last) fs::copy_file(folder.path() / "train.bin", own, fs::copy_options::overwrite_existing);
      TrainConfig config = folder.config("muon", shard, fmt::format("run_{}_{}", name_of(shard), looks));
      if (ranks().rank() == last) config.data.train[0].files = {own.string()};
      Trainer trainer(config, backend(), ranks());
      if (looks) trainer.listen([] { return Wishes(); });
      train(trainer, 2);
      if (ranks().rank() == last) spoil(own);
      Weights before;
      int64_t done = 0;
      std::string message;
      while (message.empty() && done < steps) {
        before = shares_of(trainer);
        done = trainer.steps_done();
        try {
          trainer.step();
        } catch (const DataError& error) {
          message = error.what();
        }
      }
      EXPECT_NE(message.find("own.bin: token "), std::string::npos) << message;
      EXPECT_EQ(message.starts_with(fmt::format("rank {}: ", last)), ranks().size() > 1) << message;
      EXPECT_EQ(trainer.steps_done(), done);
      EXPECT_TRUE(shares_of(trainer) == before);
      EXPECT_EQ(trainer.save(Json::object(), {}, [] {}), "") << "ruined";
      ranks().barrier();
    }
}

// The last rank reads its own copy of the validation shard.
TEST(BadData, OfOneRankEndsTheEvaluationOnAllAndChangesNothing) {
  Folder folder;
  const int last = ranks().size() - 1;
  const fs::path own = folder.path() / "own.bin";
  for (ShardMode shard : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights})
    for (bool averages : {false, true})
      for (bool looks : {false, true}) {  // between batches, or only at the end of the evaluation
        SCOPED_TRACE(fmt::format("{} {} {}", name_of(shard), averages, looks));
        if (ranks().rank() == last)
          fs::copy_file(folder.path() / "train.bin", own, fs::copy_options::overwrite_existing);
        TrainConfig config =
            folder.config("muon", shard, fmt::format("evaluated_{}_{}_{}", name_of(shard), averages, looks));
        config.data.validation = {(ranks().rank() == last ? own : folder.path() / "train.bin").string()};
        Trainer trainer(config, backend(), ranks());
        if (looks) trainer.listen([] { return Wishes(); });
        train(trainer, 2);
        const Weights before = shares_of(trainer);
        if (ranks().rank() == last) spoil(own);
        std::string message;
        try {
          averages ? (void)trainer.validate_averages() : (void)trainer.validate();
        } catch (const DataError& error) {
          message = error.what();
        }
        EXPECT_NE(message.find("own.bin: token "), std::string::npos) << message;
        EXPECT_EQ(message.starts_with(fmt::format("rank {}: ", last)), ranks().size() > 1) << message;
        EXPECT_TRUE(shares_of(trainer) == before);
        EXPECT_EQ(trainer.save(Json::object(), {}, [] {}), "") << "ruined";
        ranks().barrier();
      }
}

TEST(LongResume, EverySettingContinuesEveryOther) {
  Folder folder;
  Reference want = one_process(folder, "muon");
  for (ShardMode before : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights}) {
    for (ShardMode after : {ShardMode::none, ShardMode::optimizer, ShardMode::gradients, ShardMode::weights})
      save_and_resume(folder, ranks(), before, ranks(), after, want);
  }
}

}  // namespace
}  // namespace rowan
