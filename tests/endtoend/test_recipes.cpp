// Runs the get.sh scripts of five corpora in data/ on real samples, without a network.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/json.h"
#include "command.h"
#include "exit_code.h"
#include "paths.h"
#include "shared_files.h"
#include "text_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

int run_recipe(const std::string& name, const std::string& arguments) {
  std::string command = "ROWAN=" + rowan_command() + " " + quoted(source_path("data/" + name)) + "/get.sh --offline " +
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
      "--raw " + folder / "raw" + " --out " + folder / "out" + " --tokenizer sentencepiece:" + quoted(model.string());
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
  for (const char* name : {"fineweb", "fineweb_100b", "fineweb_edu", "openwebtext"}) {
    std::string out = folder / name;
    ASSERT_EQ(run_recipe(name, "--raw " + quoted(samples.string()) + " --out " + out +
                                   " --tokenizer bytes --validation every:10"),
              0)
        << name;
    EXPECT_EQ(Json::parse(read_file(out + "/manifest.json"))["documents"], 300) << name;
  }
  const std::string all = "--raw " + quoted(samples.string()) + " --out " + folder / "all" + " --tokenizer bytes";
  EXPECT_EQ(run_recipe("fineweb", all), 2) << "100 million validation tokens leave none for training";
  // A partial file stops the command although the other files are complete.
  fs::create_directory(folder / "raw");
  for (const auto& entry : fs::directory_iterator(samples)) fs::copy(entry.path(), folder / "raw");
  fs::resize_file(folder / "raw/fineweb_legal_batch_000003.parquet", 100000);
  EXPECT_EQ(run_recipe("fineweb_edu", "--raw " + folder / "raw" + " --out " + folder / "cut --tokenizer bytes"), 2);
  EXPECT_FALSE(fs::exists(folder / "cut/manifest.json"));
}

