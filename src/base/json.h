// Strict reading of JSON. JsonObject checks keys and values, and its errors name the file, the path of the field, and
// the line if it is known. apply_edit() applies --set and the settings of a sweep.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/indexed_map.h"
#include "base/json_fwd.h"
#include "base/names.h"

// Instantiated only in json.cpp, to save compile time in files that include this header.
extern template class nlohmann::basic_json<rowan::IndexedMap>;

namespace rowan {

// A JSON text and its origin.
struct JsonSource {
  // A path whose value does not come from the text, and the origin of the value, such as "--set optimizer.lr".
  struct Edited {
    std::string path, origin;
  };
  std::string name;  // file name, for messages
  std::string text;  // the text as read, used to find line numbers
  std::vector<Edited> edited = {};
  bool of_run = false;  // true: the config.json of a run, which contains every default of the version that wrote it
};

// The limit on the number of values in a JSON text, which bounds the memory that a text of a user can take.
constexpr size_t usual_values = size_t{1} << 22;

// Parses source.text. Throws Error "NAME:LINE:COLUMN: ..." if it is not JSON. Comments, trailing commas, duplicate
// keys, numbers too large for a double, more than `most_values` values, and nesting of more than 64 levels below the
// top level are errors too.
Json parse_json(const JsonSource& source, size_t most_values = usual_values);
// Parses text that may be truncated or from another program. If parse_json() would throw, is_discarded() of the result
// is true, and the result is neither an object nor a list.
Json try_parse_json(std::string_view text, size_t most_values = usual_values);

// A view of one JSON object that records which keys were read. finish() throws Error if a key was never read.
class JsonObject {
 public:
  // `path` is "" for the top level. Throws Error if `value` is not an object.
  JsonObject(std::shared_ptr<const JsonSource> source, const Json& value, std::string path = "");

  // Treats keys whose value is null as absent, in this object and in the objects that object() and objects() return
  // afterwards.
  void ignore_nulls() { ignores_nulls_ = true; }

  // Whether the key is present. finish() then lists the key as allowed, but does not count it as read.
  bool has(const std::string& key) const;
  const std::string& path() const { return path_; }
  const JsonSource& source() const { return *source_; }
  // Whether the object comes from the config.json of a run, and no edit such as --set changed it. It may then have keys
  // without effect, because it has every key.
  bool is_unchanged_run() const;

  // Each of the next functions up to raw() reads the value of one key. An absent key is an error if the function has a
  // parameter `fallback` and the caller gives no fallback.
  std::string string(const std::string& key, std::optional<std::string> fallback = {});
  bool boolean(const std::string& key, std::optional<bool> fallback = {});
  int64_t integer(const std::string& key, std::optional<int64_t> fallback = {},
                  int64_t min = std::numeric_limits<int64_t>::min(), int64_t max = std::numeric_limits<int64_t>::max());
  // A finite number from `min` to `max`.
  double number(const std::string& key, std::optional<double> fallback = {},
                double min = std::numeric_limits<double>::lowest(), double max = std::numeric_limits<double>::max());
  // A string whose current_spelling() is one of `allowed`.
  std::string choice(const std::string& key, const std::vector<std::string>& allowed,
                     std::optional<std::string> fallback = {});
  // A string, one of the spellings of Enum.
  template <typename Enum>
  Enum choice(const std::string& key, Enum fallback) {
    return named<Enum>(key.c_str(), choice(key, all_names<Enum>(), name_of(fallback)));
  }
  std::vector<double> numbers(const std::string& key, std::optional<std::vector<double>> fallback = {});
  // A list of strings; a single string counts as a list of one string.
  std::vector<std::string> strings(const std::string& key, std::optional<std::vector<std::string>> fallback = {});
  // A nested object; {} if it is absent and not required.
  JsonObject object(const std::string& key, bool required = false);
  // A list of objects. Throws Error if it is absent.
  std::vector<JsonObject> objects(const std::string& key);
  // The value as JSON. Throws Error if it is absent. The key counts as read.
  const Json& raw(const std::string& key);
  std::vector<std::string> keys() const;

  // Throws Error for the first key that was never read, listing the allowed keys.
  void finish() const;
  // Throws Error about the field `key`. The message begins with where(key).
  [[noreturn]] void fail(const std::string& key, const std::string& message) const;
  // The place of the field `key`: the file, the line if it is known, and the path of the field. If an edit such as
  // --set gave the value, the origin of the edit replaces the file and the line.
  std::string where(const std::string& key) const;

 private:
  const Json* present(const std::string& key) const;
  const Json* find(const std::string& key, bool required);

  std::shared_ptr<const JsonSource> source_;
  const Json* value_;
  std::string path_;
  bool ignores_nulls_ = false;
  std::set<std::string> known_;             // keys that a reading function was called with
  mutable std::set<std::string> optional_;  // keys that were passed to has()
};

// A path, and the new value to store there.
struct Edit {
  // From an assignment `path=value` of --set. The value is parsed as JSON, or taken as a string if it is not JSON.
  // Throws Error if the assignment is malformed, or if the value has duplicate keys. Implicit, so that a list of
  // assignments converts to a list of edits.
  Edit(const std::string& assignment);
  Edit(const char* assignment) : Edit(std::string(assignment)) {}
  // An edit that does not come from --set. Messages about its value begin with `from`.
  Edit(std::string to, Json given, std::string from)
      : path(std::move(to)), value(std::move(given)), origin(std::move(from)) {}

  std::string path;
  Json value;
  std::string origin;
};

// Applies an edit. Missing objects on the path are created. Throws Error if the path has an empty part, if a value on
// the path is neither an object nor null, or if the new value is nested too deeply.
void apply_edit(Json& root, const Edit& edit);

}  // namespace rowan
