// Tests how HellaSwag is read and scored, with losses that are known for every target.
#include <cmath>

#include "base/json.h"
#include "data/dataset.h"
#include "evaluate/hellaswag.h"
#include "shared_files.h"
#include "tokenizer/tokenizer.h"
#include "unit/data/token_files.h"

namespace rowan {
namespace {

using HellaSwag = WithFolder;

std::string item_bytes(uint16_t number, uint16_t label, const Tokens& context, const std::vector<Tokens>& endings) {
  std::string body;
  append(body, number);
  append(body, label);
  append(body, static_cast<uint16_t>(endings.size()));
  append(body, static_cast<uint16_t>(context.size()));
  body += bare(context, 2);
  for (const Tokens& ending : endings) {
    append(body, static_cast<uint16_t>(ending.size()));
    body += bare(ending, 2);
  }
  std::string bytes;
  append(bytes, uint16_t{65535});
  append(bytes, static_cast<uint16_t>(body.size() + 4));
  return bytes + body;
}

std::string evaluation_file(int32_t count, const std::string& items) {
  std::string bytes(1024, '\0');
  poke(bytes, 0, hellaswag_magic);
  poke(bytes, 4, 1);
  poke(bytes, 8, count);
  return bytes + items;
}

// A model whose loss for a target is the target's id, and 0 for an ignored target.
void loss_is_id(const int32_t*, const int32_t* targets, float* losses, int64_t count) {
  for (int64_t i = 0; i < count; ++i) losses[i] = targets[i] == ignored_target ? 0.0f : static_cast<float>(targets[i]);
}

TEST_F(HellaSwag, ChoosesTheEndingOfLowestLoss) {
  // Item 0: ending 1 has the lowest mean loss (2), ending 2 the lowest sum (3). Item 1: both are lowest for ending 3.
  const std::string path =
      write("h.bin", evaluation_file(2, item_bytes(0, 1, {7, 8}, {{9, 9}, {2, 2, 2}, {3}, {9}}) +
                                            item_bytes(1, 3, {7, 7, 7, 7, 7, 7}, {{5}, {6}, {4, 8}, {1}})));
  const auto items = read_hellaswag(path, nullptr);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].context, (Tokens{7, 8}));
  EXPECT_EQ(items[0].endings[1], (Tokens{2, 2, 2}));
  EXPECT_EQ(items[1].label, 3);
  for (int64_t T : {4, 8})
    for (int64_t batch : {1, 3, 8, 20})
      for (int ranks : {1, 2, 3}) {
        HellaSwagScore sum;
        std::vector<int> calls;
        for (int rank = 0; rank < ranks; ++rank) {
          calls.push_back(0);
          const HellaSwagScore score = score_hellaswag(
              items, batch, T,
              [&](const int32_t* inputs, const int32_t* targets, float* losses) {
                ++calls.back();
                loss_is_id(inputs, targets, losses, batch * T);
              },
              rank, ranks);
          sum.items += score.items;
          sum.correct_by_mean += score.correct_by_mean;
          sum.correct_by_sum += score.correct_by_sum;
        }
        EXPECT_EQ(sum.items, 2);
        EXPECT_EQ(sum.correct_by_mean, 2);
        EXPECT_EQ(sum.correct_by_sum, 1);
        for (int made : calls) EXPECT_EQ(made, calls[0]);
      }
  const HellaSwagScore score{4, 3, 1};
  EXPECT_DOUBLE_EQ(score.acc_norm(), 0.75);
  EXPECT_DOUBLE_EQ(score.acc(), 0.25);
}