class RecipeMistake : public CommandTest {
 protected:
  std::string path(const std::string& name) const { return (dir_ / name).string(); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories((dir_ / name).parent_path());
    write_file_atomically(dir_ / name, text);
  }
  // A file that a shell runs under this name in the folder `bin`.
  void write_program(const std::string& name, const std::string& script) {
    write("bin/" + name, "#!/bin/sh\n" + script);
    fs::permissions(dir_ / "bin" / name, fs::perms::owner_all);
  }
  Outcome recipe(const std::string& name, const std::string& arguments) {
    return shell("ROWAN=" + rowan_command() + " " + quoted(source_path("data/" + name)) +
                 "/get.sh --offline --tokenizer bytes " + arguments);
  }
  void expect_refused(const Outcome& result, const std::string& part) {
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
};

TEST_F(RecipeMistake, C4WithoutItsValidationFilesIsNotReady) {
  write("raw/c4-train.00000-of-00001.json.gz", gzip(random_json_lines(1, 20)));
  const std::string folders = "--raw " + path("raw") + " --out " + path("shards");
  expect_refused(recipe("c4", folders), "no c4-validation.*.json.gz in " + path("raw"));
  EXPECT_FALSE(fs::exists(dir_ / "shards"));
  EXPECT_EQ(recipe("c4", folders + " --validation every:10").code, 0);
}

// Else a corpus would silently be smaller than the run that was asked for needs.
TEST_F(RecipeMistake, FewerFilesThanAskedForAreAnError) {
  for (const char* number : {"00000", "00001"})
    write("raw/c4-train." + std::string(number) + "-of-00029.json.gz", gzip(random_json_lines(1, 20)));
  const std::string rest = " --validation every:10 --raw " + path("raw") + " --out " + path("shards");
  expect_refused(recipe("c4", "--shards 3" + rest), "--shards 3: found 2 of 3 files c4-train.*.json.gz in " +
                                                        path("raw") + "; download the others, or take --shards 2");
  EXPECT_FALSE(fs::exists(dir_ / "shards"));
  EXPECT_EQ(recipe("c4", "--shards 1" + rest).code, 0);
  EXPECT_EQ(recipe("c4", "--shards 2" + rest).code, 0);
  EXPECT_EQ(Json::parse(read_file(dir_ / "shards/manifest.json"))["documents"], 40);
}

// Arguments of a process are visible to other users of the machine.
TEST_F(RecipeMistake, TheTokenOfTheHubIsNotInTheArguments) {
  write("there.gz", gzip(random_json_lines(1, 20)));
  write_program("python", "echo - - en/c4-train.00000-of-00001.json.gz\n");
  write_program("curl", "echo \"$*\" >>" + path("calls") + "\ncat >>" + path("input") +
                            "\nwhile [ $# -gt 2 ]; do [ $1 != -o ] || cp " + path("there.gz") + " $2; shift; done\n");
  auto get = [&](const std::string& arguments) {
    return shell("PATH=" + path("bin") + ":$PATH PYTHON=" + path("bin/python") +
                 " HF_ENDPOINT=https://mirror HF_TOKEN=secret ROWAN=" + rowan_command() + " " +
                 quoted(source_path("data/c4/get.sh")) + " --tokenizer bytes --validation every:10 --raw " +
                 path("raw") + " --out " + path("shards") + " " + arguments);
  };
  const Outcome result = get("");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(read_file(dir_ / "input"), "Authorization: Bearer secret\n");
  const std::string calls = read_file(dir_ / "calls");
  EXPECT_EQ(calls.find("secret"), std::string::npos) << calls;
  EXPECT_NE(calls.find(" -H @- "), std::string::npos) << calls;
  EXPECT_NE(calls.find(" https://mirror/datasets/"), std::string::npos) << calls;
  expect_refused(get("--shards 2"), "--shards 2: found 1 of 2 files");
}

TEST_F(RecipeMistake, TheRawFolderMayBeASymlink) {
  for (const char* part : {"train", "validation"})
    write(std::string("disk/c4-") + part + ".00000-of-00001.json.gz", gzip(random_json_lines(1, 20)));
  fs::create_directory_symlink(dir_ / "disk", dir_ / "raw");
  const Outcome result = recipe("c4", "--raw " + path("raw") + " --out " + path("shards"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Json::parse(read_file(dir_ / "shards/manifest.json"))["documents"], 40);
}

// `rowan tokenize` cannot see which files its pipe comes from.
TEST_F(RecipeMistake, OtherParquetFilesAreRefusedAlsoAfterAnInterruption) {
  write("raw/b.parquet", "");
  for (const char* note : {"progress.json", "manifest.json"}) {
    const std::string out = std::string("out_") + note;
    write(out + "/" + note, "{}");
    write(out + "/parquet_files.txt", "a.parquet\nb.parquet\n");
    expect_refused(
        recipe("openwebtext", "--raw " + path("raw") + " --out " + path(out)),
        "found 1 parquet files, expected the 2 of parquet_files.txt; remove the shards and " + std::string(note));
    EXPECT_EQ(read_file(dir_ / out / "parquet_files.txt"), "a.parquet\nb.parquet\n");
  }
}

TEST_F(RecipeMistake, AMissingVocabularyIsNamed) {
  fs::create_directories(dir_ / "data/c4");
  for (const char* file : {"recipe.sh", "c4/get.sh"})
    fs::copy(source_path(std::string("data/") + file), dir_ / "data" / file);
  for (const char* part : {"train", "validation"})
    write(std::string("data/c4/raw/c4-") + part + ".00000-of-00001.json.gz", gzip(random_json_lines(1, 20)));
  expect_refused(shell("ROWAN=" + rowan_command() + " " + path("data/c4/get.sh") + " --offline"),
                 "with a network, run data/tokenizers/get.sh t5.model");
}

TEST_F(RecipeMistake, VocabulariesAreDownloadedOneByOne) {
  write("get.sh", read_file(source_path("data/tokenizers/get.sh")));
  write_program("curl", "echo \"$*\" >>" + path("calls") + "\ncat >>" + path("input") +
                            "\necho damaged >\"$(echo \"$*\" | sed 's/.*-o \\([^ ]*\\).*/\\1/')\"\n");
  auto get = [&](const std::string& arguments) {
    write("calls", "");
    write("input", "");
    return shell("PATH=" + path("bin") + ":$PATH HF_ENDPOINT=https://mirror HF_TOKEN=secret bash " + path("get.sh") +
                 " " + arguments);
  };
  expect_refused(get("t5.model"), "the SHA-256 of t5.model is not d60acb");
  std::string calls = read_file(dir_ / "calls");
  EXPECT_NE(calls.find(" https://mirror/google-t5/t5-base/resolve/main/spiece.model\n"), std::string::npos) << calls;
  EXPECT_EQ(calls.find("secret"), std::string::npos) << "other users see arguments: " << calls;
  EXPECT_NE(calls.find(" -H @- "), std::string::npos) << calls;
  EXPECT_EQ(read_file(dir_ / "input"), "Authorization: Bearer secret\n");
  EXPECT_EQ(calls.find("tiktoken"), std::string::npos) << calls;
  EXPECT_FALSE(fs::exists(dir_ / "t5.model.part"));
  expect_refused(get("gpt2.tiktoken"), "the SHA-256 of gpt2.tiktoken is not 306cd2");
  calls = read_file(dir_ / "calls");
  EXPECT_EQ(calls.find("-H"), std::string::npos) << calls;
  EXPECT_EQ(read_file(dir_ / "input"), "\n") << "the token is for the hub only";
  write("t5.model", "");
  EXPECT_EQ(get("t5.model").code, 0);
  EXPECT_EQ(read_file(dir_ / "calls"), "") << "the file is there";
  expect_refused(get("t5"), "found t5, expected gpt2.tiktoken or t5.model");

  write_program("curl", "exit 22\n");
  expect_refused(get("gpt2.tiktoken"), "the download of gpt2.tiktoken failed");
  fs::remove(dir_ / "bin/curl");
  ASSERT_EQ(shell("ln -s $(command -v dirname) $(command -v bash) " + path("bin")).code, 0);
  expect_refused(shell("PATH=" + path("bin") + " bash " + path("get.sh") + " gpt2.tiktoken"), "found no curl");
}

}  // namespace
}  // namespace rowan
