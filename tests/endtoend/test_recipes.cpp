// The recipes of data/, without network, on real samples.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/json.h"
#include "shared_files.h"
#include "text_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

int run_recipe(const std::string& name, const std::string& arguments) {
  std::string command = std::string("ROWAN=") + ROWAN_BINARY + " " + ROWAN_SOURCE_DIR + "/data/" + name +
                        "/get.sh --offline " + arguments + " >/dev/null 2>&1";
  return std::system(command.c_str());
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
  EXPECT_NE(run_recipe("c4", "--raw " + folder / "nothing"), 0);
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
}

}  // namespace
}  // namespace rowan
