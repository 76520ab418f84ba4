// A new user trains on a folder of text files.
#include "base/json.h"
#include "command.h"
#include "text_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class OwnText : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    fs::create_directories(dir_ / "text/deep");
    fs::create_directories(dir_ / "text/.hidden");
    std::string text;
    for (int i = 0; i < 500; ++i) text += "the cat sat on the mat, line " + std::to_string(i) + "\n";
    write_file_atomically(dir_ / "text/a.txt", text);
    write_file_atomically(dir_ / "text/b.md", "# A title\n\nand a page\n");
    write_file_atomically(dir_ / "text/deep/c.jsonl.gz", gzip(json_line("a document")));
    write_file_atomically(dir_ / "text/.hidden/d.txt", "not this");
    write_file_atomically(dir_ / "text/e.png", "nor this");
  }
  Outcome here(const std::string& arguments) {
    return shell("cd " + dir_.string() + " && " + rowan_command() + " " + arguments);
  }
};

TEST_F(OwnText, AFolderIsTokenizedAndATenthHeldOut) {
  const Outcome made = here("tokenize --tokenizer bytes --out shards text");
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_EQ(made.err.find("warning"), std::string::npos) << made.err;
  const Json manifest = Json::parse(read_file(dir_ / "shards/manifest.json"));
  ASSERT_EQ(manifest["sources"].size(), 3u);
  EXPECT_EQ(manifest["sources"][0]["path"], "text/a.txt");
  EXPECT_EQ(manifest["sources"][2]["path"], "text/deep/c.jsonl.gz");
  EXPECT_EQ(manifest["settings"]["validation"], "last:10%");
  EXPECT_NEAR(manifest["validation"][0]["tokens"].get<double>(), 0.1 * manifest["tokens"].get<double>(), 60);
  const Outcome none = here("tokenize --tokenizer bytes --validation none --out all text/*.txt");
  EXPECT_EQ(none.code, 0);
  EXPECT_EQ(none.err.find("warning"), std::string::npos) << "none was asked for: " << none.err;
  const Outcome little = here("tokenize --tokenizer bytes --validation hash:1e-12 --out little text/*.txt");
  EXPECT_EQ(little.code, 0);
  EXPECT_NE(little.err.find("warning: no text was held out"), std::string::npos) << little.err;
  for (const char* rule : {"documents:99", "every:1", "tokens:99999999999"}) {
    const Outcome every =
        here(std::string("tokenize --tokenizer bytes --validation ") + rule + " --out " + rule + " text");
    EXPECT_EQ(every.code, 0) << every.err;
    EXPECT_NE(every.err.find("warning: all text was held out"), std::string::npos) << every.err;
  }
  const std::string file = " --out x " + (dir_ / "text/a.txt").string();
  expect_mistake("tokenize --tokenizer bytes --validation hash:1" + file,
                 "hash:FRACTION (above 0, below 1) or last:PERCENT%\n");
  expect_mistake("tokenize --tokenizer bytes --validation hsh:1" + file, "did you mean 'hash'");
  expect_mistake("tokenize --tokenizer bytes --out x " + (dir_ / "text/.hidden/..").string() + "/../none",
                 "no such file");
  fs::create_directories(dir_ / "empty");
  expect_mistake("tokenize --tokenizer bytes --out x " + (dir_ / "empty").string(), "empty: found no .txt, .md");
}

