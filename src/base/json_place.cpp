#include "base/json_place.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>
#include <string_view>

#include "base/json.h"

namespace rowan {
namespace {

// The size of the byte order mark that the parser skips; 0 if there is none.
size_t mark_of(const std::string& text) { return text.starts_with("\xef\xbb\xbf") ? 3 : 0; }

int line_at(const std::string& text, size_t byte) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + std::min(byte, text.size()), '\n'));
}

// Scans a JSON text up to the value at a given path or to the first repeated key. The text must be well-formed up to
// there.
class Locator {
 public:
  explicit Locator(const std::string& text) : text_(text), i_(mark_of(text)) {}

  size_t find(const std::string& path) {
    value("", path);
    return found_;
  }
  // Finds the first repeated key, because no value has an empty path.
  size_t find_repeated_key() { return find(""); }

 private:
  void space() {
    while (i_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[i_]))) ++i_;
  }

  // Moves past the string that begins at i_, and returns it with its quotes.
  std::string_view quoted() {
    const size_t begin = i_;
    for (++i_; i_ < text_.size() && text_[i_] != '"'; ++i_)
      if (text_[i_] == '\\') ++i_;
    ++i_;
    return std::string_view(text_).substr(begin, i_ - begin);
  }

  void value(const std::string& here, const std::string& wanted) {
    space();
    if (found_ != std::string::npos || i_ >= text_.size()) return;
    if (here == wanted && !here.empty()) {
      found_ = i_;
      return;
    }
    if (text_[i_] == '{' || text_[i_] == '[') {
      const bool object = text_[i_++] == '{';
      std::set<std::string> keys;
      for (int index = 0;; ++index) {
        space();
        if (i_ >= text_.size() || text_[i_] == '}' || text_[i_] == ']') break;
        std::string key = std::to_string(index);
        if (object) {
          const size_t at = i_;
          key = Json::parse(quoted()).get<std::string>();
          if (!keys.insert(key).second) {
            found_ = at;
            return;
          }
          space();
          ++i_;  // ':'
        }
        value(here.empty() ? key : here + "." + key, wanted);
        if (found_ != std::string::npos) return;
        space();
        if (i_ < text_.size() && text_[i_] == ',') ++i_;
      }
      ++i_;
    } else if (text_[i_] == '"') {
      quoted();
    } else {
      while (i_ < text_.size() && !strchr(",]} \n\r\t", text_[i_])) ++i_;
    }
  }

  const std::string& text_;
  size_t i_;
  size_t found_ = std::string::npos;
};

}  // namespace

std::string place_in(const JsonSource& source, size_t byte) {
  byte = std::min(byte, source.text.size());
  const size_t newline = source.text.rfind('\n', byte ? byte - 1 : 0);
  const size_t begin = byte == 0 || newline == std::string::npos ? std::min(byte, mark_of(source.text)) : newline + 1;
  return fmt::format("{}:{}:{}", source.name, line_at(source.text, byte), byte - begin + 1);
}

int line_of(const std::string& text, const std::string& path) {
  const size_t byte = Locator(text).find(path);
  return byte == std::string::npos ? 0 : line_at(text, byte);
}

size_t repeated_key(const std::string& text) { return Locator(text).find_repeated_key(); }

}  // namespace rowan
