#include "corpus/tokenize_batch.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace rowan {
namespace {

// Takes the text out of a JSON line, or says why there is none.
bool extract_text(std::string_view line, const std::string& field, std::string& text, SkippedRecord& skipped) {
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception& error) {  // a syntax error, or a number that no double holds
    std::string_view what = error.what();
    bool unicode = what.find("surrogate") != std::string_view::npos || what.find("UTF-8") != std::string_view::npos;
    skipped.reason = unicode ? "not Unicode" : "not JSON";
    skipped.detail = what.substr(std::min(what.find("] ") + 2, what.size()));
    return false;
  }
  auto found = object.is_object() ? object.find(field) : object.end();
  if (found == object.end() || !found->is_string()) {
    skipped.reason = fmt::format("no string field '{}'", field);
    return false;
  }
  text = std::move(found->get_ref<std::string&>());
  return true;
}

}  // namespace

TokenizedBatch tokenize_batch(const RawBatch& raw, const std::string& field, bool lines, const Tokenizer& tokenizer,
                              shard::EndPlace end) {
  TokenizedBatch batch;
  batch.ids.reserve(raw.bytes.size() / 3);
  std::string extracted;
  for (size_t i = 0; i < raw.ends.size(); ++i) {
    SkippedRecord skipped{raw.first_record + i, "", ""};
    std::string_view text = raw.record(i);
    if (raw.json || lines) {
      if (text.ends_with('\n')) text.remove_suffix(1);
      if (text.ends_with('\r')) text.remove_suffix(1);
      if (text.find_first_not_of(" \t") == std::string_view::npos) skipped.reason = "blank line";
    }
    if (raw.json && skipped.reason.empty() && extract_text(text, field, extracted, skipped)) text = extracted;
    if (skipped.reason.empty() && text.empty()) skipped.reason = "no text";
    size_t begin = batch.ids.size();
    if (skipped.reason.empty()) {
      if (end == shard::EndPlace::before) batch.ids.push_back(tokenizer.end_id());
      try {
        tokenizer.encode(text, batch.ids);
      } catch (const Error& error) {
        skipped.reason = "refused by the tokenizer";
        skipped.detail = error.what();
        batch.ids.resize(begin);
      }
      // T5 has no tokens for white space alone.
      bool nothing = batch.ids.size() == begin + (end == shard::EndPlace::before);
      if (skipped.reason.empty() && nothing) {
        skipped.reason = "no tokens";
        batch.ids.resize(begin);
      }
    }
    if (!skipped.reason.empty()) {
      batch.skipped.push_back(std::move(skipped));
      continue;
    }
    if (end == shard::EndPlace::after) batch.ids.push_back(tokenizer.end_id());
    batch.documents.push_back({batch.ids.size() - begin, hash64(text)});
    batch.text_bytes += text.size();
  }
  return batch;
}

}  // namespace rowan
