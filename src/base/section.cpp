#include "base/section.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"

namespace rowan {
namespace {

class Reader : public Section {
 public:
  explicit Reader(JsonObject& object) : object_(object) {}

  bool reading() const override { return true; }
  void number(const Key& key, double& field, double least, double most) override {
    field = object_.number(key.name, fallback(key, field), least, most);
  }
  void positive(const Key& key, double& field) override {
    if (!object_.has(key.name)) return;
    constexpr double most = std::numeric_limits<float>::max();
    field =
        object_.raw(key.name).is_null() ? 0 : object_.number(key.name, {}, std::numeric_limits<double>::lowest(), most);
    if (field <= 0 && !object_.raw(key.name).is_null())
      object_.fail(key.name, fmt::format("found {}, expected more than 0", field));
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
  void positive(const Key& key, double& field) override { json[key.name] = field > 0 ? Json(field) : Json(); }
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
  void positive(const Key& key, double& field) override { add(key, field > 0 ? fmt::format("{}", field) : "none"); }
  void flag(const Key& key, bool& field) override { add(key, field ? "true" : "false"); }
  void text(const Key& key, std::string& field) override { add(key, field.empty() ? "none" : field); }
  void other(const Key& key, const Json&) override { add(key, ""); }
  void when(bool, const std::function<void()>& visit) override { visit(); }

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
    KeyRow& row = rows.emplace_back(KeyRow{key.name, key.help, value, key.continues, key.required, key.instead});
    if (!key.absent.empty()) row.fallback = key.absent;
    if (key.required) row.fallback = key.instead.empty() ? "required" : "required, or `" + key.instead + "`";
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

std::vector<std::string> missing_keys(const JsonObject& object, const std::vector<KeyRow>& rows) {
  std::vector<std::string> missing, paths;
  for (const KeyRow& row : rows)
    if (row.required && !object.has(row.name) && (row.instead.empty() || !object.has(row.instead)))
      missing.push_back(row.name);
  for (const std::string& key : object.keys())
    if (std::none_of(rows.begin(), rows.end(), [&](const KeyRow& row) { return row.name == key; }) &&
        !did_you_mean(key, missing).empty())
      return {};
  for (const std::string& key : missing) paths.push_back(object.path().empty() ? key : object.path() + "." + key);
  return paths;
}

}  // namespace rowan
