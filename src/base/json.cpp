#include "base/json.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/names.h"

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace rowan {
namespace {

int line_at(const std::string& text, size_t byte) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + std::min(byte, text.size()), '\n'));
}

// "NAME:LINE:COLUMN"; columns count bytes from 1.
std::string place_of(const JsonSource& source, size_t byte) {
  byte = std::min(byte, source.text.size());
  const size_t newline = source.text.rfind('\n', byte ? byte - 1 : 0);
  const size_t begin = byte == 0 || newline == std::string::npos ? 0 : newline + 1;
  return fmt::format("{}:{}:{}", source.name, line_at(source.text, byte), byte - begin + 1);
}

// Walks a well-formed JSON text only as far as needed to find where a path's value begins.
class Locator {
 public:
  explicit Locator(const std::string& text) : text_(text) {}

  size_t find(const std::string& path) {
    value("", path);
    return found_;
  }
  // Where a key stands for the second time in an object.
  size_t find_repeated_key() { return find(""); }

 private:
  void space() {
    while (i_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[i_]))) ++i_;
  }

  std::string quoted() {
    std::string result;
    for (++i_; i_ < text_.size() && text_[i_] != '"'; ++i_) {
      if (text_[i_] == '\\') ++i_;
      if (i_ < text_.size()) result += text_[i_];
    }
    ++i_;
    return result;
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
          key = quoted();
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
  size_t i_ = 0;
  size_t found_ = std::string::npos;
};

// A message is one line, whatever the text that it speaks of holds.
[[noreturn]] void refuse(std::string message) {
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  throw Error(message);
}

constexpr int deepest = 64;  // nesting that is read

const char* type_name(const Json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "a boolean";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return "null";
}

}  // namespace

int line_of(const std::string& text, const std::string& path) {
  size_t byte = Locator(text).find(path);
  return byte == std::string::npos ? 0 : line_at(text, byte);
}

Json parse_json(const JsonSource& source) {
  std::vector<std::set<std::string>> open;
  auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > deepest) fail("{}: not readable: nested more than {} deep", source.name, deepest);
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
      refuse(fmt::format("{}: the key '{}' stands twice in one object",
                         place_of(source, Locator(source.text).find_repeated_key()), parsed.get<std::string>()));
    return true;
  };
  try {
    return Json::parse(source.text, watch);
  } catch (const Json::parse_error& error) {
    std::string reason = error.what();
    if (size_t at = reason.find("syntax error"); at != std::string::npos) reason = reason.substr(at);
    refuse(fmt::format("{}: not valid JSON: {}", place_of(source, error.byte ? error.byte - 1 : 0), reason));
  } catch (const Json::out_of_range& error) {
    // "... number overflow parsing '1e999'"
    std::string number = error.what();
    number = number.substr(number.find('\'') + 1);
    number = number.substr(0, number.find('\''));
    fail("{}: not valid JSON: the number {} is too large", place_of(source, source.text.find(number)), number);
  }
}

namespace {

// Where the value at a path was written.
std::string origin_of(const JsonSource& source, const std::string& path) {
  for (const std::string& set : source.overridden) {
    if (path == set) return "--set " + path;
    if (path.starts_with(set + ".")) return fmt::format("--set {}: {}", set, path);
  }
  const int line = line_of(source.text, path);
  return line ? fmt::format("{}:{}: {}", source.name, line, path) : fmt::format("{}: {}", source.name, path);
}

}  // namespace

JsonObject::JsonObject(std::shared_ptr<const JsonSource> source, const Json& value, std::string path)
    : source_(std::move(source)), value_(&value), path_(std::move(path)) {
  if (!value.is_object())
    refuse(fmt::format("{}: found {}, expected an object",
                       path_.empty() ? source_->name + ": top level" : origin_of(*source_, path_), type_name(value)));
}

std::string JsonObject::where(const std::string& key) const {
  return origin_of(*source_, path_.empty() ? key : path_ + "." + key);
}

void JsonObject::fail(const std::string& key, const std::string& message) const { refuse(where(key) + ": " + message); }

const Json* JsonObject::find(const std::string& key, bool required) {
  known_.insert(key);
  auto it = value_->find(key);
  if (it != value_->end()) return &*it;
  if (required) {
    // A misspelt key is the likelier mistake: name it rather than what is missing.
    for (const auto& [present, unused] : value_->items())
      if (!known_.count(present) && nearest(present, {key}) == key && !did_you_mean(present, {key}).empty())
        fail(present, fmt::format("unknown key '{}'{}", present, did_you_mean(present, {key})));
    fail(key, "is missing");
  }
  return nullptr;
}

std::string JsonObject::string(const std::string& key, std::optional<std::string> fallback) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (!value->is_string()) fail(key, fmt::format("found {} ({}), expected a string", type_name(*value), value->dump()));
  return value->get<std::string>();
}

bool JsonObject::boolean(const std::string& key, std::optional<bool> fallback) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (!value->is_boolean())
    fail(key, fmt::format("found {} ({}), expected true or false", type_name(*value), value->dump()));
  return value->get<bool>();
}

