#include <gtest/gtest.h>

#include "base/error.h"
#include "corpus/raw_text.h"
#include "shared_files.h"
#include "text_files.h"

namespace rowan {
namespace {

std::vector<std::string> records(RawReader& reader) {
  std::vector<std::string> all;
  for (RawBatch batch; reader.next(batch);)
    for (size_t i = 0; i < batch.ends.size(); ++i) all.emplace_back(batch.record(i));
  return all;
}

std::vector<std::string> records(const std::string& path, TextSplit split = TextSplit::file) {
  RawReader reader({path}, TextFormat::by_name, split);
  return records(reader);
}

std::string reading_error(const std::string& path) {
  try {
    records(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

using Strings = std::vector<std::string>;

TEST(RawText, LinesWithAndWithoutAFinalNewline) {
  TemporaryFolder folder;
  EXPECT_EQ(records(folder.write("a.jsonl", "one\n\ntwo\n")), (Strings{"one\n", "\n", "two\n"}));
  EXPECT_EQ(records(folder.write("b.jsonl", "one\ntwo")), (Strings{"one\n", "two"}));
  EXPECT_EQ(records(folder.write("c.jsonl", "")), Strings{});
  EXPECT_EQ(records(folder.write("d.jsonl", std::string("a\0b\n", 4))), Strings{std::string("a\0b\n", 4)});
}

TEST(RawText, PlainTextIsCutAsAsked) {
  TemporaryFolder folder;
  std::string path = folder.write("a.txt", "a\nb\n\nc\n\n\n\nd\n\n\ne");
  EXPECT_EQ(records(path), Strings{"a\nb\n\nc\n\n\n\nd\n\n\ne"});
  EXPECT_EQ(records(path, TextSplit::blank), (Strings{"a\nb\n\n", "c\n\n", "\n\n", "d\n\n", "\ne"}));
  EXPECT_EQ(records(path, TextSplit::line).size(), 11u);
}

TEST(RawText, EmptyLinesMayEndAsOnWindows) {
  TemporaryFolder folder;
  EXPECT_EQ(records(folder.write("a.txt", "a\r\nb\r\n\r\nc\r\n\nd\n\r\ne\r\n\r"), TextSplit::blank),
            (Strings{"a\r\nb\r\n\r\n", "c\r\n\n", "d\n\r\n", "e\r\n\r"}));
  std::string first = std::string(262141, 'x') + "\r\n\r\n";  // the last "\n" is in the second read of 256 KiB
  EXPECT_EQ(records(folder.write("b.txt", first + "y"), TextSplit::blank), (Strings{first, "y"}));
}

TEST(RawText, PairsOfNewlinesAreFoundAcrossReads) {
  TemporaryFolder folder;
  // The stream is read in chunks of 256 KiB. The pair of newlines moves over the chunk boundary byte by byte.
  for (size_t size : {262141, 262142, 262143, 262144, 262145}) {
    std::string first = std::string(size, 'x') + "\n\n";
    EXPECT_EQ(records(folder.write("a.txt", first + "y"), TextSplit::blank), (Strings{first, "y"})) << size;
  }
}

TEST(RawText, CompressedFilesOfSeveralParts) {
  TemporaryFolder folder;
  Strings expected = {"one\n", "two\n", "three\n"};
  EXPECT_EQ(records(folder.write("a.json.gz", gzip("one\ntw") + gzip("") + gzip("o\nthree\n"))), expected);
  EXPECT_EQ(records(folder.write("b.json.gz", gzip("one\ntwo\nthree\n") + std::string(512, '\0'))), expected);
  EXPECT_EQ(records(folder.write("c.jsonl.zst", zstd("one\ntw") + zstd("") + zstd("o\nthree\n"))), expected);
  std::string big(3'000'000, 'x');
  EXPECT_EQ(records(folder.write("d.txt.gz", gzip(big))), Strings{big});
  EXPECT_EQ(records(folder.write("e.txt.zst", zstd(big))), Strings{big});
}

// pzstd writes a skippable frame before every frame, and a seekable file stores its table in a skippable frame at its
// end. 16 magic numbers are reserved for skippable frames.
TEST(RawText, FramesThatZstdSkips) {
  TemporaryFolder folder;
  const std::string first = zstd("one\ntw"), second = zstd("o\nthree\n");
  for (int kind = 0; kind < 16; ++kind) {
    std::string skip = {static_cast<char>(0x50 + kind), 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'};
    const std::string name = std::to_string(kind) + (kind % 2 ? ".jsonl.zst" : ".jsonl");
    EXPECT_EQ(records(folder.write(name, skip + first + skip + skip + second + skip)),
              (Strings{"one\n", "two\n", "three\n"}));
  }
  EXPECT_NE(reading_error(folder.write("cut.jsonl.zst", first + std::string("\x50\x2a\x4d\x18\x09\0\0\0x", 9)))
                .find("ends inside a frame"),
            std::string::npos);
}

TEST(RawText, WindowsOfAnyLength) {
  TemporaryFolder folder;
  const std::string text = random_json_lines(3, 2000);
  for (int log : {27, 28, 30}) {
    ZSTD_CCtx* stream = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(stream, ZSTD_c_windowLog, log);
    ZSTD_CCtx_setParameter(stream, ZSTD_c_contentSizeFlag, 0);
    std::string out(ZSTD_compressBound(text.size()), '\0');
    // Compresses in two calls, because for a single call the library would choose a smaller window.
    ZSTD_inBuffer in{text.data(), text.size() / 2, 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    ZSTD_compressStream2(stream, &to, &in, ZSTD_e_continue);
    in.size = text.size();
    ASSERT_EQ(ZSTD_compressStream2(stream, &to, &in, ZSTD_e_end), 0u);
    ZSTD_freeCCtx(stream);
    out.resize(to.pos);
    EXPECT_EQ(records(folder.write("long.jsonl.zst", out)).size(), 2000u) << log;
  }
}

TEST(RawText, TheCasesOfZstd) {
  ROWAN_SHARED_OR_SKIP(cases, "cases");
  EXPECT_EQ(
      records((cases / "skippable_frame_first.jsonl.zst").string()),
      (Strings{"{\"text\": \"first story\"}\n", "{\"text\": \"second story\"}\n", "{\"text\": \"third story\"}\n"}));
  const Strings lines = records((cases / "window_31.jsonl.zst").string());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[2], "{\"text\": \"doc 2\"}\n");
}

TEST(RawText, DamageIsNamed) {
  TemporaryFolder folder;
  std::string gz = gzip(random_json_lines(1, 100)), zst = zstd(random_json_lines(1, 100));
  EXPECT_NE(reading_error(folder.write("a.json.gz", gz.substr(0, gz.size() / 2))).find("ends inside a member"),
            std::string::npos);
  EXPECT_NE(reading_error(folder.write("b.json.gz", gz + "garbage")).find("b.json.gz: gzip at byte"),
            std::string::npos);
  EXPECT_NE(reading_error(folder.write("c.json.gz", "{}\n")).find("the first bytes are not gzip"), std::string::npos);
  EXPECT_NE(reading_error(folder.write("d.json.zst", zst.substr(0, zst.size() / 2))).find("ends inside a frame"),
            std::string::npos);
  std::string flipped = gz;
  flipped[gz.size() - 6] ^= 1;
  EXPECT_NE(reading_error(folder.write("e.json.gz", flipped)).find("incorrect data check"), std::string::npos);
  EXPECT_NE(reading_error(folder / "none.jsonl").find("No such file"), std::string::npos);
  EXPECT_NE(reading_error(folder / "a.parquet").find("parquet_text.py"), std::string::npos);
  EXPECT_NE(reading_error(folder / "a.pdf").find("--format"), std::string::npos);
}

TEST(RawText, ATextThatIsTooLongForOneDocumentSaysHowToSplitIt) {
  TemporaryFolder folder;
  auto error = [&](const std::string& name, TextSplit split) -> std::string {
    RawReader reader({folder.write(name, std::string(1'000'000, 'x'))}, TextFormat::by_name, split, 500'000);
    try {
      records(reader);
    } catch (const Error& refused) {
      return refused.what();
    }
    return "";
  };
  const std::string said = ": record 1: found more bytes than the limit of 500000";
  EXPECT_EQ(error("a.txt", TextSplit::file),
            folder / "a.txt" + said + "; --split line or blank makes documents of its parts");
  EXPECT_EQ(error("a.txt", TextSplit::line), folder / "a.txt" + said);
  EXPECT_EQ(error("a.jsonl", TextSplit::file), folder / "a.jsonl" + said);
}

TEST(RawText, SeekGivesTheSameRest) {
  TemporaryFolder folder;
  Strings paths = {folder.write("a.json.gz", gzip(random_json_lines(1, 3000))),
                   folder.write("b.jsonl", random_json_lines(2, 3000))};
  RawReader all(paths, TextFormat::by_name, TextSplit::file);
  Strings expected = records(all);
  ASSERT_EQ(expected.size(), 6000u);
  for (size_t record : {0, 1, 1500, 2999}) {
    RawReader reader(paths, TextFormat::by_name, TextSplit::file);
    std::string passed;
    for (size_t i = 3000; i < 3000 + record; ++i) passed += expected[i];
    EXPECT_EQ(reader.seek(1, record).value(), hash64(passed));
    EXPECT_EQ(records(reader), Strings(expected.begin() + 3000 + record, expected.end())) << record;
  }
  RawReader reader(paths, TextFormat::by_name, TextSplit::file);
  EXPECT_THROW(reader.seek(1, 3001), Error);
}

TEST(RawText, ALineOf100Megabytes) {
  TemporaryFolder folder;
  std::string line(100'000'000, 'x');
  Strings found = records(folder.write("a.jsonl", "a\n" + line + "\nb\n"));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[1].size(), line.size() + 1);
  EXPECT_EQ(found[2], "b\n");
}

}  // namespace
}  // namespace rowan
