// A section of a config, whose keys are gone through once, with field, range, and what configs/README.md says of each:
// reading, writing what was read with every default in it, and the list of keys all follow from that.
//
//   void visit(SkipConfig& skip, Section& keys) {
//     keys.integer<2, 100000>({.name = "window", .help = "steps compared with"}, skip.window);
//     ...
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/json.h"

namespace rowan {

class Section {
 public:
  struct Key {
    std::string name;
    std::string help = {};     // the value's cell in configs/README.md, behind the choices unless it names them
    bool required = false;     // else the field's value before reading is the default
    bool continues = false;    // a run may be continued with another value; else it would be another run
    std::string absent = {};   // what the default is called where its value does not say it
    std::string instead = {};  // a key that may stand in the place of a required one
  };
  virtual ~Section() = default;
  // While reading, a field holds its default; one that depends on keys before it can be set first.
  virtual bool reading() const { return false; }

  // An integer from `least` to `most`, which the field must be able to hold.
  template <int64_t least, int64_t most, typename Integer>
  void integer(const Key& key, Integer& field) {
    static_assert(least >= static_cast<int64_t>(std::numeric_limits<Integer>::min()) &&
                  static_cast<uint64_t>(most) <= static_cast<uint64_t>(std::numeric_limits<Integer>::max()));
    int64_t value = static_cast<int64_t>(field);
    whole(key, value, least, most);
    field = static_cast<Integer>(value);
  }
  virtual void number(const Key& key, double& field, double least, double most) = 0;
  // Above 0, or off at 0: absent or null.
  virtual void positive(const Key& key, double& field) = 0;
  virtual void flag(const Key& key, bool& field) = 0;
  virtual void text(const Key& key, std::string& field) = 0;
  template <typename Enum>
  void choice(const Key& key, Enum& field) {
    size_t index = static_cast<size_t>(field);
    one_of(key, index, all_names<Enum>());
    field = static_cast<Enum>(index);
  }
  // A key of another kind, read elsewhere; a null value is left out.
  virtual void other(const Key& key, const Json& value) = 0;
  // Keys that exist only where `holds`; documentation names them all.
  virtual void when(bool holds, const std::function<void()>& visit) {
    if (holds) visit();
  }

 private:
  virtual void whole(const Key& key, int64_t& field, int64_t least, int64_t most) = 0;
  virtual void one_of(const Key& key, size_t& index, const std::vector<std::string>& names) = 0;
};

using Visit = std::function<void(Section&)>;

// Fills the fields from what a config says. Throws Error naming file, line and key.
void read_keys(JsonObject& object, const Visit& visit);
// Every key with its value.
Json write_keys(const Visit& visit);

// What configs/README.md says of a key.
struct KeyRow {
  std::string name, help;
  std::string fallback;  // the default, or "required"
  bool continues = false;
  bool required = false;
  std::string instead = {};
};
std::vector<KeyRow> list_keys(const Visit& visit);

// The paths of all required keys that `object` lacks; none where it has a misspelt one, which reading it will name.
std::vector<std::string> missing_keys(const JsonObject& object, const std::vector<KeyRow>& rows);

}  // namespace rowan