int64_t JsonObject::integer(const std::string& key, std::optional<int64_t> fallback, int64_t min, int64_t max) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (!value->is_number_integer() || (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX))
    fail(key, fmt::format("found {} ({}), expected an integer", type_name(*value), value->dump()));
  int64_t result = value->get<int64_t>();
  if (result < min) fail(key, fmt::format("found {}, at least {} is allowed", result, min));
  if (result > max) fail(key, fmt::format("found {}, at most {} is allowed", result, max));
  return result;
}

double JsonObject::number(const std::string& key, std::optional<double> fallback, double min, double max) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (!value->is_number()) fail(key, fmt::format("found {} ({}), expected a number", type_name(*value), value->dump()));
  double result = value->get<double>();
  if (!std::isfinite(result)) fail(key, fmt::format("found {}, expected a finite number", value->dump()));
  if (result < min) fail(key, fmt::format("found {}, at least {} is allowed", result, min));
  if (result > max) fail(key, fmt::format("found {}, at most {} is allowed", result, max));
  return result;
}

std::string JsonObject::choice(const std::string& key, const std::vector<std::string>& allowed,
                               std::optional<std::string> fallback) {
  std::string result = string(key, std::move(fallback));
  if (std::find(allowed.begin(), allowed.end(), result) == allowed.end())
    fail(key, fmt::format("found '{}', allowed: {}{}", result, join(allowed), did_you_mean(result, allowed)));
  return result;
}

std::vector<double> JsonObject::numbers(const std::string& key, std::optional<std::vector<double>> fallback) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (!value->is_array())
    fail(key, fmt::format("found {} ({}), expected a list of numbers", type_name(*value), value->dump()));
  std::vector<double> result;
  for (const Json& item : *value) {
    if (!item.is_number()) fail(key, fmt::format("found {} in the list, expected numbers", item.dump()));
    result.push_back(item.get<double>());
  }
  return result;
}

JsonObject JsonObject::object(const std::string& key, bool required) {
  static const Json nothing = Json::object();
  const Json* value = find(key, required);
  return JsonObject(source_, value ? *value : nothing, path_.empty() ? key : path_ + "." + key);
}

std::vector<std::string> JsonObject::strings(const std::string& key, std::optional<std::vector<std::string>> fallback) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array())
    fail(key, fmt::format("found {} ({}), expected a string or a list of them", type_name(*value), value->dump()));
  std::vector<std::string> result;
  for (const Json& item : *value) {
    if (!item.is_string()) fail(key, fmt::format("found {} in the list, expected strings", item.dump()));
    result.push_back(item.get<std::string>());
  }
  return result;
}

std::vector<JsonObject> JsonObject::objects(const std::string& key) {
  const Json* value = find(key, true);
  if (!value->is_array())
    fail(key, fmt::format("found {} ({}), expected a list of objects", type_name(*value), value->dump()));
  std::vector<JsonObject> result;
  for (size_t i = 0; i < value->size(); ++i)
    result.emplace_back(source_, (*value)[i], fmt::format("{}.{}", path_.empty() ? key : path_ + "." + key, i));
  return result;
}

const Json& JsonObject::raw(const std::string& key) { return *find(key, true); }

std::vector<std::string> JsonObject::keys() const {
  std::vector<std::string> result;
  for (const auto& [key, unused] : value_->items()) result.push_back(key);
  return result;
}

bool JsonObject::has(const std::string& key) const {
  optional_.insert(key);
  return value_->contains(key);
}

void JsonObject::finish() const {
  std::set<std::string> all = known_;
  all.insert(optional_.begin(), optional_.end());
  const std::vector<std::string> allowed(all.begin(), all.end());
  for (const auto& [key, unused] : value_->items())
    if (!known_.count(key))
      fail(key, fmt::format("unknown key '{}'{} (allowed: {})", key, did_you_mean(key, allowed), join(allowed)));
}

std::string apply_override(Json& root, const std::string& assignment) {
  const Json given = assignment;
  const std::string shown = given.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (shown != given.dump(-1, ' ', false, Json::error_handler_t::ignore)) fail("--set {}: not valid UTF-8", shown);
  size_t equals = assignment.find('=');
  if (equals == std::string::npos)
    refuse(fmt::format("--set {}: expected path=value, as in optimizer.lr=3e-3", assignment));
  Json* place = &root;
  std::string path = assignment.substr(0, equals), value = assignment.substr(equals + 1);
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = std::min(path.find('.', begin), path.size());
    std::string key = path.substr(begin, end - begin);
    if (key.empty()) refuse(fmt::format("--set {}: expected path=value, as in optimizer.lr=3e-3", assignment));
    if (place->is_null()) *place = Json::object();
    if (!place->is_object())
      refuse(fmt::format("--set {}: '{}' is not an object", assignment, path.substr(0, begin ? begin - 1 : 0)));
    place = &(*place)[key];
    begin = end + 1;
  }
  auto watch = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > deepest) refuse(fmt::format("--set {}: nested more than {} deep", path, deepest));
    return true;
  };
  Json parsed = Json::parse(value, watch, false);
  *place = parsed.is_discarded() ? Json(value) : parsed;
  return path;
}

}  // namespace rowan
