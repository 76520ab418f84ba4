// The families of text, tokens and tokenizers.
#include <algorithm>

#include "base/files.h"
#include "charsmap_tables.h"
#include "corpus/tokenize_batch.h"
#include "corpus/tokenize_job.h"
#include "data/shard.h"
#include "evaluate/hellaswag.h"
#include "fuzz/entry.h"
#include "shared_files.h"
#include "text_files.h"
#include "token_bytes.h"
#include "tokenizer/base64.h"
#include "tokenizer/gpt2.h"

namespace rowan {
namespace {

const Tokens tokens = {9, 1, 2, 9, 3, 4, 5, 9};

void read_shard(const std::string& path) {
  Shard shard(path, {ShardFormat::automatic, 0, 9});
  std::vector<int32_t> ids(static_cast<size_t>(std::min<int64_t>(shard.tokens(), 1 << 16)));
  shard.copy_tokens(shard.tokens() - static_cast<int64_t>(ids.size()), static_cast<int64_t>(ids.size()), ids.data());
  const DocumentIndex documents = shard.documents();
  int64_t before = 0;
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t start = documents.start(i);
    promise(start >= before && start <= shard.tokens(), "documents start in order and inside the shard");
    before = start;
  }
}

void shard_entry(std::string_view input) {
  result_or_error([&] { read_shard(folder().write("shard.bin", input)); });
}

Strings shard_seeds() {
  std::string with_header = llmc(tokens);
  poke(with_header, 4 * shard::word_mark, shard::rowan_mark);
  poke(with_header, 4 * shard::word_vocab, 10);
  poke(with_header, 4 * shard::word_end_id, 9);
  poke(with_header, 4 * shard::word_end_place, 1);
  return {llmc(tokens), llmc(tokens, 4), with_header};
}

// The first byte selects the format of the index. The rest of the input is the index.
void index_entry(std::string_view input) {
  if (input.empty()) return;
  static const std::string names[][2] = {
      {"rowan.bin", "rowan.bin.documents"}, {"megatron.bin", "megatron.idx"}, {"datatrove.ds", "datatrove.ds.index"}};
  static const bool written = [] {
    folder().write(names[0][0], llmc(tokens));
    folder().write(names[1][0], bare(tokens, 4));
    folder().write(names[2][0], bare(tokens, 2));
    return true;
  }();
  const auto& name = names[static_cast<unsigned char>(input[0]) % 3];
  folder().write(name[1], input.substr(1));
  if (written) result_or_error([&] { read_shard(folder() / name[0]); });
}

Strings index_seeds() {
  std::string ends;
  for (uint64_t end : {3, 7, 8}) append(ends, end);
  return {std::string(1, 0) + rowan_index({0, 3, 7}, 8), std::string(1, 1) + megatron_index({3, 4, 1}, 4),
          std::string(1, 2) + ends};
}

// Every line is a document or counts as skipped. The documents' token counts add up to the number of ids.
void json_lines_entry(std::string_view input) {
  static const auto tokenizer = make_tokenizer("bytes");
  RawBatch raw;
  raw.json = true;
  raw.bytes = input;
  for (size_t at = 0; at < raw.bytes.size(); raw.ends.push_back(at))
    at = std::min(raw.bytes.find('\n', at), raw.bytes.size() - 1) + 1;
  TokenizedBatch batch = tokenize_batch(raw, "text", TextSplit::file, *tokenizer, shard::EndPlace::after);
  promise(batch.documents.size() + batch.skipped.size() == raw.ends.size(), "every line is counted");
  size_t ids = 0;
  for (const TokenizedDocument& document : batch.documents) ids += document.tokens;
  promise(ids == batch.ids.size(), "every token belongs to a document");
}

Strings json_lines_seeds() {
  return {random_json_lines(9, 5) + "{\"text\": \"\\ud83d\\ude00 \\u0000 \\n\", \"n\": [1, {\"a\": null}]}\n",
          "\xef\xbb\xbf{}\r\n\n"};
}

// The content of a stream does not depend on the size of the reads. The records together are the whole content. Content
// of more than `most` bytes is compared only up to `most`, and its records are not checked.
void stream_entry(std::string_view input) {
  constexpr size_t most = size_t{1} << 22;  // in bytes; a compressed stream may expand to far more
  const std::string path = folder().write("stream", input);
  auto read = [&](size_t size) {
    std::string all, piece(size, '\0');
    TextStream stream(path);
    for (size_t got; all.size() < most && (got = stream.read(piece.data(), size)) > 0;) all.append(piece, 0, got);
    return all.substr(0, most);
  };
  result_or_error([&] {
    const std::string whole = read(1 << 16);
    promise(read(13) == whole, "pieces of any size give the same bytes");
    if (whole.size() == most) return;
    for (TextSplit split : {TextSplit::line, TextSplit::blank, TextSplit::file}) {
      RawReader reader({path}, TextFormat::text, split);
      std::string records;
      for (RawBatch batch; reader.next(batch, 3);) records += batch.bytes;
      promise(records == whole, "records are the whole text");
    }
  });
}

Strings gzip_seeds() {
  return {gzip(random_json_lines(4, 20)), gzip("a\n\nb") + gzip("") + gzip("c\r\n\r\n") + std::string(5, '\0')};
}
Strings zstd_seeds() { return {zstd(random_json_lines(4, 20)), zstd("a\n\nb") + zstd("") + zstd("c\r\n\r\n")}; }

// The first byte selects the format. The rest of the input is the file of a vocabulary, or of a whole tokenizer.
void tokenizer_entry(std::string_view input) {
  if (input.empty()) return;
  const int kind = static_cast<unsigned char>(input[0]) % 4;
  input.remove_prefix(1);
  result_or_error([&] {
    if (kind == 0) {
      Gpt2Tokenizer tokenizer(read_gpt2_vocabulary(folder().write("a.tiktoken", input)), InvalidUtf8::keep);
      promise(tokenizer.decode(tokenizer.encode("some abc text")) == "some abc text", "decoding gives the text back");
    } else if (kind == 1) {
      folder().write("vocab.bpe", "#version: 0.2\n\u0120 t\n");
      folder().write("encoder.json", input);
      read_gpt2_vocabulary(folder() / ".");
    } else if (kind == 2) {
      make_tokenizer("sentencepiece:" + folder().write("a.model", input))->encode("some text, \u00e9 \u4e2d\n");
    } else {
      const auto tokenizer = make_tokenizer("huggingface:" + folder().write("tokenizer.json", input));
      for (int32_t id : tokenizer->encode("some text, \u00e9 \u4e2d\n"))
        promise(id >= 0 && id < tokenizer->vocab_size(), "ids lie inside the vocabulary");
    }
  });
}

Strings tokenizer_seeds() {
  std::string tiktoken(1, 0), encoder = std::string(1, 1) + "{\"!\": 0, \"\\u0120t\": 1, \"<|endoftext|>\": 2}";
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int byte = 0; byte < 256; ++byte)
    tiktoken += std::string{digits[byte >> 2], digits[(byte & 3) << 4]} + "== " + std::to_string(byte) + "\n";
  Strings seeds = {tiktoken + "YWI= 256\nYWJj 257\n", encoder};
  seeds.push_back(std::string(1, 3) + R"({"added_tokens": [{"id": 4, "content": "</s>", "special": true}],
 "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, {"type": "Replace",
   "pattern": {"String": " "}, "content": "_"}]},
 "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s"}, "behavior": "Isolated"},
 "model": {"type": "BPE", "unk_token": "u", "vocab": {"u": 0, "s": 1, "o": 2, "so": 3}, "merges": ["s o"]}})");
  seeds.push_back(std::string(1, 3) + R"({"added_tokens": [{"id": 0, "content": "</s>", "special": true}],
 "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true},
 "model": {"type": "Unigram", "unk_id": 1, "vocab": [["</s>", 0], ["<unk>", 0], ["_so", -1.5], ["me", -2]]}})");
  seeds.push_back(std::string(1, 3) + R"({"added_tokens": [{"id": 2, "content": "</s>", "special": true}],
 "normalizer": {"type": "Precompiled", "precompiled_charsmap": ")" +
                  encode_base64(one_key('s', "\u00e9")) + R"("},
 "pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(?i:'s|ll)|[^\\s&&[^e]]{,2}|\\w+$|\\p{Han}"}},
 "model": {"type": "BPE", "vocab": {"o": 0, "m": 1}, "merges": []}})");
  // T5's model is slow to read repeatedly, so only its first pieces are used.
  if (const auto model = shared_file("corpora/tokenizers/t5/spiece.model"); !model.empty())
    seeds.push_back(std::string(1, 2) + read_file(model).substr(0, 6000));
  return seeds;
}

