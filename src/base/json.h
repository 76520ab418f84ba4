// Strict reading of JSON: every key is checked, and every mistake names the file, the line, the path of the field,
// what was found and what is allowed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/indexed_map.h"
#include "base/names.h"

// Compiled once, in json.cpp: every user of it builds in two thirds of the time.
extern template class nlohmann::basic_json<rowan::IndexedMap>;

namespace rowan {

using Json = nlohmann::basic_json<IndexedMap>;

// A JSON text with its origin. Comments and trailing commas are errors; so are duplicate keys, numbers too large for a
// double, and values nested deeper, or more of them, than anything Rowan reads.
struct JsonSource {
  std::string name;  // file name, for messages
  std::string text;  // as read, to find line numbers
  // Paths whose values came from --set and not from the text.
  std::vector<std::string> overridden = {};
};

// Parses `text`; throws Error "NAME:LINE:COLUMN: ..." when it is not JSON.
Json parse_json(const JsonSource& source);

// A view of one object which remembers what was read. finish() reports the keys nobody asked for.
class JsonObject {
 public:
  // `path` is "" at the top. Throws Error when `value` is not an object.
  JsonObject(std::shared_ptr<const JsonSource> source, const Json& value, std::string path = "");

  // From now on a key whose value is null is as good as absent, here and in objects taken from here.
  void ignore_nulls() { ignores_nulls_ = true; }

  // Counts as allowed from then on, but not as read.
  bool has(const std::string& key) const;
  const std::string& path() const { return path_; }

  // Required when no fallback is given.
  std::string string(const std::string& key, std::optional<std::string> fallback = {});
  bool boolean(const std::string& key, std::optional<bool> fallback = {});
  int64_t integer(const std::string& key, std::optional<int64_t> fallback = {},
                  int64_t min = std::numeric_limits<int64_t>::min(), int64_t max = std::numeric_limits<int64_t>::max());
  // Finite; a string, NaN or infinity is an error.
  double number(const std::string& key, std::optional<double> fallback = {},
                double min = std::numeric_limits<double>::lowest(), double max = std::numeric_limits<double>::max());
  // One of `allowed`.
  std::string choice(const std::string& key, const std::vector<std::string>& allowed,
                     std::optional<std::string> fallback = {});
  // One of an enum's spellings.
  template <typename Enum>
  Enum choice(const std::string& key, Enum fallback) {
    return named<Enum>(key.c_str(), choice(key, all_names<Enum>(), name_of(fallback)));
  }
  std::vector<double> numbers(const std::string& key, std::optional<std::vector<double>> fallback = {});
  // A list of strings; a string alone reads as a list of one.
  std::vector<std::string> strings(const std::string& key, std::optional<std::vector<std::string>> fallback = {});
  // A nested object; an absent one reads as {} unless required.
  JsonObject object(const std::string& key, bool required = false);
  // A list of objects.
  std::vector<JsonObject> objects(const std::string& key);
  // The raw value, counted as read.
  const Json& raw(const std::string& key);
  std::vector<std::string> keys() const;

  // Throws Error for the first key that was never read, naming the nearest that could be.
  void finish() const;
  // Throws Error about the field `key`: "FILE:LINE: PATH: message", or "--set PATH: message" when it was set there.
  [[noreturn]] void fail(const std::string& key, const std::string& message) const;

 private:
  const Json* present(const std::string& key) const;
  const Json* find(const std::string& key, bool required);
  std::string where(const std::string& key) const;

  std::shared_ptr<const JsonSource> source_;
  const Json* value_;
  std::string path_;
  bool ignores_nulls_ = false;
  std::set<std::string> known_;             // asked for by value
  mutable std::set<std::string> optional_;  // asked for by has()
};

// Line (from 1) of the value at a dotted path ("run.steps") in a JSON text, or 0 when it is not there.
int line_of(const std::string& text, const std::string& path);

// The edit `path=value` of --set: value is read as JSON, and as a plain string when it is not JSON. Missing objects
// on the way are made. Returns the path. Throws Error for what parse_json() would not read again.
std::string apply_override(Json& root, const std::string& assignment);

}  // namespace rowan
