#include "tokenizer/text_rules.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/base64.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/gpt2_split.h"
#include "tokenizer/nfc.h"
#include "tokenizer/oniguruma.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unigram.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

using Pieces = std::vector<std::string>;

// What split() does with the matches of its pattern.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// Replaces every piece by the parts into which divide() splits it. Drops empty parts.
template <typename Divide>
void divide_each(Pieces& pieces, Divide divide) {
  Pieces result;
  for (const std::string& piece : pieces)
    divide(piece, [&](std::string part) {
      if (!part.empty()) result.push_back(std::move(part));
    });
  pieces = std::move(result);
}

Pattern pattern_of(JsonObject& step) {
  JsonObject pattern = step.object("pattern", true);
  const bool expression = pattern.has("Regex");
  const std::string text = pattern.string(expression ? "Regex" : "String");
  pattern.finish();
  if (text.empty()) step.fail("pattern", "is empty");
  try {
    return expression ? Pattern(from_oniguruma(text)) : Pattern::literal(text);
  } catch (const Error& error) {
    step.fail("pattern", error.what());
  }
}

// `at_start` becomes false if the start of the first piece is removed.
void split(Pieces& pieces, bool& at_start, const Pattern& pattern, Behavior behavior, bool invert) {
  divide_each(pieces, [&](const std::string& piece, auto emit) {
    // The matches and the text around them, in order. The flag says whether a part counts as a match.
    std::vector<std::pair<std::string, bool>> parts;
    size_t at = 0;
    for (const auto& [begin, end] : pattern.matches(piece)) {
      if (begin > at) parts.emplace_back(piece.substr(at, begin - at), invert);
      parts.emplace_back(piece.substr(begin, end - begin), !invert);
      at = end;
    }
    if (at < piece.size()) parts.emplace_back(piece.substr(at), invert);
    const bool starts = &piece == &pieces.front() && !parts.empty() && !parts[0].first.empty();
    if (behavior == Behavior::removed && starts && parts[0].second) at_start = false;

    std::string open;  // a part to which the next one may be joined
    bool open_matched = false;
    for (auto& [text, matched] : parts) {
      const bool joins = (behavior == Behavior::contiguous && matched == open_matched) ||
                         (behavior == Behavior::merged_with_previous && matched && !open_matched) ||
                         (behavior == Behavior::merged_with_next && !matched && open_matched);
      if (joins) {
        open += text;
      } else {
        emit(std::move(open));
        open = matched && behavior == Behavior::removed ? "" : text;
      }
      open_matched = matched;
    }
    emit(std::move(open));
  });
}

// The first `original` bytes of the text stem from the first character of the original text. What replaces a match
// stems from the last character of the match, as for Hugging Face's tokenizers.
void replace(std::string& text, size_t& original, const Pattern& pattern, const std::string& content) {
  std::string result;
  size_t at = 0, kept = 0;
  bool goes_on = true;  // whether all of `result` stems from the first character
  auto append = [&](std::string_view part, size_t stems) {
    result += part;
    if (goes_on) kept += stems;
    goes_on &= stems == part.size();
  };
  auto append_text = [&](size_t end) {
    append(std::string_view(text).substr(at, end - at), std::clamp(original, at, end) - at);
  };
  for (const auto& [begin, end] : pattern.matches(text)) {
    append_text(begin);
    append(content, end <= original ? content.size() : 0);
    at = end;
  }
  append_text(text.size());
  text = std::move(result);
  original = kept;
}

size_t first_character(std::string_view text) {
  size_t end = 0;
  uint32_t code;
  if (!text.empty()) read_utf8(text, 0, code, end);
  return end;
}

// Replaces as Hugging Face's tokenizers do. A grapheme cluster (Unicode Standard Annex 29) of few bytes that begins
// with a key is replaced as a whole, even if more of it follows the key. Otherwise each of its characters is.
class ClusterReplacement {
 public:
  explicit ClusterReplacement(Charsmap table) : table_(std::move(table)) {}

