#include "tokenizer/oniguruma.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <vector>

#include "base/error.h"
#include "tokenizer/pattern.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

constexpr int deepest_class = 16;  // classes in classes; bounds the recursion

// Outside of classes, Oniguruma takes \w of the first 256 characters from a table that also has raised digits and
// fractions.
std::string word_members(bool in_class) {
  return word_characters + (in_class ? "" : R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})");
}

std::string literal(uint32_t code) { return fmt::format("\\x{{{:x}}}", code); }

// The general categories of Unicode. Other names that Oniguruma knows are scripts or, unknown here, properties.
bool is_category(std::string_view name) {
  constexpr std::string_view all =
      " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl "
      "Zp C Cc Cf Cn Co ";
  return all.find(fmt::format(" {} ", name)) != std::string_view::npos;
}

// One thing that matches a single character: a character, a part of a class, or an expression of its own.
struct Single {
  std::optional<uint32_t> code;
  std::string members;     // to be put between [ and ]; empty if `expression` is not
  std::string expression;  // a class, or a group of classes
};

class Translator {
 public:
  explicit Translator(std::string_view text) : text_(text) {}

  std::string run() {
    groups_.push_back({});
    while (at_ < text_.size()) part();
    if (groups_.size() > 1) refuse(groups_.back().begin, "a group without an end");
    return std::move(result_);
  }

 private:
  struct Group {
    size_t begin = 0;
    bool looks_around = false, any_case_outside = false;
  };

  std::string_view text_;
  size_t at_ = 0;
  std::string result_;
  std::vector<Group> groups_;
  bool at_group_start_ = true;
  bool repeatable_ = false;  // whether a quantifier may follow
  bool any_case_ = false;    // inside (?i)
  char last_letter_ = 0;     // inside (?i): the last letter, unless other text follows it

  bool starts(std::string_view with) const { return text_.substr(at_).starts_with(with); }
  bool take(std::string_view with) {
    if (!starts(with)) return false;
    at_ += with.size();
    return true;
  }

  [[noreturn]] void refuse(size_t begin, std::string_view what) const {
    fail("pattern '{}': byte {}: found {}, which Rowan does not read", text_, begin + 1, what);
  }
  [[noreturn]] void refuse_text(size_t begin, size_t count) const {
    while (begin + count < text_.size() && (text_[begin + count] & 0xc0) == 0x80) ++count;
    refuse(begin, fmt::format("'{}'", text_.substr(begin, count)));
  }

  void emit(const std::string& expression, bool repeatable) {
    result_ += expression;
    repeatable_ = repeatable;
    at_group_start_ = false;
  }

