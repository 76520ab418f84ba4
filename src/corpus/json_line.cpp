#include "corpus/json_line.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "base/error.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

constexpr size_t deepest = 1000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Scanner {
 public:
  explicit Scanner(std::string_view line) : line_(line) {
    if (line_.starts_with("\xef\xbb\xbf")) at_ = 3;  // skip a byte order mark
  }

  bool members(std::vector<JsonMember>& members) {
    members.clear();
    space();
    const bool object = peek() == '{';
    if (object) {
      ++at_;
      space();
      if (peek() == '}') {
        ++at_;
      } else {
        do {
          space();
          JsonMember member{key_of(string()), {}};
          colon();
          member.value = value();
          members.push_back(std::move(member));
          space();
        } while (take(','));
        expect('}');
      }
    } else {
      value();
    }
    space();
    if (at_ < line_.size()) wrong("found text after the value");
    return object;
  }

 private:
  std::string_view line_;
  size_t at_ = 0;
  std::string open_;  // open brackets of the value being read

  [[noreturn]] void wrong(const char* what) const { fail("byte {}: {}", at_ + 1, what); }

  char peek() const { return at_ < line_.size() ? line_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (take(c)) return;
    if (at_ >= line_.size()) wrong("the line ends inside a value");
    fail("byte {}: expected '{}'", at_ + 1, c);
  }
  void space() {
    while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t' || line_[at_] == '\r' || line_[at_] == '\n'))
      ++at_;
  }
  void colon() {
    space();
    expect(':');
  }

  static std::string key_of(std::string_view written) {
    try {
      return json_string(written);
    } catch (const Error&) {  // an invalid key cannot match a requested field
      return std::string(written);
    }
  }

  // Reads a string, including its quotes.
  std::string_view string() {
    const size_t begin = at_;
    expect('"');
    while (peek() != '"') {
      if (at_ >= line_.size()) wrong("the line ends inside a string");
      if (static_cast<unsigned char>(line_[at_]) < ' ') wrong("found a control character in a string");
      if (line_[at_++] == '\\') escape();
    }
    ++at_;
    return line_.substr(begin, at_ - begin);
  }

  void escape() {
    const char c = peek();
    if (c == '\0' || std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos)
      wrong("found an unknown escape");
    ++at_;
    for (int i = 0; c == 'u' && i < 4; ++i, ++at_)
      if (!std::isxdigit(static_cast<unsigned char>(peek()))) wrong("found an unknown escape");
  }

  void number() {
    take('-');
    if (word("Infinity")) return;
    if (!is_digit(peek())) wrong("expected a value");
    if (!take('0')) digits();
    if (take('.')) digits();
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      digits();
    }
  }
  void digits() {
    if (!is_digit(peek())) wrong("expected a digit");
    while (is_digit(peek())) ++at_;
  }
  bool word(std::string_view wanted) {
    if (line_.substr(at_, wanted.size()) != wanted) return false;
    at_ += wanted.size();
    return true;
  }

  // Reads a value of any kind, including objects and arrays.
  std::string_view value() {
    space();
    const size_t begin = at_;
    do {
      begin_value();
      end_values();
    } while (!open_.empty());
    return line_.substr(begin, at_ - begin);
  }

  // Enters nested objects and arrays. Stops after the first scalar, or before the closing bracket of an empty object or
  // array.
  void begin_value() {
    for (;;) {
      space();
      const char c = peek();
      if (c == '{' || c == '[') {
        if (open_.size() == deepest) wrong("found brackets nested too deeply");
        open_ += c;
        ++at_;
        space();
        if (peek() == '}' || peek() == ']') return;
        if (c == '{') string(), colon();
        continue;
      }
      if (c == '"')
        string();
      else if (!word("true") && !word("false") && !word("null") && !word("NaN"))
        number();
      return;
    }
  }

  // Closes the objects and arrays that end here. If another value follows, stops before it.
  void end_values() {
    while (!open_.empty()) {
      space();
      const bool object = open_.back() == '{';
      if (take(',')) {
        space();
        if (object) string(), colon();
        return;
      }
      expect(object ? '}' : ']');
      open_.pop_back();
    }
  }
};

uint32_t hex4(std::string_view digits) {
  uint32_t code = 0;
  for (char c : digits) {
    const int value = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    code = code << 4 | static_cast<uint32_t>(value);
  }
  return code;
}

}  // namespace

bool read_members(std::string_view line, std::vector<JsonMember>& members) { return Scanner(line).members(members); }

std::string json_string(std::string_view written) {
  const std::string_view text = written.substr(1, written.size() - 2);
  std::string said;
  said.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t escape = std::min(text.find('\\', at), text.size());
    said.append(text, at, escape - at);
    at = escape + 2;
    if (escape == text.size()) break;
    static constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    if (text[escape + 1] != 'u') {
      said += meanings[names.find(text[escape + 1])];
      continue;
    }
    uint32_t code = hex4(text.substr(at, 4));
    at += 4;
    if (code >= 0xd800 && code < 0xdc00 && text.substr(at, 2) == "\\u") {
      const uint32_t low = hex4(text.substr(at + 2, 4));
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    if (code >= 0xd800 && code < 0xe000) fail("found half a surrogate pair, \\u{:04x}", code);
    append_utf8(said, code);
  }
  refuse_invalid_utf8(said);
  return said;
}

}  // namespace rowan