  // If `original` is not 0, the first character stays the original's first one, also where that one is removed.
  void operator()(std::string& text, size_t& original) const {
    std::string result;
    // Between two ASCII characters other than \r\n is always a boundary, which saves most searches for clusters.
    auto joined = [&](size_t end) {
      const char before = text[end - 1], after = text[end];
      return ((before | after) & 0x80) != 0 || (before == '\r' && after == '\n');
    };
    for (size_t at = 0, end; at < text.size(); at = end) {
      end = at + 1;
      while (end < text.size() && joined(end)) ++end;
      const std::string_view part = std::string_view(text).substr(at, end - at);
      if (part.size() == 1) {
        replace_cluster(part, result);
        continue;
      }
      for (const auto& [begin, stop] : cluster_.matches(part))
        replace_cluster(part.substr(begin, stop - begin), result);
    }
    text = std::move(result);
    if (original > 0) original = first_character(text);
  }

 private:
  static constexpr size_t longest_cluster = 5;  // in bytes
  Charsmap table_;
  // PCRE2's \X ends a cluster between a regional indicator and a mark that continues it.
  Pattern cluster_{R"([\x{1f1e6}-\x{1f1ff}]{1,2}[\p{M}\x{200c}\x{200d}\x{ff9e}\x{ff9f}\x{1f3fb}-\x{1f3ff}]*|\X)"};

  void replace_cluster(std::string_view cluster, std::string& result) const {
    if (cluster.size() <= longest_cluster)
      if (const auto replacement = table_.shortest(cluster)) {
        result += *replacement;
        return;
      }
    for (size_t at = 0, next; at < cluster.size(); at = next) {
      uint32_t code;
      read_utf8(cluster, at, code, next);
      const std::string_view character = cluster.substr(at, next - at);
      result += table_.shortest(character).value_or(character);
    }
  }
};

const std::string spaces = "[" + white_space + "]+";

}  // namespace

TextRules::TextRules(JsonObject& tokenizer, const char* normalizer, const char* pre_tokenizer) {
  if (tokenizer.has(normalizer)) add_normalizer(tokenizer.object(normalizer));
  if (tokenizer.has(pre_tokenizer)) add_pre_tokenizer(tokenizer.object(pre_tokenizer));
}

std::string TextRules::normalize(std::string_view text, bool* keeps_start) const {
  std::string normal(text);
  size_t original = first_character(text);
  for (const Normalizer& change : normalizers_)
    if (!normal.empty()) change(normal, original);
  if (keeps_start) *keeps_start = original > 0;
  return normal;
}

std::vector<std::string> TextRules::divide(std::string_view normal, bool at_start) const {
  if (normal.empty()) return {};
  Pieces pieces{std::string(normal)};
  for (const Step& step : steps_) step(pieces, at_start);
  return pieces;
}

void TextRules::add_normalizer(JsonObject step) {
  const std::string type = step.choice("type", {"Sequence", "Prepend", "Replace", "Precompiled", "Strip", "NFC"});
  if (type == "Sequence") {
    for (JsonObject& one : step.objects("normalizers")) add_normalizer(one);
  } else if (type == "NFC") {
    normalizers_.push_back([](std::string& text, size_t& original) {
      text = nfc(text);
      if (original > 0) original = first_character(text);
    });
  } else if (type == "Prepend") {
    normalizers_.push_back([prefix = step.string("prepend")](std::string& text, size_t& original) {
      text.insert(0, prefix);
      if (original > 0) original += prefix.size();
    });
    adds_space_ |= step.string("prepend") == word_mark;
  } else if (type == "Replace") {
    normalizers_.push_back([pattern = pattern_of(step), content = step.string("content")](
                               std::string& text, size_t& original) { replace(text, original, pattern, content); });
  } else if (type == "Precompiled") {
    const std::string text = step.string("precompiled_charsmap");
    const auto bytes = decode_base64(text);
    if (!bytes && !text.empty()) step.fail("precompiled_charsmap", "expected base64");
    Charsmap table;
    try {
      table = Charsmap(bytes.value_or(""));
    } catch (const Error& error) {
      step.fail("precompiled_charsmap", error.what());
    }
    normalizers_.push_back(ClusterReplacement(std::move(table)));
  } else {
    const bool left = step.boolean("strip_left"), right = step.boolean("strip_right");
    if (left || right)
      normalizers_.push_back([pattern = Pattern(left && right ? "\\A" + spaces + "|" + spaces + "\\z"
                                                : left        ? "\\A" + spaces
                                                              : spaces + "\\z")](std::string& text, size_t& original) {
        replace(text, original, pattern, "");
      });
  }
  step.finish();
}

