// A section of a config. One visit() lists its keys, each with the field that the key fills. The same visit() is used
// to read a config, to write the resolved config, and to list the keys for configs/README.md.
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
    // The key's description in configs/README.md. For a choice, list_keys() puts the allowed values in front of `help`
    // if `help` does not name all of them.
    std::string help = {};
    bool required = false;     // false: the field's value before reading is the default
    bool continues = false;    // true: the value may change when a run continues; false: it must not
    std::string absent = {};   // text shown as the default instead of the field's value
    std::string instead = {};  // a key that may be given instead of this required one
  };
  virtual ~Section() = default;
  // True while a config is read. visit() can then set a field to a default that depends on earlier keys.
  virtual bool reading() const { return false; }

  // An integer from `least` to `most`; the field's type must be able to hold both.
  template <int64_t least, int64_t most, typename Integer>
  void integer(const Key& key, Integer& field) {
    static_assert(least >= static_cast<int64_t>(std::numeric_limits<Integer>::min()) &&
                  static_cast<uint64_t>(most) <= static_cast<uint64_t>(std::numeric_limits<Integer>::max()));
    int64_t value = static_cast<int64_t>(field);
    whole(key, value, least, most);
    field = static_cast<Integer>(value);
  }
  virtual void number(const Key& key, double& field, double least, double most) = 0;
  // A positive number, at most the largest that fp32 holds, or null. Null sets the field to 0; an absent key leaves the
  // field as it is.
  virtual void positive(const Key& key, double& field) = 0;
  virtual void flag(const Key& key, bool& field) = 0;
  virtual void text(const Key& key, std::string& field) = 0;
  template <typename Enum>
  void choice(const Key& key, Enum& field) {
    size_t index = static_cast<size_t>(field);
    one_of(key, index, all_names<Enum>());
    field = static_cast<Enum>(index);
  }
  // A key that is read elsewhere. `value` is written to the resolved config unless it is null.
  virtual void other(const Key& key, const Json& value) = 0;
  // Keys that exist only if `holds` is true. list_keys() lists them in any case.
  virtual void when(bool holds, const std::function<void()>& visit) {
    if (holds) visit();
  }

 private:
  virtual void whole(const Key& key, int64_t& field, int64_t least, int64_t most) = 0;
  virtual void one_of(const Key& key, size_t& index, const std::vector<std::string>& names) = 0;
};

using Visit = std::function<void(Section&)>;

// Fills the fields from a config. Throws Error, with the place, for a missing key or a wrong value.
void read_keys(JsonObject& object, const Visit& visit);
// The keys and their values, for the resolved config.
Json write_keys(const Visit& visit);

// A key's row in configs/README.md.
struct KeyRow {
  std::string name, help;
  std::string fallback;  // the default, or text that begins with "required"
  bool continues = false;
  bool required = false;
  std::string instead = {};
};
std::vector<KeyRow> list_keys(const Visit& visit);

// The paths of the missing keys: each required key for which `object` has neither the key nor its `instead` key. Empty
// if `object` has an unknown key similar to a missing one, so that read_keys() can report the misspelled key.
std::vector<std::string> missing_keys(const JsonObject& object, const std::vector<KeyRow>& rows);

}  // namespace rowan