void hellaswag_entry(std::string_view input) {
  static const auto tokenizer = make_tokenizer("bytes");
  const std::string path = folder().write("hellaswag", input);
  // Text needs a tokenizer; llm.c's file is refused with this one.
  for (const Tokenizer* given :
       {static_cast<const Tokenizer*>(tokenizer.get()), static_cast<const Tokenizer*>(nullptr)})
    result_or_error([&] {
      const auto items = read_hellaswag(path, given, 8, 257);
      score_hellaswag(items, 3, 8,
                      [](const int32_t*, const int32_t*, float* losses) { std::fill_n(losses, 24, 1.0f); });
    });
}

Strings hellaswag_seeds() {
  std::string file(1024, '\0');
  poke(file, 0, hellaswag_magic);
  poke(file, 4, 1);
  poke(file, 8, 1);
  for (int word : {65535, 38, 0, 2, 4, 2, 7, 9, 1, 20, 2, 5, 6, 1, 30, 3, 7, 8, 9})
    append(file, static_cast<uint16_t>(word));
  return {file, R"({"ctx": "A man", "endings": ["a", "bc", "d", "e"], "label": "2"})"};
}

// The first byte selects progress.json of an interrupted `rowan tokenize`, or manifest.json of a finished one. The rest
// of the input is the content of that file. The next command continues, finds nothing to do, or reports an error.
void progress_entry(std::string_view input) {
  if (input.empty()) return;
  static const auto tokenizer = make_tokenizer("bytes");
  static const std::string text = folder().write("progress.jsonl", random_json_lines(3, 6));
  const std::filesystem::path out = folder() / "out";
  std::filesystem::remove_all(out);
  std::filesystem::create_directory(out);
  TokenizeOptions options;
  options.inputs = {text};
  options.out = out.string();
  const bool finished = input[0] & 1;
  if (finished) {
    static const std::string shard = [&] {
      tokenize(options, *tokenizer, [](const TokenizeProgress&) {});
      return read_file(out / "train-00000.bin");
    }();
    static const std::string documents = read_file(out / "train-00000.bin.documents");
    folder().write("out/train-00000.bin", shard);
    folder().write("out/train-00000.bin.documents", documents);
  } else {
    folder().write("out/train-00000.bin.part", std::string(4096, 'x'));
    folder().write("out/train-00000.bin.documents.part", std::string(4096, '\0'));
  }
  folder().write(finished ? "out/manifest.json" : "out/progress.json", input.substr(1));
  result_or_error([&] { tokenize(options, *tokenizer, [](const TokenizeProgress&) {}); });
}

