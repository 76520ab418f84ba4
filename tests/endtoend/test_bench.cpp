// Tests what `rowan bench` refuses and reads. test_run_tools.cpp tests the figures that it writes.
#include "data/shard_writer.h"
#include "train_command.h"

namespace rowan {
namespace {

using Bench = TrainCommand;

TEST_F(Bench, RecipesAreCheckedBeforeAnythingIsMeasured) {
  const std::string model = " --device cpu --threads 1 --model " + quoted(source_path("configs/models/gpt2_tiny.json"));
  expect_mistake("bench optimizer --recipe adamw muno" + model, "did you mean 'muon'");
  expect_mistake("bench direction --matrix 8x8 --device cpu --recipe muon muno", "did you mean 'muon'");
  expect_mistake("bench direction --matrix 1000000x8", "--matrix: found '1000000x8', expected at most 999999 rows");
  expect_mistake("bench direction --matrix 8x8 --json ''", "--json: found an empty text");
  expect_mistake("bench direction --matrix 8x8 --device cpu --recipe muon adamw",
                 "--recipe: found adamw, expected a recipe with a direction other than none");
}

TEST_F(Bench, TheLoaderReadsLargeVocabularies) {
  ShardLabel label;
  label.vocab_size = 100000;
  label.end_id = 99999;
  ShardWriter writer(dir_, "large.bin", label, 1 << 20);
  const std::vector<int32_t> ids(1000, 99998);
  writer.append(ids, true);
  writer.finish();
  const Outcome read =
      rowan("bench loader " + (dir_ / "large.bin").string() + " --sequences 4 --sequence-length 16 --seconds 0.001");
  EXPECT_EQ(read.code, 0) << read.err;
}

TEST_F(Bench, DocumentsAreMeasuredForTheModelOfARun) {
  const Outcome measured = rowan("bench kernels --repeats 1 --recipe adamw --documents 4 --batch 1 --seq 8" +
                                 std::string(" --device cpu --threads 1 --model ") + file().string());
  EXPECT_EQ(measured.code, 0) << measured.err;
  EXPECT_NE(measured.out.find("within documents of 4"), std::string::npos) << measured.out;
}

// The recipe's period is 10 steps. The figures of a step are means over whole periods.
TEST_F(Bench, StepsOfAPeriodAreMeasuredTogether) {
  const std::string json = (dir_ / "bench.json").string();
  for (const auto& [recipe, period] : {std::pair("soap", 10), std::pair("rmnp", 1)}) {
    const Outcome measured = rowan(std::string("bench step --steps 2 --batch 1 --seq 8 --device cpu --threads 1") +
                                   " --optimizer " + recipe + " --model " + file().string() + " --json " + json);
    ASSERT_EQ(measured.code, 0) << measured.err;
    EXPECT_EQ(Json::parse(read_file(json))["steps_of_a_period"], period);
    const std::string label =
        period == 1 ? "; median of 2)" : "; median of 2 means of 10 steps, the period of the recipe)";
    EXPECT_NE(measured.out.find(label), std::string::npos) << measured.out;
  }
}

// With each rank bound to a core of its own, the threads of the single rank would share one core.
TEST_F(Bench, BoundRanksAreRefused) {
  if (mpirun().empty()) GTEST_SKIP() << "built without MPI";
  if (shell("taskset -c 1 true").code != 0) GTEST_SKIP() << "needs two cores and taskset";
  const std::string ranks = mpirun() + " -n 2 sh -c 'exec taskset -c ${OMPI_COMM_WORLD_RANK-$PMI_RANK} " +
                            rowan_command() + " bench ranks --threads 1 --steps 1 --batch 2 --seq 8 --model " +
                            file().string() + "'";
  expect_one_line(ranks,
                  "found rank 0 bound to 1 of 2 cores, expected at least 2 for its threads: mpirun --bind-to none");
}

TEST_F(Bench, AMistakeOfAllRanksIsOneLine) {
  if (mpirun().empty()) GTEST_SKIP() << "built without MPI";
  expect_one_line(mpirun() + " -n 2 " + rowan_command() + " bench ranks --threads 1 --optimizer muno",
                  "did you mean 'muon'");
}

}  // namespace
}  // namespace rowan