  void part() {
    const size_t begin = at_;
    if (take("(")) return open_group(begin);
    if (take(")")) return close_group(begin);
    if (take("[")) {
      last_letter_ = 0;
      return emit(class_after_bracket(begin, 1), true);
    }
    if (starts("*") || starts("+") || starts("?")) return quantify(begin, std::string(1, text_[at_++]), true);
    if (starts("{") && interval()) return;
    if (take("|")) {
      last_letter_ = 0;
      return emit("|", false);
    }
    // In Oniguruma, ^ and $ match at every line, and a dot matches all but \n.
    if (take("^")) return emit("(?:\\A|(?<=\\n)(?!\\z))", false);
    if (take("$")) return emit("(?=\\n|\\z)", false);
    if (take(".")) return emit("[^\\n]", true);
    if (take("\\A")) return emit("\\A", false);
    if (take("\\z")) return emit("\\z", false);
    if (take("\\Z")) return emit("(?=\\n?\\z)", false);
    if (take("\\b"))
      return emit(fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", word_members(false)), false);
    if (take("\\B"))
      return emit(fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", word_members(false)), false);
    const Single one = single(begin, false);
    any_case_ ? check_letter(begin, one.code.value_or(0)) : void(last_letter_ = 0);
    emit(one.code ? literal(*one.code) : one.expression.empty() ? "[" + one.members + "]" : one.expression, true);
  }

  // In any case, Oniguruma also matches single characters for two letters, such as the German sharp s for "ss".
  void check_letter(size_t begin, uint32_t code) {
    const char letter = code < 0x80 ? static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code) : '\0';
    const bool joins = (last_letter_ == 's' && (letter == 's' || letter == 't')) ||
                       (last_letter_ == 'f' && (letter == 'f' || letter == 'i' || letter == 'l'));
    if (joins) refuse(begin, fmt::format("'{}{}' in any case", last_letter_, letter));
    last_letter_ = letter;
  }

  void open_group(size_t begin) {
    Group group{begin, false, any_case_};
    if (take("?i)")) {
      // After other text, the two programs do not agree on how far alternatives reach.
      if (!at_group_start_) refuse(begin, "'(?i)' that does not begin a group");
      any_case_ = true;
      result_ += "(?i)";
      return;
    }
    std::string_view kind = "?:";
    if (starts("?")) {
      constexpr std::string_view kinds[] = {"?:", "?>", "?i:", "?=", "?!", "?<=", "?<!"};
      const auto* found = std::find_if(std::begin(kinds), std::end(kinds), [&](auto k) { return starts(k); });
      if (found == std::end(kinds)) refuse_text(begin, 3);
      kind = *found;
      at_ += kind.size();
    }
    group.looks_around = kind.ends_with('=') || kind.ends_with('!');
    any_case_ |= kind == "?i:";
    groups_.push_back(group);
    emit("(" + std::string(kind), false);
    at_group_start_ = true;
  }

  void close_group(size_t begin) {
    if (groups_.size() == 1) refuse(begin, "the end of no group");
    any_case_ = groups_.back().any_case_outside;
    emit(")", !groups_.back().looks_around);
    groups_.pop_back();
  }

  // A further ? makes a quantifier lazy and a further + makes it possessive, except after {}.
  void quantify(size_t begin, const std::string& quantifier, bool possessive) {
    if (!repeatable_)
      refuse(begin, fmt::format("'{}' after nothing that it could repeat", text_.substr(begin, at_ - begin)));
    const bool one_number = !possessive && quantifier.find(',') == std::string::npos;
    const bool marked = starts("?") ? !one_number : possessive && starts("+");
    emit(quantifier + (marked ? std::string(1, text_[at_++]) : ""), false);
  }

  // Reads {2}, {2,}, {,2} or {1,2}. Other braces are ordinary characters.
  bool interval() {
    const size_t begin = at_, end = text_.find('}', at_);
    if (end == std::string_view::npos) return false;
    const std::string_view inside = text_.substr(begin + 1, end - begin - 1);
    const size_t comma = std::min(inside.find(','), inside.size());
    auto is_number = [](std::string_view part) {
      return std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    if (inside.empty() || inside == "," || !is_number(inside.substr(0, comma)) ||
        (comma < inside.size() && !is_number(inside.substr(comma + 1))))
      return false;
    if (last_letter_ == 's' || last_letter_ == 'f') refuse_text(begin, end + 1 - begin);
    at_ = end + 1;
    quantify(begin, fmt::format("{{{}{}}}", comma == 0 ? "0" : "", inside), false);
    return true;
  }

  // A character, or an escape that stands for one character or a set of them.
  Single single(size_t begin, bool in_class) {
    if (!take("\\")) {
      Single one;
      uint32_t code;
      if (!read_utf8(text_, at_, code, at_)) refuse(begin, "bytes that are not UTF-8");
      one.code = code;
      return checked(begin, one);
    }
    if (at_ == text_.size()) refuse_text(begin, 1);
    const char kind = text_[at_++];
    constexpr std::string_view letters = "nrtfvae";
    constexpr uint32_t codes[] = {0xa, 0xd, 0x9, 0xc, 0xb, 0x7, 0x1b};
    if (const size_t found = letters.find(kind); found != std::string_view::npos) return {codes[found], "", ""};
    switch (kind) {
      case 's':
        return {{}, white_space, ""};
      case 'S':
        return {{}, "", "[^" + white_space + "]"};
      case 'd':
        return {{}, "\\p{Nd}", ""};
      case 'D':
        return {{}, "\\P{Nd}", ""};
      case 'w':
        return checked(begin, {{}, word_members(in_class), ""});
      case 'W':
        return checked(begin, {{}, "", "[^" + word_members(in_class) + "]"});
      case 'h':
        return {{}, "0-9A-Fa-f", ""};
      case 'H':
        return {{}, "", "[^0-9A-Fa-f]"};
      case 'p':
      case 'P':
        return property(begin, kind == 'P');
      case 'x':
      case 'u':
        return checked(begin, {number(begin, kind == 'u' ? 4 : 2, kind == 'x'), "", ""});
      default:
        if (static_cast<unsigned char>(kind) >= 0x80 || std::isalnum(static_cast<unsigned char>(kind)))
          refuse_text(begin, 2);
        return {static_cast<uint32_t>(kind), "", ""};
    }
  }

  // In any case, Oniguruma adds to a set the expansions of its characters. Only sets without any are allowed there.
  Single checked(size_t begin, const Single& one) const {
    if (any_case_ && (!one.code || *one.code >= 0x80))
      refuse(begin, fmt::format("'{}' in any case", text_.substr(begin, at_ - begin)));
    return one;
  }

  uint32_t number(size_t begin, size_t digits, bool braces) {
    const bool braced = braces && take("{");
    const size_t end = braced ? text_.find('}', at_) : at_ + digits;
    uint32_t code = 0;
    if (end <= text_.size()) {
      const auto parsed = std::from_chars(text_.data() + at_, text_.data() + end, code, 16);
      if (parsed.ec == std::errc() && parsed.ptr == text_.data() + end && (digits == 4 || braced || code < 0x80)) {
        at_ = end + braced;
        return code;
      }
    }
    refuse_text(begin, 2);
  }

  Single property(size_t begin, bool negated) {
    const size_t end = text_.find('}', at_);
    if (!take("{") || end == std::string_view::npos) refuse_text(begin, 2);
    if (take("^")) negated = !negated;
    const std::string name(text_.substr(at_, end - at_));
    at_ = end + 1;
    // A bare name of a script would also match characters that several scripts share.
    const std::string members = fmt::format("\\{}{{{}{}}}", negated ? 'P' : 'p', is_category(name) ? "" : "sc:", name);
    try {
      Pattern known(members);
    } catch (const Error&) {
      refuse_text(begin, at_ - begin);
    }
    const bool caseless = is_category(name) && (name[0] == 'N' || name[0] == 'P' || name[0] == 'Z');
    return caseless && !negated ? Single{{}, members, ""} : checked(begin, {{}, members, ""});
  }

  // A class after its bracket. Operands of && are joined by lookaheads, and the parts of an operand that no class of
  // PCRE2 can hold become alternatives of it.
  std::string class_after_bracket(size_t begin, int depth) {
    if (depth > deepest_class) refuse(begin, fmt::format("more than {} classes in each other", deepest_class));
    const bool negated = take("^");
    if (starts("]")) refuse(begin, "an empty class");
    std::string before;  // the operands before the present one
    std::string members;
    std::vector<std::string> others;
    bool at_start = true;
    auto operand = [&](size_t end) {
      if (!members.empty()) others.push_back("[" + members + "]");
      if (others.empty()) refuse(end, "an empty side of '&&'");
      std::string all = others[0];
      for (size_t i = 1; i < others.size(); ++i) all += "|" + others[i];
      const bool alone = others.size() == 1;
      members.clear(), others.clear();
      return alone ? all : "(?:" + all + ")";
    };
    while (!starts("]")) {
      const size_t item = at_;
      if (at_ == text_.size()) refuse(begin, "a class without an end");
      if (starts("[:") || (any_case_ && (starts("[") || starts("&&")))) refuse_text(item, 2);
      if (take("[")) {
        others.push_back(class_after_bracket(item, depth + 1));
      } else if (take("&&")) {
        before += "(?=" + operand(item) + ")";
      } else if (starts("-") && !at_start && !starts("-]")) {
        refuse(item, "'-' after a range or a set");
      } else {
        class_item(item, members, others);
      }
      at_start = false;
    }
    if (before.empty() && others.empty()) {
      ++at_;
      return (negated ? "[^" : "[") + members + "]";
    }
    const std::string last = operand(at_++);
    const std::string all = before.empty() ? last : "(?:" + before + last + ")";
    return negated ? "(?:(?!" + all + ")(?s:.))" : all;
  }

  void class_item(size_t begin, std::string& members, std::vector<std::string>& others) {
    const Single first = single(begin, true);
    if (!first.code) {
      if (starts("-") && !starts("-]")) refuse(at_, "'-' after a set");
      if (!first.expression.empty()) others.push_back(first.expression);
      members += first.members;
      return;
    }
    members += literal(*first.code);
    if (!starts("-") || starts("-]")) return;
    ++at_;
    const size_t end = at_;
    if (starts("[") || starts("&&") || end == text_.size()) refuse(begin, "a range without an end");
    const Single last = single(end, true);
    if (!last.code) refuse(begin, "a range that ends with a set");
    if (*last.code < *first.code) refuse(begin, "a range that ends before it begins");
    members += "-" + literal(*last.code);
  }
};

}  // namespace

std::string from_oniguruma(std::string_view expression) { return Translator(expression).run(); }

}  // namespace rowan
