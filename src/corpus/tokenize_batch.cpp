#include "corpus/tokenize_batch.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "corpus/json_line.h"

namespace rowan {

bool extract_text(std::string_view line, const std::string& field, std::string& text, SkippedRecord& skipped) {
  thread_local std::vector<JsonMember> members;
  skipped.reason = "not JSON";
  try {
    if (!read_members(line, members)) members.clear();
    // If a key appears twice, the last value counts, as in Python's json module.
    const auto found = std::find_if(members.rbegin(), members.rend(), [&](const auto& m) { return m.key == field; });
    if (found == members.rend() || !found->value.starts_with('"')) {
      skipped.reason = fmt::format("no string field '{}'", field);
      return false;
    }
    skipped.reason = "not Unicode";
    text = json_string(found->value);
  } catch (const Error& error) {
    skipped.detail = error.what();
    return false;
  }
  skipped.reason.clear();
  return true;
}

TokenizedBatch tokenize_batch(const RawBatch& raw, const std::string& field, TextSplit split,
                              const Tokenizer& tokenizer, shard::EndPlace end) {
  TokenizedBatch batch;
  batch.ids.reserve(raw.bytes.size() / 3);
  std::string extracted;
  for (size_t i = 0; i < raw.ends.size(); ++i) {
    SkippedRecord skipped{raw.first_record + i, "", ""};
    std::string_view text = raw.record(i);
    if (raw.json || split == TextSplit::line) {
      if (text.ends_with('\n')) text.remove_suffix(1);
      if (text.ends_with('\r')) text.remove_suffix(1);
    }
    if ((raw.json || split != TextSplit::file) && text.find_first_not_of(" \t\r\n") == std::string_view::npos)
      skipped.reason = "blank line";
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
      // T5's tokenizer returns no tokens for text that is only white space.
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
    batch.documents.push_back(
        {batch.ids.size() - begin, hash64(text), raw.first_byte + (i == 0 ? 0 : raw.ends[i - 1])});
    batch.text_bytes += text.size();
  }
  return batch;
}

}  // namespace rowan
