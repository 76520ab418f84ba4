// Tests an interrupted job that continues: with the same text, with other text, and with notes of older versions.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <iterator>

#include "base/json.h"
#include "corpus/tokenize_notes.h"
#include "exit_code.h"
#include "text_files.h"
#include "unit/corpus/tokenize_runs.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// Makes a file the standard input of this process.
class StandardInput {
 public:
  explicit StandardInput(const std::string& path) : before_(::dup(0)) {
    const int fd = ::open(path.c_str(), O_RDONLY);
    ::dup2(fd, 0);
    ::close(fd);
  }
  ~StandardInput() {
    ::dup2(before_, 0);
    ::close(before_);
  }

 private:
  int before_;
};

// Runs a job that notes its progress after every batch, and interrupts it at a report.
void interrupt(TokenizeOptions options, int report) {
  options.save_seconds = 0;
  int reports = 0;
  try {
    tokenize(options, *make_tokenizer("bytes"), [&](const TokenizeProgress&) {
      if (++reports == report) fail("stopped");
    });
    ADD_FAILURE() << "the job came to its end";
  } catch (const Error& error) {
    ASSERT_STREQ(error.what(), "stopped");
  }
}

Json progress(const std::string& folder) { return Json::parse(read_file(folder + "/progress.json")); }

TEST(TokenizeResume, OtherTextIsRefused) {
  TemporaryFolder folder;
  const std::string text = random_json_lines(1, 9000);
  ASSERT_GT(text.size(), 3'000'000u) << "several batches";
  const std::string input = folder.write("a.jsonl", text), out = folder / "out";
  TokenizeOptions options = options_for({input}, folder / "whole");
  run(options);
  options.out = out;
  interrupt(options, 3);
  const Json next = progress(out)["next"];
  ASSERT_GT(next["record"], 0);

  std::string other = text;
  const size_t letter = text.find("\"text\":\"") + 8;
  other[letter] = other[letter] == 'x' ? 'y' : 'x';
  folder.write("a.jsonl", other);
  EXPECT_EQ(message(options), input + ": its first " + next["record"].dump() + " records have changed since " + out +
                                  "/progress.json was written; remove progress.json and the shards beside it to "
                                  "start afresh");
  EXPECT_EQ(progress(out)["next"], next);
  folder.write("a.jsonl", text);
  EXPECT_EQ(run(options).total.documents, 9000u);
  EXPECT_EQ(contents(out), contents(folder / "whole"));
}

// The text behind the record at which the job continues has not been read yet.
TEST(TokenizeResume, TextThatIsNotYetReadMayChange) {
  TemporaryFolder folder;
  std::string text = random_json_lines(1, 9000);
  const std::string input = folder.write("a.jsonl", text);
  TokenizeOptions options = options_for({input}, folder / "out");
  interrupt(options, 3);
  text.replace(text.rfind("\"text\":\"") + 8, 1, "x");
  folder.write("a.jsonl", text);
  run(options);
  options.out = folder / "whole";
  run(options);
  EXPECT_EQ(contents(folder / "out"), contents(folder / "whole"));
}

TEST(TokenizeResume, AnotherStandardInputIsRefused) {
  TemporaryFolder folder;
  const std::string first = folder.write("first.jsonl", random_json_lines(1, 9000)),
                    second = folder.write("second.jsonl", random_json_lines(2, 9000)),
                    third = folder.write("third.jsonl", json_line("a")), out = folder / "out";
  TokenizeOptions options = options_for({"-"}, folder / "whole");
  {
    const StandardInput in(first);
    run(options);
  }
  options.out = out;
  {
    const StandardInput in(first);
    interrupt(options, 3);
  }
  {
    const StandardInput in(second);
    const std::string refused = message(options);
    EXPECT_TRUE(refused.starts_with("standard input: its first ")) << refused;
    EXPECT_NE(refused.find(" records have changed since " + out + "/progress.json was written; remove"),
              std::string::npos)
        << refused;
  }
  {
    const StandardInput in(third);
    EXPECT_EQ(message(options), "standard input: found 1 records, but an earlier run read more: the text has changed");
  }
  const StandardInput in(first);
  run(options);
  EXPECT_EQ(contents(out), contents(folder / "whole"));
}

