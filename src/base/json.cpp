#include "base/json.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json_place.h"
#include "base/names.h"

template class nlohmann::basic_json<rowan::IndexedMap>;

namespace rowan {
namespace {

// Throws Error. The message may quote text from a file. Therefore the middle of a long message is left out, and control
// characters are replaced.
[[noreturn]] void refuse(std::string message) {
  constexpr size_t half = 500;
  if (message.size() > 2 * half) {
    const std::string head = message.substr(0, half), tail = message.substr(message.size() - half);
    message = head.substr(0, head.rfind(' ')) + " ... " + tail.substr(tail.find(' ') + 1);
  }
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  throw Error(message);
}

// The limit on the levels of nesting below the top level, which bounds recursion over a value.
constexpr size_t deepest = 64;

const char* type_name(const Json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "a boolean";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return "null";
}

// Whether the value is an integer above INT64_MAX or a floating-point number of magnitude 2^63 or more. The parser
// reads integers that fit neither int64_t nor uint64_t as floating point.
bool is_beyond_64_bits(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() > INT64_MAX;
  return value.is_number_float() && std::abs(value.get<double>()) >= 0x1p63;
}

// Builds a Json from the events of nlohmann's parser. Unlike nlohmann's own builder, it rejects duplicate keys and
// enforces the limits `deepest` and `most_values`.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const JsonSource& source, size_t most_values) : source_(source), most_values_(most_values) {}

  Json result;

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(int64_t value) override { return put(value); }
  bool number_unsigned(uint64_t value) override { return put(value); }
  bool number_float(double value, const std::string&) override { return put(value); }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(Json::binary_t&) override { return false; }  // binary values do not occur in text
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& key) override {
    Json& object = *open_.back();
    if (object.contains(key))
      refuse(fmt::format("{}: the key '{}' appears twice in one object", place_in(source_, repeated_key(source_.text)),
                         key));
    next_ = &object[key];
    return true;
  }

  bool parse_error(size_t position, const std::string& token, const nlohmann::detail::exception& error) override {
    if (error.id == number_overflow)  // `position` is the end of the number
      refuse(fmt::format("{}: not valid JSON: the number {} is too large",
                         place_in(source_, position - std::min(position, token.size())), token));
    const std::string place = place_in(source_, position ? position - 1 : 0);
    std::string reason = error.what();
    if (const size_t at = reason.find("syntax error"); at != std::string::npos) reason = reason.substr(at);
    refuse(fmt::format("{}: not valid JSON: {}", place, reason));
  }

 private:
  static constexpr int number_overflow = 406;  // nlohmann's id for a number that overflows

  const JsonSource& source_;
  size_t most_values_;
  size_t values_ = 0;
  std::vector<Json*> open_;  // open objects and lists, outermost first
  Json* next_ = nullptr;     // place for the value of the key read last

  Json& place(Json&& value) {
    if (++values_ > most_values_) fail("{}: found more values than the limit of {}", source_.name, most_values_);
    if (open_.empty()) return result = std::move(value);
    if (open_.back()->is_object()) return *next_ = std::move(value);
    open_.back()->push_back(std::move(value));
    return open_.back()->back();
  }

  bool put(Json&& value) {
    place(std::move(value));
    return true;
  }

