// Recipe <-> JSON: visits the switches for reading, writing and help texts.
#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"
#include "optim/stages.h"

namespace rowan {

void Switches::when(bool holds, const char* why, const std::function<void()>& visit) {
  const char* before = idle_;
  if (!holds && !idle_) idle_ = why;
  visit();
  idle_ = before;
}

namespace {

constexpr const char* blocks_allowed =
    "\"heads\", \"pairs\", a number of blocks, or a list of the rows of each; null: off";

void adamw_switches(Recipe& r, Switches& s) {
  s.betas(r);
  if (r.adamw) s.number("eps", r.eps, Switches::tiny, 1);
  s.flag("corrected_eps", r.corrected_eps);
  s.flag("corrected_decay", r.corrected_decay);
  if (r.adamw) s.set("mars_gamma", r.mars_gamma, Switches::tiny, 1);
}

// The switches that every recipe has, with or without stages.
void common_switches(Recipe& r, Switches& s) {
  s.number("lr", r.lr, 0, 1e6);
  s.number("weight_decay", r.weight_decay, 0, 1e6);
  s.choice("decay_course", r.decay_course);
  s.set("width_scale", r.width_scale, -2, 2);
  s.when(r.width_scale != 0, "width_scale is off", [&] { s.number("width_base", r.width_base, 1, 1e9); });
}

void visit_switches(Recipe& r, Switches& s) {
  common_switches(r, s);
  s.when(r.adamw, "it belongs to AdamW; set it in \"adamw\"", [&] { adamw_switches(r, s); });
  if (r.adamw) return decay_switches(r, s);
  for (const Stage* stage : stages)
    if (stage->switches) stage->switches(r, s);
}

// The JSON value of a switch that 0 turns off.
Json number_or_null(auto value) { return value != 0 ? Json(value) : Json(); }

class Reader : public Switches {
 public:
  Reader(JsonObject& object, const Recipe& recipe) : object_(object), was_ema_(recipe.form == Form::ema) {}

  // Throws Error if the config sets a key that has no effect.
  void finish() const {
    for (const auto& [key, why] : refused_)
      if (!read_.contains(key)) object_.fail(key, "has no effect here: " + why);
  }

  void number(const char* key, double& field, double min, double max) override {
    if (idle(key, field)) return;
    field = object_.number(key, field, min == tiny ? std::numeric_limits<double>::lowest() : min, max);
    if (min == tiny && field < tiny) object_.fail(key, fmt::format("found {}, expected at least 1e-30", field));
  }
  void set(const char* key, double& field, double min, double max) override {
    if (idle(key, number_or_null(field)) || !object_.has(key)) return;
    if (object_.raw(key).is_null())
      field = 0;
    else
      number(key, field, min, max);
  }
  void set(const char* key, int64_t& field, int64_t min, int64_t max) override {
    if (idle(key, number_or_null(field)) || !object_.has(key)) return;
    field = object_.raw(key).is_null() ? 0 : object_.integer(key, field, min, max);
  }
  void integer(const char* key, int64_t& field, int64_t min, int64_t max) override {
    if (!idle(key, field)) field = object_.integer(key, field, min, max);
  }
  void flag(const char* key, bool& field) override {
    if (!idle(key, field)) field = object_.boolean(key, field);
  }
  void betas(Recipe& r) override {
    if (idle("betas")) return;
    std::vector<double> betas = object_.numbers("betas", std::vector<double>{r.beta1, r.beta2});
    if (betas.size() != 2) object_.fail("betas", fmt::format("found {} numbers, expected two", betas.size()));
    for (double beta : betas)
      if (!(beta >= 0 && beta <= most))
        object_.fail("betas", fmt::format("found {}, expected at least 0 and at most {}", beta, most));
    r.beta1 = betas[0];
    r.beta2 = betas[1];
  }
  void momentum(Recipe& r) override {
    if (idle("momentum")) return;
    const bool given = object_.has("momentum");
    if (given) read_momentum(r);
    // Most recipes with an EMA use one coefficient as both `momentum` and `beta`.
    if (r.form == Form::ema && (given || !was_ema_) && !object_.has("beta")) r.beta = r.momentum;
  }
  void read_momentum(Recipe& r) {
    r.momentum_course = {};
    if (object_.raw("momentum").is_object()) {
      JsonObject course = object_.object("momentum");
      r.momentum = course.number("to", {}, 0, most);
      r.momentum_course.from = course.number("from", {}, tiny, most);
      r.momentum_course.steps = course.integer("steps", {}, 1, most_steps);
      if (course.has("end")) r.momentum_course.end = course.number("end", {}, tiny, most);
      course.finish();
    } else {
      r.momentum = object_.number("momentum", {}, 0, most);
    }
  }
  void coefficients(Recipe& r) override {
    const bool no_steps = idle("ns_steps"), no_coefficients = idle("ns_coefficients");  // both are named
    if (no_steps || no_coefficients) return;
    r.ns_steps = object_.integer("ns_steps", r.ns_steps, 1, 100);
    if (!object_.has("ns_coefficients")) return;
    if (object_.raw("ns_coefficients").is_string()) {
      r.ns_coefficients = object_.choice("ns_coefficients", coefficient_sets(), r.ns_coefficients);
      return;
    }
    r.ns_list.clear();
    for (const Json& item : object_.raw("ns_coefficients")) {
      if (!item.is_array() || item.size() != 3 || !item[0].is_number() || !item[1].is_number() || !item[2].is_number())
        object_.fail("ns_coefficients", fmt::format("found {}, expected a list of [a, b, c] or one of: {}", item.dump(),
                                                    join(coefficient_sets())));
      r.ns_list.push_back({item[0].get<double>(), item[1].get<double>(), item[2].get<double>()});
    }
    if (r.ns_list.empty()) object_.fail("ns_coefficients", "found an empty list, expected at least one [a, b, c]");
    r.ns_coefficients = "list";
    if (!object_.has("ns_steps")) r.ns_steps = static_cast<int64_t>(r.ns_list.size());
  }
  void blocks(Blocks& blocks) override {
    if (idle("blocks") || !object_.has("blocks")) return;
    const Json& given = object_.raw("blocks");
    blocks = {};
    constexpr int64_t most = int64_t{1} << 31;  // limit on the number of blocks and on their rows
    if (given.is_number_integer() && given > 0 && given <= most) {
      blocks.by = Blocks::By::count;
      blocks.count = given.get<int64_t>();
    } else if (given.is_array() && !given.empty()) {
      blocks.by = Blocks::By::rows;
      for (const Json& rows : given) {
        if (!rows.is_number_integer() || rows < 1 || rows > most)
          object_.fail("blocks", fmt::format("found {} in the list, expected a number of rows", rows.dump()));
        blocks.rows.push_back(rows.get<int64_t>());
      }
    } else if (given == "heads" || given == "pairs") {
      blocks.by = given == "heads" ? Blocks::By::heads : Blocks::By::pairs;
    } else if (!given.is_null()) {
      object_.fail("blocks", fmt::format("found {}, expected {}", given.dump(), blocks_allowed));
    }
  }

