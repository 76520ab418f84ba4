#include "corpus/train_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file_identity.h"
#include "corpus/tokenize_batch.h"
#include "tokenizer/utf8.h"

#ifdef ROWAN_SENTENCEPIECE_TRAINER
#include <sentencepiece_trainer.h>
#endif

namespace rowan {

#ifdef ROWAN_SENTENCEPIECE_TRAINER
namespace {

constexpr size_t longest_sentence = 4000;  // in bytes; the trainer skips sentences of more than 4192 bytes

// Iterates over the lines of all texts. Splits long lines at a space or between two characters. Skips empty lines and
// lines that are not valid UTF-8. Counts in `skipped` what tokenizing skips too.
class Sentences : public sentencepiece::SentenceIterator {
 public:
  Sentences(const TokenizerTraining& training, AllSkipped& skipped)
      : training_(training), skipped_(skipped), reader_(training.inputs, training.format, TextSplit::line) {
    Next();
  }

  bool done() const override { return done_; }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

  void Next() override {
    for (bool valid = false; !valid || sentence_.empty();) {
      while (at_ >= text_.size())
        if (!next_text()) {
          done_ = true;
          return;
        }
      size_t end = std::min(text_.find('\n', at_), text_.size());
      const bool whole = end - at_ <= longest_sentence;
      if (!whole) {
        end = at_ + longest_sentence;
        if (const size_t space = text_.rfind(' ', end); space != std::string::npos && space > at_) end = space;
        // Steps back to the start of a character, which has at most three continuation bytes. Invalid UTF-8 may have
        // more of them in a row.
        for (int back = 0; back < 3 && (text_[end] & 0xc0) == 0x80; ++back) --end;
      }
      sentence_ = text_.substr(at_, end - at_);
      at_ = end + (whole ? 1 : 0);
      if (sentence_.ends_with('\r')) sentence_.pop_back();
      std::erase(sentence_, '\0');
      valid = first_invalid_utf8(sentence_) == sentence_.size();
      if (!valid) skip("not UTF-8", "");
    }
  }

 private:
  const TokenizerTraining& training_;
  AllSkipped& skipped_;
  RawReader reader_;
  RawBatch batch_;
  size_t record_ = 0;
  std::string text_, sentence_;
  size_t at_ = 0;
  bool done_ = false, counted_ = false;  // counted_: the record is counted in skipped_

  // Counts the current record, once.
  void skip(const std::string& reason, const std::string& detail) {
    if (std::exchange(counted_, true)) return;
    Skipped& all = skipped_[reason];
    if (all.count++ == 0)
      all.first = fmt::format("{}, line {}{}{}", training_.inputs[batch_.source], batch_.first_record + record_,
                              detail.empty() ? "" : ": ", detail);
  }

  bool next_text() {
    while (record_ >= batch_.ends.size()) {
      if (!reader_.next(batch_)) return false;
      record_ = 0;
    }
    const std::string_view record = batch_.record(record_++);
    at_ = 0;
    counted_ = false;
    text_ = record;
    if (batch_.json) take_field(record);
    return true;
  }

  void take_field(std::string_view line) {
    text_.clear();
    SkippedRecord skipped;
    if (line.find_first_not_of(" \t\r\n") == std::string_view::npos)
      skipped.reason = "blank line";
    else if (extract_text(line, training_.field, text_, skipped) && text_.empty())
      skipped.reason = "no text";
    if (skipped.reason.empty()) return;
    text_.clear();
    skip(skipped.reason, skipped.detail);
  }
};

// The digits that follow `words`, or "" if the text does not contain `words`.
std::string number_behind(const std::string& text, std::string_view words) {
  const size_t at = text.find(words);
  if (at == std::string::npos) return "";
  const size_t begin = at + words.size();
  return text.substr(begin, text.find_first_not_of("0123456789", begin) - begin);
}

// The name of the text: its first file, and how many more there are.
std::string name_of_texts(const std::vector<std::string>& inputs) {
  const std::string first = inputs.front() == "-" ? "standard input" : inputs.front();
  return inputs.size() == 1 ? first : fmt::format("{} and {} more", first, inputs.size() - 1);
}

// Throws Error with the library's message in other words. The original message may name lines of the library's source
// code, and options that Rowan does not have.
[[noreturn]] void refuse(const std::string& texts, int64_t vocabulary, const std::string& message) {
  if (const std::string most = number_behind(message, "set it to a value <= "); !most.empty())
    fail("{}: found too little text for a vocabulary of {} ids: the text gives at most {}", texts, vocabulary, most);
  if (const std::string least = number_behind(message, fmt::format("required_chars. {} vs ", vocabulary));
      !least.empty())
    fail("{}: found a vocabulary of {} ids, expected at least {} for the characters of the text and single bytes",
         texts, vocabulary, least);
  const size_t at = message.rfind("] ");
  fail("{}: the tokenizer cannot be made: {}", texts, at == std::string::npos ? message : message.substr(at + 2));
}

}  // namespace

std::string train_tokenizer(const TokenizerTraining& training, AllSkipped& skipped) {
  check_given_once(training.inputs);
  Sentences sentences(training, skipped);
  if (sentences.done())
    fail("{}: found no text to train a tokenizer on{}", name_of_texts(training.inputs), text_of(skipped));
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train({{"model_type", training.bpe ? "bpe" : "unigram"},
                                                                  {"vocab_size", std::to_string(training.vocabulary)},
                                                                  {"num_threads", std::to_string(training.threads)},
                                                                  {"normalization_rule_name", "identity"},
                                                                  {"remove_extra_whitespaces", "false"},
                                                                  {"allow_whitespace_only_pieces", "true"},
                                                                  {"byte_fallback", "true"},
                                                                  {"character_coverage", "0.9995"},
                                                                  {"input_sentence_size", "4000000"},
                                                                  {"minloglevel", "2"}},
                                                                 &sentences, &model);
  if (!status.ok()) refuse(name_of_texts(training.inputs), training.vocabulary, status.ToString());
  return model;
}
#else
std::string train_tokenizer(const TokenizerTraining&, AllSkipped&) {
  fail("this build has no sentencepiece trainer; install libsentencepiece-dev and configure again");
}
#endif

}  // namespace rowan