  bool open(Json&& value) {
    if (open_.size() > deepest) fail("{}: found nesting deeper than the limit of {} levels", source_.name, deepest);
    open_.push_back(&place(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }
};

}  // namespace

Json parse_json(const JsonSource& source, size_t most_values) {
  // nlohmann's parser would treat a zero byte as the end of the text.
  if (const size_t zero = source.text.find('\0'); zero != std::string::npos)
    fail("{}: not valid JSON: found a zero byte", place_in(source, zero));
  Builder builder(source, most_values);
  Json::sax_parse(source.text, &builder);
  return std::move(builder.result);
}

Json try_parse_json(std::string_view text, size_t most_values) {
  try {
    return parse_json({"", std::string(text)}, most_values);
  } catch (const Error&) {
    return Json(Json::value_t::discarded);
  }
}

namespace {

// Formats the origin of a value and the value's path. The origin is the last edit that set the value, or that made the
// object which is the value. If there is no such edit, the origin is the file, followed by the line if it is known.
std::string origin_of(const JsonSource& source, const std::string& path) {
  for (auto edit = source.edited.rbegin(); edit != source.edited.rend(); ++edit) {
    if (path == edit->path && edit->origin.ends_with(path)) return edit->origin;
    if (path == edit->path || path.starts_with(edit->path + ".")) return fmt::format("{}: {}", edit->origin, path);
  }
  const int line = line_of(source.text, path);
  for (auto edit = source.edited.rbegin(); !line && edit != source.edited.rend(); ++edit)
    if (edit->path.starts_with(path + ".")) return fmt::format("{}: {}", edit->origin, path);
  return line ? fmt::format("{}:{}: {}", source.name, line, path) : fmt::format("{}: {}", source.name, path);
}

// The depth of nesting: 0 for a value that is neither an object nor a list.
size_t depth_of(const Json& value) {
  size_t deepest_part = 0;
  if (value.is_structured())
    for (const Json& part : value) deepest_part = std::max(deepest_part, depth_of(part));
  return deepest_part + value.is_structured();
}

}  // namespace

JsonObject::JsonObject(std::shared_ptr<const JsonSource> source, const Json& value, std::string path)
    : source_(std::move(source)), value_(&value), path_(std::move(path)) {
  if (!value.is_object())
    refuse(fmt::format("{}: found {}, expected an object",
                       path_.empty() ? source_->name + ": top level" : origin_of(*source_, path_), type_name(value)));
}

bool JsonObject::is_unchanged_run() const {
  return source_->of_run && std::none_of(source_->edited.begin(), source_->edited.end(),
                                         [&](const auto& edit) { return edit.path.starts_with(path_); });
}

std::string JsonObject::where(const std::string& key) const {
  return origin_of(*source_, path_.empty() ? key : path_ + "." + key);
}

void JsonObject::fail(const std::string& key, const std::string& message) const { refuse(where(key) + ": " + message); }

const Json* JsonObject::present(const std::string& key) const {
  const auto it = value_->find(key);
  return it == value_->end() || (ignores_nulls_ && it->is_null()) ? nullptr : &*it;
}

const Json* JsonObject::find(const std::string& key, bool required) {
  known_.insert(key);
  if (const Json* value = present(key)) return value;
  if (required) {
    // A misspelled key is more likely than a missing one, so a similar unknown key is reported instead.
    for (const std::string& other : keys())
      if (!known_.count(other) && nearest(other, {key}) == key && !did_you_mean(other, {key}).empty())
        fail(other, fmt::format("unknown key '{}'{}", other, did_you_mean(other, {key})));
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
  if (is_beyond_64_bits(*value)) {
    const bool below = value->get<double>() < 0;
    fail(key, fmt::format("found {}, expected at {} {}", value->dump(), below ? "least" : "most", below ? min : max));
  }
  if (!value->is_number_integer())
    fail(key, fmt::format("found {} ({}), expected an integer", type_name(*value), value->dump()));
  int64_t result = value->get<int64_t>();
  if (result < min) fail(key, fmt::format("found {}, expected at least {}", result, min));
  if (result > max) fail(key, fmt::format("found {}, expected at most {}", result, max));
  return result;
}

double JsonObject::number(const std::string& key, std::optional<double> fallback, double min, double max) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (!value->is_number()) fail(key, fmt::format("found {} ({}), expected a number", type_name(*value), value->dump()));
  double result = value->get<double>();
  if (!std::isfinite(result)) fail(key, fmt::format("found {}, expected a finite number", value->dump()));
  if (result < min) fail(key, fmt::format("found {}, expected at least {}", result, min));
  if (result > max) fail(key, fmt::format("found {}, expected at most {}", result, max));
  return result;
}

std::string JsonObject::choice(const std::string& key, const std::vector<std::string>& allowed,
                               std::optional<std::string> fallback) {
  const std::string result(current_spelling(string(key, std::move(fallback))));
  if (std::find(allowed.begin(), allowed.end(), result) == allowed.end())
    fail(key, fmt::format("found '{}', expected one of {}{}", result, join(allowed), did_you_mean(result, allowed)));
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
  JsonObject result(source_, value ? *value : nothing, path_.empty() ? key : path_ + "." + key);
  result.ignores_nulls_ = ignores_nulls_;
  return result;
}

std::vector<std::string> JsonObject::strings(const std::string& key, std::optional<std::vector<std::string>> fallback) {
  const Json* value = find(key, !fallback);
  if (!value) return *fallback;
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array())
    fail(key, fmt::format("found {} ({}), expected a string or a list of strings", type_name(*value), value->dump()));
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
  for (size_t i = 0; i < value->size(); ++i) {
    result.emplace_back(source_, (*value)[i], fmt::format("{}.{}", path_.empty() ? key : path_ + "." + key, i));
    result.back().ignores_nulls_ = ignores_nulls_;
  }
  return result;
}

