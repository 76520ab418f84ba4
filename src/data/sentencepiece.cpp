#include "data/sentencepiece.h"

#include <climits>

#include "base/error.h"
#include "base/files.h"
#include "data/utf8.h"

#ifdef ROWAN_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

namespace rowan {

#ifdef ROWAN_SENTENCEPIECE
namespace {

class SentencepieceTokenizer : public Tokenizer {
 public:
  explicit SentencepieceTokenizer(const std::filesystem::path& file) {
    std::string model = read_file(file);
    auto status = processor_.LoadFromSerializedProto(model);
    if (model.empty() || !status.ok()) fail("{}: no sentencepiece model: {}", file.string(), status.ToString());
    vocab_size_ = processor_.GetPieceSize();
    end_id_ = processor_.eos_id();
    if (end_id_ < 0) fail("{}: the model has no end token </s>", file.string());
    Hash64 hash;
    hash.add("sentencepiece");
    hash.add(model);
    hash_ = hash.value();
  }

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    refuse_invalid_utf8(text);
    if (text.size() > INT_MAX / 2)
      fail("sentencepiece: a document of {} bytes; at most {} are allowed", text.size(), INT_MAX / 2);
    thread_local std::vector<int> pieces;
    auto status = processor_.Encode({text.data(), text.size()}, &pieces);
    if (!status.ok()) fail("sentencepiece: {}", status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  std::string decode(std::span<const int32_t> ids) const override {
    for (int32_t id : ids) check_id(id);
    std::string text;
    auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
    if (!status.ok()) fail("sentencepiece: {}", status.ToString());
    return text;
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(const std::filesystem::path& file) {
  return std::make_unique<SentencepieceTokenizer>(file);
}
#else
std::unique_ptr<Tokenizer> make_sentencepiece(const std::filesystem::path& file) {
  fail("sentencepiece:{}: this build has no sentencepiece; install libsentencepiece-dev and configure again",
       file.string());
}
#endif

}  // namespace rowan