Strings progress_seeds() {
  // Interrupts a command at its second report and takes the progress file that it has written. Then finishes the work.
  const auto tokenizer = make_tokenizer("bytes");
  TokenizeOptions options;
  options.inputs = {folder().write("progress.jsonl", random_json_lines(3, 6))};
  options.out = folder() / "seed";
  options.save_seconds = 0;
  int reports = 0;
  try {
    tokenize(options, *tokenizer, [&](const TokenizeProgress&) {
      if (++reports == 2) fail("enough");
    });
  } catch (const Error&) {
  }
  Strings seeds = {std::string(1, 0) + read_file(folder() / "seed/progress.json")};
  tokenize(options, *tokenizer, [](const TokenizeProgress&) {});
  seeds.push_back(std::string(1, 1) + read_file(folder() / "seed/manifest.json"));
  std::filesystem::remove_all(folder() / "seed");
  return seeds;
}

}  // namespace

std::vector<FuzzFamily> data_families() {
  return {
      {"shard", "shards of llm.c, Rowan and other programs, with Rowan's header or without", shard_entry, shard_seeds},
      {"index", "indexes of documents: Rowan's, Megatron's and datatrove's", index_entry, index_seeds},
      {"json_lines", "lines of JSON for `rowan tokenize`", json_lines_entry, json_lines_seeds},
      {"gzip", "text compressed with gzip", stream_entry, gzip_seeds},
      {"zstd", "text compressed with zstd", stream_entry, zstd_seeds},
      {"tokenizer", "GPT-2's vocabularies, sentencepiece models and tokenizer.json", tokenizer_entry, tokenizer_seeds},
      {"hellaswag", "HellaSwag, as llm.c's file or as JSON lines", hellaswag_entry, hellaswag_seeds},
      {"progress", "progress.json of an interrupted `rowan tokenize`, and manifest.json of a finished one",
       progress_entry, progress_seeds},
  };
}

}  // namespace rowan