const Json& JsonObject::raw(const std::string& key) { return *find(key, true); }

std::vector<std::string> JsonObject::keys() const {
  std::vector<std::string> result;
  for (const auto& [key, value] : value_->items())
    if (!ignores_nulls_ || !value.is_null()) result.push_back(key);
  return result;
}

bool JsonObject::has(const std::string& key) const {
  optional_.insert(key);
  return present(key) != nullptr;
}

void JsonObject::finish() const {
  std::set<std::string> all = known_;
  all.insert(optional_.begin(), optional_.end());
  const std::vector<std::string> allowed(all.begin(), all.end());
  for (const std::string& key : keys())
    if (!known_.count(key))
      fail(key, fmt::format("unknown key '{}'{} (allowed: {})", key, did_you_mean(key, allowed), join(allowed)));
}

Edit::Edit(const std::string& assignment) {
  const Json given = assignment;
  const std::string shown = given.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (shown != given.dump(-1, ' ', false, Json::error_handler_t::ignore)) fail("--set {}: not valid UTF-8", shown);
  const size_t equals = assignment.find('=');
  path = assignment.substr(0, equals);
  if (equals == std::string::npos || ("." + path + ".").find("..") != std::string::npos)
    refuse(fmt::format("--set {}: expected path=value, as in optimizer.lr=3e-3", assignment));
  origin = "--set " + path;
  const std::string text = assignment.substr(equals + 1);
  value = Json::accept(text) ? parse_json({origin, text}) : Json(text);
}

void apply_edit(Json& root, const Edit& edit) {
  Json* place = &root;
  size_t parts = 0;
  for (size_t begin = 0; begin <= edit.path.size(); ++parts) {
    const size_t end = std::min(edit.path.find('.', begin), edit.path.size());
    const std::string key = edit.path.substr(begin, end - begin);
    if (key.empty())
      refuse(fmt::format("{}: found '{}', expected a path such as optimizer.lr", edit.origin, edit.path));
    if (parts == deepest)
      refuse(fmt::format("{}: found nesting deeper than the limit of {} levels", edit.origin, deepest));
    if (place->is_null()) *place = Json::object();
    if (!place->is_object())
      refuse(fmt::format("{}: found a value at '{}', expected an object", edit.origin,
                         edit.path.substr(0, begin ? begin - 1 : 0)));
    place = &(*place)[key];
    begin = end + 1;
  }
  if (parts + depth_of(edit.value) > deepest + 1)
    refuse(fmt::format("{}: found nesting deeper than the limit of {} levels", edit.origin, deepest));
  *place = edit.value;
}

}  // namespace rowan
