// Compares the loss of GaLore's evaluation, in training and in `rowan eval`, with a direct implementation. Also tests
// mistakes in `data.batch_means`.
#include <cmath>

#include "base/random.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "model/weights.h"
#include "run/run_folder.h"
#include "train_command.h"

namespace rowan {
namespace {

constexpr int64_t length = 16, ranks = 3, rows_of_batch = 5, wanted = 700;
constexpr int32_t end_token = 7;

class BatchMeansRun : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    Random random(3, 0);
    std::string bytes;
    for (int document = 0; document < 90; ++document) {
      std::vector<int32_t>& ids = documents_.emplace_back();
      for (uint64_t left = 1 + random.below(22); left > 0; --left)
        ids.push_back(20 + static_cast<int32_t>(random.below(90)));
      bytes += {static_cast<char>(end_token), 0};  // before each document, as in llm.c
      for (int32_t id : ids) bytes += {static_cast<char>(id), 0};
      ids.push_back(end_token);
    }
    std::vector<int32_t> header(256);
    header[0] = 20240520, header[1] = 1, header[2] = static_cast<int32_t>(bytes.size() / 2);
    write_file_atomically(dir_ / "validation.bin",
                          std::string(reinterpret_cast<const char*>(header.data()), 1024) + bytes);
    Json json = config();
    json["data"]["reading"] = "documents";
    json["data"]["end_id"] = end_token;
    json["data"]["batch_means"] = {{"ranks", ranks}, {"rows", rows_of_batch}};
    json["batch"]["sequences"] = 64;
    json["run"]["steps"] = 2;
    json["run"]["eval_tokens"] = wanted;
    write_config(json);
  }

  // The value that GaLore's program (torchrun_main.py) would print for a run's weights. Each rank takes batches of its
  // documents until the tokens of these batches, times the number of ranks, exceed the wanted number, or until the rank
  // has no documents left. Each rank divides the sum of its batch means by the number of its batches plus one. The
  // value is the mean over the ranks.
  double as_the_authors(const std::filesystem::path& run) {
    auto backend = make_cpu_backend(1);
    const RunFolder folder(run, "newest", [](const std::string&) {});
    ModelOptions options;
    options.seq = length;
    options.training = false;
    Model model(*backend, folder.model(), options);
    load_weights(model, folder.checkpoint().model());
    Arena memory(*backend, Category::data);
    Tensor inputs = memory.take(DType::i32, {length}), targets = memory.take(DType::i32, {length});
    double all = 0;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      int64_t tokens = 0, batches = 1;
      double total = 0;
      for (size_t next = static_cast<size_t>(rank); next < documents_.size() && tokens * ranks <= wanted;) {
        double sum = 0, counted = 0;
        for (int64_t row = 0; row < rows_of_batch && next < documents_.size(); ++row, next += ranks) {
          std::vector<int32_t> ids = documents_[next];
          if (static_cast<int64_t>(ids.size()) > length) ids.resize(length - 1), ids.push_back(end_token);
          tokens += static_cast<int64_t>(ids.size());
          std::vector<int32_t> labels(ids.begin() + 1, ids.end());
          counted += static_cast<double>(labels.size());
          ids.resize(length), labels.resize(length, -100);
          backend->upload(inputs, ids.data());
          backend->upload(targets, labels.data());
          std::vector<float> losses(length);
          backend->download(losses.data(), model.loss(inputs, targets));
          for (float loss : losses) sum += double{loss};
        }
        total += sum / counted;
        ++batches;
      }
      all += total / static_cast<double>(batches);
    }
    return all / ranks;
  }

  double eval_as_galore(const std::string& name, int micro_batch) {
    Outcome eval = rowan(fmt::format("eval {} --device cpu --micro-batch {}", run(name).string(), micro_batch));
    EXPECT_EQ(eval.code, 0) << eval.err;
    const size_t at = eval.out.find("as GaLore    ");
    if (at == std::string::npos) return NAN;
    return std::stod(eval.out.substr(at + 13));
  }

  std::vector<std::vector<int32_t>> documents_;
};

TEST_F(BatchMeansRun, AreTheSameForAnyMicroBatchAndInEvalAndThoseOfAPlainProgram) {
  Json want;
  for (int micro_batch : {1, 2, 4, 8, 16, 32, 64}) {
    const std::string name = fmt::format("micro{}", micro_batch);
    Outcome result = rowan(train(fmt::format("--set batch.micro_batch={}", micro_batch) + into(name)));
    ASSERT_EQ(result.code, 0) << result.err;
    const Json last = rows(run(name)).back();
    if (want.is_null()) want = last;
    for (const char* key : {"val_loss", "val_loss_batch_mean", "val_loss_galore"})
      EXPECT_NEAR(last.at(key).get<double>(), want.at(key).get<double>(), 1e-6) << key << " at " << micro_batch;
    EXPECT_NEAR(last.at("val_loss_galore").get<double>(), as_the_authors(run(name)), 1e-6) << micro_batch;
  }
  EXPECT_GT(want["val_loss_batch_mean"].get<double>(), 1.05 * want["val_loss_galore"].get<double>());
  // `rowan eval` prints six decimals.
  for (int micro_batch = 1; micro_batch <= 64; micro_batch += micro_batch < 8 ? 1 : 7)
    EXPECT_NEAR(eval_as_galore("micro8", micro_batch), want["val_loss_galore"].get<double>(), 1.5e-6) << micro_batch;
  auto refused = [&](const std::string& assignment, const std::string& part) {
    expect_mistake(train("--set " + assignment), part);
  };
  refused("data.batch_means.ranks=0", "data.batch_means.ranks: found 0, expected at least 1");
  refused("data.batch_means.row=4", "data.batch_means.row: unknown key 'row'; did you mean 'rows'?");
  refused("data.batch_means.ranks=91", "found 91 ranks, expected at most the 90 rows of the validation data");
}

}  // namespace
}  // namespace rowan