TEST_F(HellaSwag, RowsHoldTheEndOfTheContextAndTargetsOfTheEnding) {
  const std::string path = write("h.bin", evaluation_file(1, item_bytes(0, 0, {1, 2, 3, 4}, {{5, 6}, {5}, {5}, {5}})));
  const auto items = read_hellaswag(path, nullptr);
  const int32_t X = ignored_target;
  auto first_row = [&](int64_t T) {
    std::pair<Tokens, Tokens> row;
    score_hellaswag(items, 4, T, [&](const int32_t* inputs, const int32_t* targets, float* losses) {
      row = {Tokens(inputs, inputs + T), Tokens(targets, targets + T)};
      loss_is_id(inputs, targets, losses, 4 * T);
    });
    return row;
  };
  EXPECT_EQ(first_row(6), (std::pair(Tokens{1, 2, 3, 4, 5, 0}, Tokens{X, X, X, 5, 6, X})));
  EXPECT_EQ(first_row(3), (std::pair(Tokens{3, 4, 5}, Tokens{X, 5, 6})));
  EXPECT_EQ(read_hellaswag(path, nullptr, 2, 7).size(), 1u);
  EXPECT_ERROR(read_hellaswag(path, nullptr, 1, 7), "h.bin: example 0: found an ending of 2 tokens");
  EXPECT_ERROR(read_hellaswag(path, nullptr, 6, 6), "h.bin: example 0: found id 6, expected less than 6");
  write("h.bin", evaluation_file(1, item_bytes(0, 0, {}, {{5}, {5}, {5}, {5}})));
  EXPECT_ERROR(read_hellaswag(path, nullptr, 6, 7), "h.bin: example 0: found no context");
}

TEST_F(HellaSwag, ReadsItsJsonLines) {
  const auto bytes = make_tokenizer("bytes");
  const std::string good =
      R"({"ind": 3, "ctx": "A man", "endings": ["a", "bc", "d", "e"], "label": 2, "source_id": "x"})";
  const auto items = read_hellaswag(write("h.jsonl", good + "\n\n" + good), bytes.get());
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(bytes->decode(items[1].context), "A man");
  EXPECT_EQ(bytes->decode(items[1].endings[1]), " bc");
  EXPECT_EQ(items[1].label, 2);
  EXPECT_ERROR(read_hellaswag(write("h.jsonl", good), nullptr), "needs a tokenizer");
  EXPECT_ERROR(read_hellaswag(write("h.jsonl", good + "\n{}\n"), bytes.get()), "h.jsonl:2: found no HellaSwag record");
  EXPECT_ERROR(read_hellaswag(write("h.jsonl", "\n"), bytes.get()), "no examples");
}

TEST_F(HellaSwag, DamageIsNamedWhereverItIs) {
  const std::string good =
      evaluation_file(2, item_bytes(0, 1, {7, 8}, {{9}, {2}, {3}, {9}}) + item_bytes(1, 3, {7}, {{5}, {6}, {4}, {1}}));
  for (size_t size = 0; size < good.size(); size += size < 1024 ? 64 : 1)
    EXPECT_NE(error_of([&] { read_hellaswag(write("h.bin", good.substr(0, size)), nullptr); }), "") << size;
  EXPECT_ERROR(read_hellaswag(write("h.bin", good + "xx"), nullptr), "2 bytes after the last of 2 examples");
  std::string bad = good;
  poke(bad, 1024 + 6, uint16_t{4});
  EXPECT_ERROR(read_hellaswag(write("h.bin", bad), nullptr), "byte 1030: the label: found 4, expected 0 to 3");
  for (size_t at = 1024; at < good.size(); ++at) {
    bad = good;
    bad[at] ^= 0x55;
    error_of([&] { read_hellaswag(write("h.bin", bad), nullptr); });
  }
}

// An ending is what follows the context's ids in one text, so a tokenizer that puts a space before each text puts none
// before the ending.
TEST_F(HellaSwag, AnEndingIsEncodedBehindItsContext) {
  const char* const json = R"({"added_tokens": [{"id": 1, "content": "</s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["</s>", 0], ["\u2581", -2], ["a", -1], ["b", -1],
      ["c", -1], ["\u2581b", -1]]}})";
  const auto tokenizer = make_tokenizer("huggingface:" + write("tokenizer.json", json));
  const auto items = read_hellaswag(
      write("h.jsonl", R"({"ctx": "a c", "endings": ["b", "ab", "c", "bb"], "label": 0})"), tokenizer.get());
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].context, (Tokens{2, 3, 2, 5}));
  EXPECT_EQ(items[0].endings, (std::array<Tokens, 4>{Tokens{6}, {2, 3, 4}, {2, 5}, {6, 4}}));
}