 private:
  void choice_of(const char* key, int& value, const Names& names) override {
    if (idle(key, names[static_cast<size_t>(value)])) return;
    const std::string name = object_.choice(key, names, names[static_cast<size_t>(value)]);
    value = static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin());
  }
  // Whether the switches being visited have no effect. A key that several stages share is refused only if no stage
  // reads the key. The message then gives the first stage's reason. In the config.json of a run, a key without effect
  // may have its default value `unset`, because the version of Rowan that wrote the file may have read the key.
  bool idle(const char* key, const Json& unset = Json::value_t::discarded) {
    if (!idle_)
      read_.insert(key);
    else if (object_.has(key) && !(object_.raw(key) == unset && object_.source().of_run))
      refused_.emplace(key, idle_);
    return idle_ != nullptr;
  }

  static constexpr double most = 0.9999999;

  std::set<std::string> read_;
  std::map<std::string, std::string> refused_;
  JsonObject& object_;
  const bool was_ema_;  // the recipe's form before this config
};

class Writer : public Switches {
 public:
  explicit Writer(Json& json) : json_(json) {}

  void number(const char* key, double& field, double, double) override { write(key, field); }
  void set(const char* key, double& field, double, double) override { write(key, number_or_null(field)); }
  void set(const char* key, int64_t& field, int64_t, int64_t) override { write(key, number_or_null(field)); }
  void integer(const char* key, int64_t& field, int64_t, int64_t) override { write(key, field); }
  void flag(const char* key, bool& field) override { write(key, field); }
  void betas(Recipe& r) override { write("betas", std::vector<double>{r.beta1, r.beta2}); }
  void momentum(Recipe& r) override {
    const MomentumCourse& course = r.momentum_course;
    if (course.from == 0) return write("momentum", r.momentum);
    Json json = {{"from", course.from}, {"to", r.momentum}, {"steps", course.steps}};
    if (course.end > 0) json["end"] = course.end;
    write("momentum", json);
  }
  void coefficients(Recipe& r) override {
    write("ns_steps", r.ns_steps);
    if (r.ns_coefficients == "list")
      write("ns_coefficients", r.ns_list);
    else
      write("ns_coefficients", r.ns_coefficients);
  }
  void blocks(Blocks& blocks) override {
    if (blocks.by == Blocks::By::none) write("blocks", Json());
    if (blocks.by == Blocks::By::count) write("blocks", blocks.count);
    if (blocks.by == Blocks::By::rows) write("blocks", blocks.rows);
    if (blocks.by == Blocks::By::heads) write("blocks", "heads");
    if (blocks.by == Blocks::By::pairs) write("blocks", "pairs");
  }

