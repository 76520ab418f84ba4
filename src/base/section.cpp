#include "base/section.h"

#include <fmt/format.h>

#include <algorithm>

namespace rowan {
namespace {

class Reader : public Section {
 public:
  explicit Reader(JsonObject& object) : object_(object) {}

  bool reading() const override { return true; }
  void number(const Key& key, double& field, double least, double most) override {
    field = object_.number(key.name, fallback(key, field), least, most);
  }
  void flag(const Key& key, bool& field) override { field = object_.boolean(key.name, fallback(key, field)); }
  void text(const Key& key, std::string& field) override { field = object_.string(key.name, fallback(key, field)); }
  void other(const Key&, const Json&) override {}

 private:
  void whole(const Key& key, int64_t& field, int64_t least, int64_t most) override {
    field = object_.integer(key.name, fallback(key, field), least, most);
  }
  void one_of(const Key& key, size_t& index, const std::vector<std::string>& names) override {
    const std::string name = object_.choice(key.name, names, fallback(key, names[index]));
    index = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  }
  template <typename T>
  static std::optional<T> fallback(const Key& key, const T& field) {
    return key.required ? std::nullopt : std::optional<T>(field);
  }

  JsonObject& object_;
};

class Writer : public Section {
 public:
  Json json = Json::object();

  void number(const Key& key, double& field, double, double) override { json[key.name] = field; }
  void flag(const Key& key, bool& field) override { json[key.name] = field; }
  void text(const Key& key, std::string& field) override { json[key.name] = field; }
  void other(const Key& key, const Json& value) override {
    if (!value.is_null()) json[key.name] = value;
  }

 private:
  void whole(const Key& key, int64_t& field, int64_t, int64_t) override { json[key.name] = field; }
  void one_of(const Key& key, size_t& index, const std::vector<std::string>& names) override {
    json[key.name] = names[index];
  }
};

class Lister : public Section {
 public:
  std::vector<KeyRow> rows;

  void number(const Key& key, double& field, double, double) override { add(key, fmt::format("{}", field)); }
  void flag(const Key& key, bool& field) override { add(key, field ? "true" : "false"); }
  void text(const Key& key, std::string& field) override { add(key, field.empty() ? "none" : field); }
  void other(const Key& key, const Json&) override { add(key, ""); }

 private:
  void whole(const Key& key, int64_t& field, int64_t, int64_t) override { add(key, fmt::format("{}", field)); }
  void one_of(const Key& key, size_t& index, const std::vector<std::string>& names) override {
    auto quoted = [](const std::string& name) { return "`" + name + "`"; };
    Key row = key;
    if (std::any_of(names.begin(), names.end(),
                    [&](const std::string& name) { return key.help.find(quoted(name)) == std::string::npos; })) {
      row.help = quoted(names[0]);
      for (size_t i = 1; i < names.size(); ++i) row.help += (i + 1 < names.size() ? ", " : " or ") + quoted(names[i]);
      if (!key.help.empty()) row.help += ": " + key.help;
    }
    add(row, quoted(names[index]));
  }
  void add(const Key& key, const std::string& value) {
    rows.push_back({key.name, key.help,
                    key.required          ? "required"
                    : !key.absent.empty() ? key.absent
                                          : value,
                    key.continues});
  }
};

}  // namespace

void read_keys(JsonObject& object, const Visit& visit) {
  Reader reader(object);
  visit(reader);
}

Json write_keys(const Visit& visit) {
  Writer writer;
  visit(writer);
  return writer.json;
}

std::vector<KeyRow> list_keys(const Visit& visit) {
  Lister lister;
  visit(lister);
  return lister.rows;
}

}  // namespace rowan