void TextRules::add_pre_tokenizer(JsonObject step) {
  const std::string type =
      step.choice("type", {"Sequence", "ByteLevel", "Split", "Metaspace", "WhitespaceSplit", "Whitespace", "Digits"});
  if (byte_level_)
    step.fail("type", fmt::format("found {} after ByteLevel, expected ByteLevel to be the last step", type));
  if (type == "Sequence") {
    for (JsonObject& one : step.objects("pretokenizers")) add_pre_tokenizer(one);
  } else if (type == "ByteLevel") {
    const bool prefix = step.boolean("add_prefix_space", true), divides = step.boolean("use_regex", true);
    step.boolean("trim_offsets", true);
    byte_level_ = true;
    steps_.push_back([prefix, divides, splitter = Gpt2Splitter()](Pieces& pieces, bool&) {
      divide_each(pieces, [&](const std::string& piece, auto emit) {
        const std::string text = prefix && !piece.starts_with(' ') ? " " + piece : piece;
        if (!divides) return emit(text);
        for (size_t at = 0, end; at < text.size(); at = end)
          emit(text.substr(at, (end = splitter.piece_end(text, at)) - at));
      });
    });
  } else if (type == "Split") {
    add_split(step);
  } else if (type == "Metaspace") {
    add_metaspace(step);
  } else if (type == "Digits") {
    const bool each = step.boolean("individual_digits", false);
    steps_.push_back([pattern = Pattern(each ? "\\p{N}" : "\\p{N}+")](Pieces& pieces, bool& at_start) {
      split(pieces, at_start, pattern, Behavior::isolated, false);
    });
  } else {
    const bool words = type == "Whitespace";
    // This step is written for the regular expressions of Rust, where \w has the two join controls.
    const std::string word = word_characters + "\\x{200c}\\x{200d}";
    steps_.push_back(
        [words, pattern = Pattern(words ? fmt::format("[{0}]+|[^{0}{1}]+", word, white_space) : spaces)](
            Pieces& pieces, bool& at_start) { split(pieces, at_start, pattern, Behavior::removed, words); });
  }
  step.finish();
}

void TextRules::add_split(JsonObject& step) {
  static const std::vector<std::string> names = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                                 "Contiguous"};
  const std::string name = step.choice("behavior", names);
  const auto behavior = static_cast<Behavior>(std::find(names.begin(), names.end(), name) - names.begin());
  steps_.push_back([pattern = pattern_of(step), behavior, invert = step.boolean("invert", false)](
                       Pieces& pieces, bool& at_start) { split(pieces, at_start, pattern, behavior, invert); });
}

void TextRules::add_metaspace(JsonObject& step) {
  const std::string mark = step.string("replacement", std::string(word_mark));
  if (step.has("str_rep")) step.string("str_rep");
  const bool old = step.boolean("add_prefix_space", true);
  const std::string scheme = step.choice("prepend_scheme", {"always", "first", "never"}, old ? "always" : "never");
  const bool divides = step.boolean("split", true);
  adds_space_ |= scheme != "never";
  steps_.push_back(
      [mark, scheme, space = Pattern(" "), pattern = Pattern::literal(mark), divides](Pieces& pieces, bool& at_start) {
        for (size_t i = 0; i < pieces.size(); ++i) {
          if (pieces[i].empty()) continue;
          size_t ignored = 0;
          replace(pieces[i], ignored, space, mark);
          if (scheme != "never" && ((at_start && i == 0) || scheme == "always") && !pieces[i].starts_with(mark))
            pieces[i].insert(0, mark);
        }
        if (divides) split(pieces, at_start, pattern, Behavior::merged_with_next, false);
      });
}

}  // namespace rowan
