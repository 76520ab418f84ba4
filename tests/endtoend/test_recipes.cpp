// Runs the get.sh scripts of four corpora in data/ on real samples, without a network.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/json.h"
#include "exit_code.h"
#include "paths.h"
#include "shared_files.h"
#include "text_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

int run_recipe(const std::string& name, const std::string& arguments) {
  std::string command = "ROWAN=" + rowan_binary() + " " + source_path("data/" + name) + "/get.sh --offline " +
                        arguments + " >/dev/null 2>&1";
  return exit_code(std::system(command.c_str()));
}

TEST(Recipes, C4FromRealFiles) {
  ROWAN_SHARED_OR_SKIP(samples, "corpora/c4");
  ROWAN_SHARED_OR_SKIP(model, "corpora/tokenizers/t5/spiece.model");
  TemporaryFolder folder;
  fs::create_directory(folder / "raw");
  for (int i = 0; i < 3; ++i) {
    std::string name = "c4-train.0000" + std::to_string(i) + "-of-00003.json.gz";
    fs::copy(samples / name, folder / "raw");
  }
  fs::copy(samples / "c4-train.00000-of-01024.first3.json.gz", folder / "raw/c4-validation.00000-of-00001.json.gz");
  std::string arguments =
      "--raw " + folder / "raw" + " --out " + folder / "out" + " --tokenizer sentencepiece:" + model.string();
  ASSERT_EQ(run_recipe("c4", arguments), 0);
  Json manifest = Json::parse(read_file(folder / "out/manifest.json"));
  EXPECT_EQ(manifest["documents"], 33);
  EXPECT_EQ(manifest["train"][0]["documents"], 30);
  EXPECT_EQ(manifest["validation"][0]["documents"], 3);
  EXPECT_EQ(run_recipe("c4", arguments), 0) << "a second call checks what is there";
  std::string one = "--shards 1 --raw " + folder / "raw" + " --out " + folder / "one" + " --tokenizer bytes";
  ASSERT_EQ(run_recipe("c4", one), 0);
  EXPECT_EQ(Json::parse(read_file(folder / "one/manifest.json"))["documents"], 13);
  EXPECT_EQ(run_recipe("c4", "--raw " + folder / "nothing"), 2);
  // A partial file stops the command.
  fs::resize_file(folder / "raw/c4-train.00001-of-00003.json.gz", 4000);
  EXPECT_EQ(run_recipe("c4", "--raw " + folder / "raw" + " --out " + folder / "half --tokenizer bytes"), 2);
  EXPECT_FALSE(fs::exists(folder / "half/manifest.json"));
}

TEST(Recipes, FineWebFromRealParquet) {
  ROWAN_SHARED_OR_SKIP(samples, "corpora/fineweb");
  const char* python = std::getenv("PYTHON");
  if (std::system((std::string(python ? python : "python3") + " -c 'import pyarrow' 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << "needs a Python with pyarrow (PYTHON names it)";
  TemporaryFolder folder;
  for (const char* name : {"fineweb", "fineweb_edu", "openwebtext"}) {
    std::string out = folder / name;
    ASSERT_EQ(
        run_recipe(name, "--raw " + samples.string() + " --out " + out + " --tokenizer bytes --validation every:10"), 0)
        << name;
    EXPECT_EQ(Json::parse(read_file(out + "/manifest.json"))["documents"], 300) << name;
  }
  const std::string all = "--raw " + samples.string() + " --out " + folder / "all" + " --tokenizer bytes";
  EXPECT_EQ(run_recipe("fineweb", all), 2) << "100 million validation tokens leave none for training";
  // A partial file stops the command although the other files are complete.
  fs::create_directory(folder / "raw");
  for (const auto& entry : fs::directory_iterator(samples)) fs::copy(entry.path(), folder / "raw");
  fs::resize_file(folder / "raw/fineweb_legal_batch_000003.parquet", 100000);
  EXPECT_EQ(run_recipe("fineweb_edu", "--raw " + folder / "raw" + " --out " + folder / "cut --tokenizer bytes"), 2);
  EXPECT_FALSE(fs::exists(folder / "cut/manifest.json"));
}

}  // namespace
}  // namespace rowan
