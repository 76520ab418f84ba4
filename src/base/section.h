// A section of a config. Its keys are visited once, each with field, range and help text. Reading, writing the resolved
// config, and the tables of configs/README.md all follow from that visit.
//
//   void visit(SkipConfig& skip, Section& keys) {
//     keys.integer<2, 100000>({.name = "window", .help = "steps compared with"}, skip.window);
//     ...
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/names.h"

namespace rowan {

class Section {
 public:
  struct Key {
    std::string name;
    // Of the value's cell in configs/README.md. The allowed values come before it unless it names one.
    std::string help = {};
    bool required = false;     // false: the field's value before reading is the default
    bool continues = false;    // true: a run may continue with another value; false: it would be another run
    std::string absent = {};   // name of the default if its value does not explain itself
    std::string instead = {};  // a key that may be given instead of this required one
  };
  virtual ~Section() = default;
  // True while reading. A field then holds its default; a default that depends on earlier keys can be set in the visit.
  virtual bool reading() const { return false; }

  // An integer from `least` to `most`; the field's type must be able to hold them.
  template <int64_t least, int64_t most, typename Integer>
  void integer(const Key& key, Integer& field) {
    static_assert(least >= static_cast<int64_t>(std::numeric_limits<Integer>::min()) &&
                  static_cast<uint64_t>(most) <= static_cast<uint64_t>(std::numeric_limits<Integer>::max()));
    int64_t value = static_cast<int64_t>(field);
    whole(key, value, least, most);
    field = static_cast<Integer>(value);
  }
  virtual void number(const Key& key, double& field, double least, double most) = 0;
  // A positive number, or off: 0 in the field, absent or null in the config.
  virtual void positive(const Key& key, double& field) = 0;
  virtual void flag(const Key& key, bool& field) = 0;
  virtual void text(const Key& key, std::string& field) = 0;
  template <typename Enum>
  void choice(const Key& key, Enum& field) {
    size_t index = static_cast<size_t>(field);
    one_of(key, index, all_names<Enum>());
    field = static_cast<Enum>(index);
  }
  // A key of another kind, which is read elsewhere; a null value is not written.
  virtual void other(const Key& key, const Json& value) = 0;
  // Keys that exist only if `holds`; the documentation lists them always.
  virtual void when(bool holds, const std::function<void()>& visit) {
    if (holds) visit();
  }

 private:
  virtual void whole(const Key& key, int64_t& field, int64_t least, int64_t most) = 0;
  virtual void one_of(const Key& key, size_t& index, const std::vector<std::string>& names) = 0;
};

using Visit = std::function<void(Section&)>;

// Fills the fields from a config. Throws Error naming file, line and key.
void read_keys(JsonObject& object, const Visit& visit);
// Writes every key with its value.
Json write_keys(const Visit& visit);

// A key's row in configs/README.md.
struct KeyRow {
  std::string name, help;
  std::string fallback;  // the default, or "required"
  bool continues = false;
  bool required = false;
  std::string instead = {};
};
std::vector<KeyRow> list_keys(const Visit& visit);

// The paths of all required keys that `object` lacks. Empty if it has a misspelt key, which reading will report.
std::vector<std::string> missing_keys(const JsonObject& object, const std::vector<KeyRow>& rows);

}  // namespace rowan