TEST_F(OwnText, NoTextOfAFolderIsLeftOutSilently) {
  fs::create_directories(dir_ / "elsewhere");
  write_file_atomically(dir_ / "elsewhere/f.txt", "text behind a link");
  write_file_atomically(dir_ / "text/G.TXT", "text under capitals");
  write_file_atomically(dir_ / "text/h.JSONL.GZ", gzip(json_line("a document")));
  write_file_atomically(dir_ / "text/i.parquet", "PAR1");
  fs::create_directory_symlink("../elsewhere", dir_ / "text/linked");
  fs::create_directory_symlink("../elsewhere", dir_ / "text/linked_again");
  fs::create_directory_symlink("..", dir_ / "text/deep/cycle");
  fs::create_symlink("nowhere", dir_ / "text/j.txt");
  fs::create_symlink("k.txt", dir_ / "text/k.txt");
  const Outcome made = here("tokenize --tokenizer bytes --out shards text");
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_NE(made.err.find("passed over 4 files (first: text/e.png); "), std::string::npos) << made.err;
  std::vector<std::string> sources;
  const Json manifest = Json::parse(read_file(dir_ / "shards/manifest.json"));
  for (const Json& source : manifest["sources"]) sources.push_back(source["path"]);
  EXPECT_EQ(sources, (std::vector<std::string>{"text/G.TXT", "text/a.txt", "text/b.md", "text/deep/c.jsonl.gz",
                                               "text/h.JSONL.GZ", "text/linked/f.txt"}));
  fs::create_directories(dir_ / "links");
  fs::create_symlink("nowhere", dir_ / "links/a.txt");
  expect_mistake("tokenize --tokenizer bytes --out x " + (dir_ / "links").string(), "links/a.txt, a broken link)");
}

// A second command must not read the manifest of the first one as text.
// Its bytes are kept, as all bytes that are not UTF-8, but hardly anybody wants to train on them.
TEST_F(OwnText, TextInUtf16IsNamed) {
  write_file_atomically(dir_ / "text/a.txt", std::string("\xff\xfeh\0i\0", 6));
  write_file_atomically(dir_ / "text/b.md", std::string("\xfe\xff\0h\0i", 6));
  const Outcome both = here("tokenize --tokenizer bytes --out both text");
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_NE(
      both.err.find("warning: text/a.txt and 1 other file: found the mark of UTF-16, but text is read as UTF-8; "),
      std::string::npos)
      << both.err;
  const Outcome one = here("tokenize --tokenizer bytes --out one text/b.md text/deep/c.jsonl.gz");
  EXPECT_NE(one.err.find("warning: text/b.md: found the mark of UTF-16, "), std::string::npos) << one.err;
}

TEST_F(OwnText, TheFolderOfTheShardsIsNoText) {
  for (int i = 0; i < 2; ++i) {
    const Outcome made = here("tokenize --tokenizer bytes --out text/shards text");
    ASSERT_EQ(made.code, 0) << made.err;
    EXPECT_EQ(Json::parse(read_file(dir_ / "text/shards/manifest.json"))["sources"].size(), 3u);
  }
  const std::string text = (dir_ / "text").string();
  expect_mistake("tokenize --tokenizer bytes --out " + text + " " + text,
                 "text: found the folder of --out among the inputs, expected another folder for the shards");
}

TEST_F(OwnText, AFolderThatCannotBeReadIsNamed) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads every folder";
  fs::create_directories(dir_ / "text/locked");
  fs::permissions(dir_ / "text/locked", fs::perms::none);
  for (const std::string& command :
       {std::string("tokenize --tokenizer bytes --out x "), std::string("new llama-2m --text ")})
    expect_mistake(command + (dir_ / "text").string(), "text/locked: Permission denied");
  fs::permissions(dir_ / "text/locked", fs::perms::owner_all);
}

TEST_F(OwnText, ANewConfigTrains) {
  for (const char* model : {"llama-2m", "gpt2-2m"}) {
    const std::string name = model;
    const Outcome made = here("new " + name + " --text text");
    ASSERT_EQ(made.code, 0) << made.err;
    EXPECT_NE(made.err.find("now: " + rowan_binary() + " train " + name + ".json"), std::string::npos) << made.err;
    const Outcome trained =
        here("train " + name +
             ".json --set run.steps=2 --set schedule.warmup_steps=1 --set batch.sequences=1 --set device=cpu");
    EXPECT_EQ(trained.code, 0) << trained.err;
    EXPECT_NE(read_file(dir_ / ("runs/" + name) / "metrics.jsonl").find("val_bits_per_byte"), std::string::npos);
    EXPECT_EQ(here("new " + name + " --text text").code, 2) << "nothing is overwritten";
  }
  expect_mistake("new lama-2m --text " + (dir_ / "text").string(), "did you mean 'llama-2m'");
}