// The hash covers the current source only, also if it is not the first one.
TEST(TokenizeResume, TheSecondOfTwoInputsGoesOn) {
  TemporaryFolder folder;
  const std::string a = folder.write("a.json.gz", gzip(random_json_lines(1, 300))), text = random_json_lines(2, 9000),
                    b = folder.write("b.jsonl", text);
  TokenizeOptions options = options_for({a, b}, folder / "whole");
  run(options);
  options.out = folder / "out";
  interrupt(options, 4);
  const Json next = progress(options.out)["next"];
  ASSERT_EQ(next["source"], 1);
  ASSERT_GT(next["record"], 0);
  size_t end = 0;
  for (uint64_t record = 0; record < next["record"]; ++record) end = text.find('\n', end) + 1;
  EXPECT_EQ(next["hash64"], hex(hash64(std::string_view(text).substr(0, end))));
  run(options);
  EXPECT_EQ(contents(folder / "out"), contents(folder / "whole"));
}

TEST(TokenizeResume, NotesOfOlderVersionsGoOn) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for({folder.write("a.jsonl", random_json_lines(1, 9000))}, folder / "whole");
  run(options);
  options.out = folder / "out";
  interrupt(options, 3);
  Json note = progress(options.out);
  EXPECT_EQ(note["next"].erase("hash64"), 1u);
  folder.write("out/progress.json", note.dump());
  run(options);
  EXPECT_EQ(contents(folder / "out"), contents(folder / "whole"));

  options.out = folder / "damaged";
  interrupt(options, 3);
  const Json right = progress(options.out);
  auto refused = [&](const char* key, const Json& value) {
    Json wrong = right;
    wrong["next"][key] = value;
    folder.write("damaged/progress.json", wrong.dump());
    return message(options);
  };
  EXPECT_NE(refused("source", 1).find(" of source 1, expected at most the end of 1 sources"), std::string::npos);
  EXPECT_NE(refused("source", UINT64_MAX).find("expected at most the end of 1 sources"), std::string::npos);
  EXPECT_NE(refused("hash64", 1).find("progress.json: damaged"), std::string::npos);
  EXPECT_NE(refused("hash64", "x").find("records have changed"), std::string::npos);
}

TEST(TokenizeResume, DamagedNotesNameTheKey) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for({folder.write("a.jsonl", random_json_lines(1, 9000))}, folder / "out");
  interrupt(options, 3);
  auto refused = [&](const std::string& name, const Json& right, const char* place, const Json& value) {
    Json wrong = right;
    wrong[Json::json_pointer(place)] = value;
    folder.write("out/" + name, wrong.dump());
    const std::string error = message(options), start = folder / "out/" + name + ": damaged: ",
                      end = "; remove it and the shards beside it to start afresh";
    EXPECT_TRUE(error.starts_with(start) && error.ends_with(end)) << error;
    return error.substr(start.size(), error.size() - start.size() - end.size());
  };
  const Json begun = progress(options.out);
  EXPECT_EQ(refused("progress.json", begun, "", Json::object()), "settings: found nothing, expected an object");
  EXPECT_EQ(refused("progress.json", begun, "", Json::array()), "the file: found a list, expected an object");
  EXPECT_EQ(refused("progress.json", begun, "/train/part_tokens", "5"),
            "train/part_tokens: found \"5\", expected an integer of at least 0");
  EXPECT_EQ(refused("progress.json", begun, "/next", 1), "next: found 1, expected an object");
  folder.write("out/progress.json", begun.dump());
  run(options);
  const Json manifest = Json::parse(read_file(folder / "out/manifest.json"));
  const std::string tokens = manifest["tokens"].dump();
  EXPECT_EQ(refused("manifest.json", manifest, "", Json::object()), "settings: found nothing, expected an object");
  EXPECT_EQ(refused("manifest.json", manifest, "/tokens", -1), "tokens: found -1, expected an integer of at least 0");
  EXPECT_EQ(refused("manifest.json", manifest, "/tokens", 1),
            "tokens: found 1, expected " + tokens + ", the sum of the shards");
  EXPECT_EQ(refused("manifest.json", manifest, "/format", "rowan-shards-2"),
            "format: found \"rowan-shards-2\", expected \"rowan-shards-1\"");
  EXPECT_EQ(refused("manifest.json", manifest, "/train/0/checksum", "x"),
            "train/0/checksum: found \"x\", expected 16 hexadecimal digits");
  EXPECT_EQ(refused("manifest.json", manifest, "/sources/0", 5), "sources/0: found 5, expected an object");
  folder.write("out/manifest.json", manifest.dump());
  EXPECT_TRUE(run(options).already_done);
}