// Bytes and GPT-2 put no space before a text and divide before spaces, so there an ending may as well be encoded alone.
TEST_F(HellaSwag, EndingsOfBytesAndGpt2AreThoseOfLlmc) {
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  tokenizers.push_back(make_tokenizer("bytes"));
  if (const auto folder = shared_file("corpora/tokenizers/gpt2"); !folder.empty())
    tokenizers.push_back(make_tokenizer("gpt2:" + folder.string()));
  const std::string contexts[] = {"A man is sitting on a roof. He", "[header] How to [title] Wait.", "It's 5", "x\n",
                                  "y "};
  const std::array<std::string, 4> endings = {"is using wrap.", "'s 12, (no)", "\u00e9t\u00e9 [substeps] A", "I"};
  std::string text;
  for (const std::string& context : contexts)
    text += Json{{"ctx", context}, {"endings", endings}, {"label", 0}}.dump() + "\n";
  for (const auto& tokenizer : tokenizers) {
    const auto items = read_hellaswag(write("h.jsonl", text), tokenizer.get());
    ASSERT_EQ(items.size(), std::size(contexts));
    for (size_t i = 0; i < items.size(); ++i)
      for (size_t e = 0; e < 4; ++e)
        EXPECT_EQ(items[i].endings[e], tokenizer->encode(" " + endings[e])) << contexts[i] << " " << endings[e];
  }
}

class CountedTokenizer : public Tokenizer {
 public:
  explicit CountedTokenizer(int32_t ids) { vocab_size_ = ids; }
  void encode(std::string_view, std::vector<int32_t>&) const override {}
  std::string decode(std::span<const int32_t>) const override { return {}; }
};

TEST_F(HellaSwag, IdsOfGpt2BelongToNoOtherTokenizer) {
  const std::string path = write("h.bin", evaluation_file(1, item_bytes(0, 0, {1, 2}, {{5}, {5}, {5}, {5}})));
  EXPECT_EQ(error_of([&] { read_hellaswag(path, make_tokenizer("bytes").get()); }),
            path +
                ": found ids of GPT-2, expected ids of the tokenizer bytes, which has 257 instead of 50257; the data "
                "set's own .jsonl works with every tokenizer");
  const CountedTokenizer gpt2(50257);
  EXPECT_EQ(read_hellaswag(path, &gpt2).size(), 1u);
  // Without a tokenizer, the shards say how many ids their tokenizer has.
  EXPECT_EQ(error_of([&] { read_hellaswag(path, nullptr, 8, 50304, 257); }),
            path +
                ": found ids of GPT-2, expected ids of the shards' tokenizer, which has 257 instead of 50257; name the "
                "tokenizer in the config and use the data set's own .jsonl");
  for (const int32_t known : {0, 50257}) EXPECT_EQ(read_hellaswag(path, nullptr, 8, 50304, known).size(), 1u);
}

// A comparison with NaN is false, so without a check the first ending would win.
TEST_F(HellaSwag, ALossThatIsNotFiniteGivesNoScore) {
  const std::string path = write("h.bin", evaluation_file(2, item_bytes(0, 0, {7}, {{1}, {2}, {3}, {4}}) +
                                                                 item_bytes(1, 0, {7}, {{1}, {2}, {5}, {4}})));
  const auto items = read_hellaswag(path, nullptr);
  auto score = [&](float of_five) {
    return score_hellaswag(items, 3, 4, [&](const int32_t* inputs, const int32_t* targets, float* losses) {
      loss_is_id(inputs, targets, losses, 12);
      std::replace(losses, losses + 12, 5.0f, of_five);
    });
  };
  EXPECT_EQ(score(5).undefined, 0);
  EXPECT_EQ(score(5).acc(), 1);
  for (float loss : {NAN, INFINITY}) {
    EXPECT_EQ(score(loss).undefined, 1);
    EXPECT_TRUE(std::isnan(score(loss).acc()));
    EXPECT_TRUE(std::isnan(score(loss).acc_norm()));
  }
}

TEST_F(HellaSwag, AShortLengthIsEnoughForShortItems) {
  auto length = [](size_t context, size_t ending, int64_t most) {
    HellaSwagItem item;
    item.context.resize(context);
    for (Tokens& tokens : item.endings) tokens.resize(1);
    item.endings[2].resize(ending);
    return length_for({HellaSwagItem{{1}, {Tokens{1}, {1}, {1}, {1}}, 0}, item}, most);
  };
  EXPECT_EQ(length(2, 3, 1024), 16);
  EXPECT_EQ(length(14, 3, 1024), 16) << "16 inputs, because the last token is only a target";
  EXPECT_EQ(length(14, 4, 1024), 32);
  EXPECT_EQ(length(14, 4, 20), 20);
  EXPECT_EQ(length(900, 300, 1024), 1024);
}

}  // namespace
}  // namespace rowan