// A name that cannot work is refused before the text is tokenized.
TEST_F(OwnText, ANewNameMakesAPathThatIsFoundAgain) {
  const std::string text = " --text " + (dir_ / "text").string() + " --out ";
  for (const char* name : {"'my*'", "'a[1]'", "'what?'", "'back\\slash'"})
    expect_mistake("new llama-2m" + text + name, "expected a name without *, ?, [ and \\");
  for (const char* name : {"runs/", "..", "text/."}) expect_mistake("new llama-2m" + text + name, "expected a name");
  expect_mistake("new llama-2m" + text + "none/my", "--out: found 'none/my', but none is no folder");
  expect_mistake("new llama-2m" + text + (dir_ / "text/a.txt/my").string(), "a.txt is no folder");
  expect_mistake("new llama-2m" + text + "'my\xff'", "expected valid UTF-8, because the config names the data");
  EXPECT_FALSE(fs::exists("data/my"));
  fs::create_directory(dir_ / "bob's");
  const Outcome made = here("new llama-2m --text text --out \"bob's/my \\$text\"");
  ASSERT_EQ(made.code, 0) << made.err;
  const size_t command = made.err.find("now: ");
  ASSERT_NE(command, std::string::npos) << made.err;
  EXPECT_NE(made.err.find(" train 'bob'\\''s/my $text.json'\n"), std::string::npos) << made.err;
  const Outcome planned =
      shell("cd " + dir_.string() + " && set -- " +
            made.err.substr(command + 5, made.err.find('\n', command) - command - 5) + " && \"$1\" plan \"$3\"");
  EXPECT_EQ(planned.code, 0) << planned.err;
  EXPECT_EQ(planned.out.find("no such file"), std::string::npos) << planned.out;
}

TEST_F(OwnText, ATokenizerOfOnesOwn) {
  const Outcome made = here("tokenizer train --vocabulary 320 --out mine.model text");
  if (made.err.find("this build has no") != std::string::npos) GTEST_SKIP() << made.err;
  ASSERT_EQ(made.code, 0) << made.err;
  ASSERT_EQ(here("new llama-2m --tokenizer sentencepiece:mine.model --text text").code, 0);
  EXPECT_EQ(Json::parse(read_file(dir_ / "llama-2m.json"))["model"]["vocab_size"], 320);
  const std::string mine = read_file(dir_ / "mine.model");
  EXPECT_EQ(here("tokenizer train --vocabulary 320 --out mine.model text").code, 0);
  const Outcome other = here("tokenizer train --vocabulary 310 --out mine.model text");
  EXPECT_NE(other.err.find("mine.model: found another tokenizer"), std::string::npos) << other.err;
  EXPECT_EQ(read_file(dir_ / "mine.model"), mine);
  write_file_atomically(dir_ / "lines.jsonl", "[1]\n" + json_line(std::string(300, 'a') + " the cat sat on the mat"));
  const Outcome left_out = here("tokenizer train --vocabulary 300 --out lines.model lines.jsonl text/*.txt");
  EXPECT_EQ(left_out.code, 0) << left_out.err;
  EXPECT_NE(left_out.err.find("skipped 1: no string field 'text' (first: lines.jsonl, line 1)\n"), std::string::npos)
      << left_out.err;
  const Outcome much = here("tokenizer train --vocabulary 90000 --out much.model text");
  EXPECT_EQ(much.code, 2);
  EXPECT_TRUE(much.err.ends_with("\n") && much.err.starts_with("passed over 1 file (first: text/e.png)")) << much.err;
  EXPECT_NE(
      much.err.find(
          "\nrowan: text/a.txt and 2 more: found too little text for a vocabulary of 90000 ids: the text gives at "),
      std::string::npos)
      << much.err;
  EXPECT_EQ(std::count(much.err.begin(), much.err.end(), '\n'), 2) << much.err;
  EXPECT_FALSE(fs::exists(dir_ / "much.model"));
}

}  // namespace
}  // namespace rowan