 private:
  void choice_of(const char* key, int& value, const Names& names) override {
    write(key, names[static_cast<size_t>(value)]);
  }
  template <typename T>
  void write(const char* key, const T& value) {
    if (!idle_) json_[key] = value;
  }

  Json& json_;
};

// Lists switches as lines "  key               possible values".
class Lines : public Switches {
 public:
  std::string text;

  void number(const char* key, double&, double min, double max) override {
    line(key, min == tiny              ? std::string("more than 0")
              : max > 1e5              ? fmt::format("{} or more", min)
              : max > 0.999 && max < 1 ? fmt::format("{} to less than 1", min)
                                       : fmt::format("{} to {}", min, max));
  }
  void set(const char* key, double&, double min, double max) override {
    line(key, fmt::format("{}; null: off", min < 0     ? fmt::format("{} to {}", min, max)
                                           : max > 1e5 ? min == tiny ? "more than 0" : fmt::format("{} or more", min)
                                                       : fmt::format("more than 0, at most {}", max)));
  }
  void set(const char* key, int64_t&, int64_t min, int64_t) override {
    line(key, fmt::format("{} or more; null: off", min));
  }
  void integer(const char* key, int64_t&, int64_t min, int64_t max) override {
    line(key, fmt::format("{} to {}", min, max));
  }
  void flag(const char* key, bool&) override { line(key, "true, false"); }
  void betas(Recipe&) override { line("betas", "two numbers, 0 to less than 1"); }
  void momentum(Recipe&) override {
    line("momentum", "0 to less than 1, or {\"from\", \"to\", \"steps\", \"end\": while the rate falls}");
  }
  void coefficients(Recipe&) override {
    line("ns_steps", "1 to 100");
    line("ns_coefficients", join(coefficient_sets()) + ", or a list of [a, b, c]");
  }
  void blocks(Blocks&) override { line("blocks", blocks_allowed); }

 private:
  void choice_of(const char* key, int&, const Names& names) override { line(key, join(names)); }
  void line(const char* key, const std::string& allowed) {
    if (text.find(fmt::format("  {} ", key)) == std::string::npos) text += fmt::format("  {:<22} {}\n", key, allowed);
  }
};

}  // namespace

std::string describe_switches() {
  Lines lines;
  Recipe recipe;
  lines.text = "all\n";
  common_switches(recipe, lines);
  for (const Stage* stage : stages) {
    if (!stage->switches) continue;
    lines.text += fmt::format("{}\n", stage->name);
    stage->switches(recipe, lines);
  }
  return lines.text;
}

namespace {

// A copy in which every switch without effect has its default, so that no stage acts on a value that neither the config
// nor to_json() shows.
Recipe without_idle_switches(const Recipe& recipe) {
  Recipe result;
  result.name = recipe.name;
  result.variant = recipe.variant;
  result.adamw = recipe.adamw;
  const Json json = to_json(recipe);
  JsonObject object(std::make_shared<JsonSource>(JsonSource{"the recipe " + recipe.name, ""}), json);
  Reader reader(object, result);
  visit_switches(result, reader);
  return result;
}

}  // namespace

void read_recipe(JsonObject& object, Recipe& recipe) {
  Reader reader(object, recipe);
  visit_switches(recipe, reader);
  reader.finish();
  recipe = without_idle_switches(recipe);
}

Json to_json(const Recipe& recipe) {
  Json json;
  json["name"] = recipe.name;
  if (recipe.variant != "code") json["variant"] = recipe.variant;
  Recipe copy = recipe;
  Writer writer(json);
  visit_switches(copy, writer);
  return json;
}

void check_recipe(const JsonObject& object, const Recipe& recipe) {
  if (recipe.adamw && recipe.decay == Decay::adaptive)
    object.fail("decay", "adaptive needs the factors of adapt matrix or column, which adamw lacks");
  if (recipe.adamw) return;
  for (const Stage* stage : stages)
    if (stage->check) stage->check(recipe, [&](const char* key, const std::string& why) { object.fail(key, why); });
}

std::string describe(const Recipe& recipe) {
  if (recipe.adamw)
    return fmt::format("adamw, betas {} {}, eps {}{}", recipe.beta1, recipe.beta2, recipe.eps,
                       recipe.mars_gamma > 0 ? fmt::format(", mars gamma {}", recipe.mars_gamma) : "");
  std::string text;
  for (const Stage* stage : stages)
    if (const std::string words = stage->on(recipe) && stage->describe ? stage->describe(recipe) : ""; !words.empty())
      text += (text.empty() ? "" : " > ") + words;
  return text;
}

}  // namespace rowan