// The notes list every input, so their number of values has no limit.
TEST(TokenizeResume, NotesOfAnyNumberOfInputsAreRead) {
  TemporaryFolder folder;
  run(options_for({folder.write("a.txt", "a")}, folder / "out"));
  Json manifest = Json::parse(read_file(folder / "out/manifest.json"));
  manifest["more"] = std::vector<int>(usual_values + 1);
  size_t found = 0;
  read_note(folder.write("manifest.json", manifest.dump()), [&](const Json& note) { found = note["more"].size(); });
  EXPECT_EQ(found, usual_values + 1);
}

TEST(TokenizeResume, ManyInputsTakeTimeInProportion) {
  TemporaryFolder folder;
  TokenizeResult result;
  std::vector<std::string> inputs;
  for (int i = 0; i < 200'000; ++i) inputs.push_back("a folder/of long names/" + std::to_string(i) + ".txt");
  std::vector<SourceCounts> sources(inputs.size()), read(inputs.size());
  sources.back() = {1, 2, 3, 4};
  const Json note = counts_json(result, inputs, sources);
  load_counts("manifest.json", note, inputs, result, read);
  EXPECT_EQ(read.back().bytes, 1u);
  EXPECT_EQ(read.back().hash, 2u);
  EXPECT_EQ(read.back().documents, 3u);
  EXPECT_EQ(read.back().tokens, 4u);
  inputs.back() = "other";
  try {
    load_counts("manifest.json", note, inputs, result, read);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "manifest.json: found the source \"a folder/of long names/199999.txt\", which is not an input");
  }
}

// On such a file system the removal of an absent file fails with EROFS.
TEST(TokenizeResume, FinishedWorkIsCheckedWhereNothingCanBeRemoved) {
  TemporaryFolder folder;
  TokenizeOptions options = options_for({folder.write("a.jsonl", json_line("abc"))}, folder / "out");
  run(options);
  const pid_t child = ::fork();
  if (child == 0) {
    sock_filter refuse[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
#ifdef SYS_unlink
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unlink, 1, 0),
#endif
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unlinkat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EROFS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{std::size(refuse), refuse};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) ::_exit(77);
    std::error_code error;
    fs::remove(folder / "absent", error);
    ::_exit(error.value() == EROFS && message(options).empty() && run(options).already_done ? 7 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (exit_code(status) == 77) GTEST_SKIP() << "system calls cannot be filtered here";
  EXPECT_EQ(exit_code(status), 7);
}

class NamedTokenizer : public Tokenizer {
 public:
  explicit NamedTokenizer(const std::string& spec) {
    spec_ = spec;
    vocab_size_ = 257;
    end_id_ = 256;
  }
  void encode(std::string_view, std::vector<int32_t>&) const override { ADD_FAILURE() << "text was tokenized"; }
  std::string decode(std::span<const int32_t>) const override { return ""; }
};

// Names end up in the notes, which are JSON.
TEST(TokenizeResume, ATokenizerWhosePathIsNotUtf8IsRefusedAtTheStart) {
  TemporaryFolder folder;
  const TokenizeOptions options = options_for({folder.write("a.jsonl", json_line("abc"))}, folder / "out");
  try {
    tokenize(options, NamedTokenizer("gpt2:\xff.tiktoken"), [](const TokenizeProgress&) {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "gpt2:\xff.tiktoken: found a tokenizer that is not valid UTF-8");
  }
  EXPECT_FALSE(fs::exists(folder / "out"));
}

}  // namespace
}  // namespace rowan
