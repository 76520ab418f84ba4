// Recipe <-> JSON: one list of the switches serves reading, writing and the help texts.
#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "optim/recipe.h"

namespace rowan {
namespace {

using Names = std::vector<std::string>;
const Names form_names = {"ema", "heavy_ball", "lion"};
const Names project_names = {"none", "rows", "columns", "alternate"};
const Names equilibrate_names = {"none", "row", "column", "row_column", "sign"};
const Names direction_names = {"newton_schulz",  "polar", "row_normalize", "column_normalize",
                               "alternate_axis", "sign",  "none"};
const Names renormalize_names = {"none", "row", "column", "column_row"};
const Names adapt_names = {"none", "matrix", "column", "row_moment", "element_moment"};
const Names shape_scale_names = {"none", "keller", "moonlight", "axis", "ratio", "rms"};
const Names decay_names = {"plain", "adaptive"};
const Names divide_names = {"add", "clamp"};
const Names precision_names = {"auto", "f32", "bf16"};

constexpr double tiny = 1e-30;  // the smallest of what must be positive: fp32 divides by it

// Calls visitor.number(key, field, min, max), .set(key, field, min, max) for fields that are off at 0, .flag(key,
// field), .integer(key, field, min, max), .choice(key, field, names) for the switches that the recipe has.
template <typename Visitor>
void visit(Recipe& r, Visitor& v) {
  v.number("lr", r.lr, 0, 1e6);
  v.number("weight_decay", r.weight_decay, 0, 1e6);
  if (r.adamw) {
    v.betas(r);
    v.number("eps", r.eps, tiny, 1);
    v.flag("corrected_eps", r.corrected_eps);
    v.flag("corrected_decay", r.corrected_decay);
    v.set("mars_gamma", r.mars_gamma, tiny, 1);
    return;
  }
  v.choice("form", r.form, form_names);
  v.number("momentum", r.momentum, 0, 0.9999999);
  if (r.form != Form::heavy_ball) v.number("beta", r.beta, 0, 0.9999999);
  if (r.form != Form::lion) v.flag("nesterov", r.nesterov);
  v.choice("project", r.project, project_names);
  if (r.project != Project::none) v.flag("raw_weights", r.raw_weights);
  v.choice("equilibrate", r.equilibrate, equilibrate_names);
  if (r.equilibrate != Equilibrate::none && r.equilibrate != Equilibrate::sign) {
    v.number("equilibrate_exponent", r.equilibrate_exponent, -2, 2);
    v.number("equilibrate_eps", r.equilibrate_eps, 0, 1);
    v.set("equilibrate_clip", r.equilibrate_clip, 1, 1e30);
    if (r.equilibrate == Equilibrate::row_column) v.integer("phase", r.phase, 1, INT64_MAX);
  }
  v.choice("direction", r.direction, direction_names);
  if (r.normalizes_axis() || r.project != Project::none) {
    v.number("eps", r.eps, tiny, 1);
    v.choice("eps_mode", r.eps_mode, divide_names);
  }
  if (r.direction == Direction::newton_schulz) v.coefficients(r);
  if (r.orthogonalizes()) {
    v.number("ns_eps", r.ns_eps, tiny, 1);
    v.choice("ns_eps_mode", r.ns_eps_mode, divide_names);
    v.flag("ns_transpose", r.ns_transpose);
    if (r.direction == Direction::newton_schulz) v.choice("ns_precision", r.ns_precision, precision_names);
  }
  v.choice("renormalize", r.renormalize, renormalize_names);
  v.choice("adapt", r.adapt, adapt_names);
  if (r.adapt != Adapt::none) {
    v.number("beta2", r.beta2, 0, 0.9999999);
    v.number("adapt_eps", r.adapt_eps, tiny, 1);
    if (r.scales_rate()) {
      v.flag("adapt_eps_inside", r.adapt_eps_inside);
      v.set("step_cap", r.step_cap, tiny, 1e30);
    }
    if (r.adapt == Adapt::column) v.set("clamp", r.clamp, tiny, 1);
  }
  v.choice("shape_scale", r.shape_scale, shape_scale_names);
  if (r.shape_scale == ShapeScale::moonlight || r.shape_scale == ShapeScale::axis || r.shape_scale == ShapeScale::rms)
    v.number("scale", r.scale, tiny, 1e6);
  v.choice("direction_precision", r.direction_precision, precision_names);
  v.choice("decay", r.decay, decay_names);
}

struct Reader {
  JsonObject& object;

  void number(const char* key, double& field, double min, double max) {
    field = object.number(key, field, min == tiny ? std::numeric_limits<double>::lowest() : min, max);
    if (min == tiny && field < tiny)
      object.fail(key, fmt::format("found {}, must be positive (at least 1e-30)", field));
  }
  void set(const char* key, double& field, double min, double max) {
    if (!object.has(key)) {
      object.number(key, 0.0);
    } else if (object.raw(key).is_null()) {
      field = 0;
    } else {
      number(key, field, min, max);
    }
  }
  void integer(const char* key, int64_t& field, int64_t min, int64_t max) {
    if (object.has(key) && object.raw(key).is_null()) {
      field = 0;
    } else if (object.has(key)) {
      field = object.integer(key, field, min, max);
    } else {
      object.integer(key, 0);
    }
  }
  void flag(const char* key, bool& field) { field = object.boolean(key, field); }
  template <typename Enum>
  void choice(const char* key, Enum& field, const Names& names) {
    std::string name = object.choice(key, names, names[static_cast<size_t>(field)]);
    field = static_cast<Enum>(std::find(names.begin(), names.end(), name) - names.begin());
  }
  void betas(Recipe& r) {
    std::vector<double> betas = object.numbers("betas", std::vector<double>{r.beta1, r.beta2});
    if (betas.size() != 2) object.fail("betas", fmt::format("found {} numbers, expected two", betas.size()));
    for (double beta : betas)
      if (!(beta >= 0 && beta < 1)) object.fail("betas", fmt::format("found {}, must be in [0, 1)", beta));
    r.beta1 = betas[0];
    r.beta2 = betas[1];
  }
  void coefficients(Recipe& r) {
    r.ns_steps = object.integer("ns_steps", r.ns_steps, 1, 100);
    if (!object.has("ns_coefficients") || object.raw("ns_coefficients").is_string()) {
      r.ns_coefficients = object.choice("ns_coefficients", coefficient_sets(), r.ns_coefficients);
      return;
    }
    r.ns_list.clear();
    for (const Json& item : object.raw("ns_coefficients")) {
      if (!item.is_array() || item.size() != 3 || !item[0].is_number() || !item[1].is_number() || !item[2].is_number())
        object.fail("ns_coefficients", fmt::format("found {}, expected a list of [a, b, c] or one of: {}", item.dump(),
                                                   join(coefficient_sets())));
      r.ns_list.push_back({item[0].get<double>(), item[1].get<double>(), item[2].get<double>()});
    }
    if (r.ns_list.empty()) object.fail("ns_coefficients", "the list is empty");
    r.ns_coefficients = "list";
    if (!object.has("ns_steps")) r.ns_steps = static_cast<int64_t>(r.ns_list.size());
  }
};

struct Writer {
  Json& json;

  void number(const char* key, double field, double, double) { json[key] = field; }
  void set(const char* key, double field, double, double) {
    if (field != 0) json[key] = field;
  }
  void integer(const char* key, int64_t field, int64_t, int64_t) {
    if (field != 0) json[key] = field;
  }
  void flag(const char* key, bool field) { json[key] = field; }
  template <typename Enum>
  void choice(const char* key, Enum field, const Names& names) {
    json[key] = names[static_cast<size_t>(field)];
  }
  void betas(Recipe& r) { json["betas"] = {r.beta1, r.beta2}; }
  void coefficients(Recipe& r) {
    json["ns_steps"] = r.ns_steps;
    if (r.ns_coefficients == "list")
      json["ns_coefficients"] = r.ns_list;
    else
      json["ns_coefficients"] = r.ns_coefficients;
  }
};

// "  key               what is allowed".
struct Lines {
  std::string text;

  void line(const char* key, const std::string& allowed) { text += fmt::format("  {:<22} {}\n", key, allowed); }
  void number(const char* key, double, double min, double max) {
    line(key, min == tiny              ? std::string("more than 0")
              : max > 1e5              ? fmt::format("{} or more", min)
              : max > 0.999 && max < 1 ? fmt::format("{} to less than 1", min)
                                       : fmt::format("{} to {}", min, max));
  }
  void set(const char* key, double, double min, double max) {
    line(key, fmt::format("{}; null: off", max > 1e5 ? min == tiny ? "more than 0" : fmt::format("{} or more", min)
                                                     : fmt::format("more than 0, at most {}", max)));
  }
  void integer(const char* key, int64_t, int64_t min, int64_t) { line(key, fmt::format("{} or more; null: off", min)); }
  void flag(const char* key, bool) { line(key, "true, false"); }
  template <typename Enum>
  void choice(const char* key, Enum, const Names& names) {
    line(key, join(names));
  }
  void betas(Recipe&) { line("betas", "two numbers, 0 to less than 1"); }
  void coefficients(Recipe&) {
    line("ns_steps", "1 to 100");
    line("ns_coefficients", join(coefficient_sets()) + ", or a list of [a, b, c]; the last repeats");
  }
};

}  // namespace

std::string describe_switches() {
  Recipe all;  // with a choice at every stage that brings its own switches
  all.project = Project::rows;
  all.equilibrate = Equilibrate::row_column;
  all.direction = Direction::newton_schulz;
  all.adapt = Adapt::column;
  all.shape_scale = ShapeScale::moonlight;
  Lines lines;
  visit(all, lines);
  return lines.text;
}

void read_recipe(JsonObject& object, Recipe& recipe) {
  Reader reader{object};
  visit(recipe, reader);
  // One coefficient in the papers, two in Nora's code.
  if (!recipe.adamw && recipe.form == Form::ema && object.has("momentum") && !object.has("beta"))
    recipe.beta = recipe.momentum;
}

Json to_json(const Recipe& recipe) {
  Json json;
  json["name"] = recipe.name;
  if (recipe.variant != "code") json["variant"] = recipe.variant;
  Recipe copy = recipe;
  Writer writer{json};
  visit(copy, writer);
  return json;
}

void check_recipe(const JsonObject& object, const Recipe& r) {
  if (r.adamw) return;
  const bool by_axis = r.normalizes_axis(), by_steps = r.direction == Direction::newton_schulz;
  const bool balanced = r.equilibrate != Equilibrate::none && r.equilibrate != Equilibrate::sign;
  auto only = [&](const Names& keys, bool allowed, const char* why) {
    for (const std::string& key : keys)
      if (object.has(key) && !allowed) object.fail(key, fmt::format("has no effect here: {}", why));
  };
  only({"betas", "corrected_eps", "corrected_decay", "mars_gamma"}, false, "it is AdamW's; put it into \"adamw\"");
  only({"beta"}, r.form != Form::heavy_ball, "a heavy-ball buffer is multiplied by momentum itself");
  only({"nesterov"}, r.form != Form::lion, "lion looks ahead by its own rule");
  only({"raw_weights"}, r.project != Project::none, "project is none");
  only({"equilibrate_exponent", "equilibrate_eps", "equilibrate_clip"}, balanced, "equilibrate has no sums of squares");
  only({"phase"}, r.equilibrate == Equilibrate::row_column, "only equilibrate row_column changes its phase");
  only({"eps", "eps_mode"}, by_axis || r.project != Project::none,
       "it is that of project and of directions by the norms of an axis; the others are ns_eps, equilibrate_eps, "
       "adapt_eps");
  only({"ns_steps"}, by_steps, "only direction newton_schulz has steps");
  only({"ns_coefficients"}, by_steps, "only direction newton_schulz has coefficients");
  only({"ns_precision"}, by_steps, "only direction newton_schulz has products in either precision");
  only({"ns_eps", "ns_eps_mode", "ns_transpose"}, r.orthogonalizes(), "direction orthogonalizes nothing");
  only({"beta2", "adapt_eps"}, r.adapt != Adapt::none, "adapt is none, so there is no second moment");
  only({"adapt_eps_inside", "step_cap"}, r.scales_rate(), "adapt is neither matrix nor column");
  only({"clamp"}, r.adapt == Adapt::column, "only adapt column has a clamp");
  only({"scale"},
       r.shape_scale == ShapeScale::moonlight || r.shape_scale == ShapeScale::axis || r.shape_scale == ShapeScale::rms,
       "it multiplies shape_scale moonlight, axis and rms only");
  if (r.shape_scale == ShapeScale::rms && r.scales_rate())
    object.fail("shape_scale", "rms gives every update one norm, which is what adapt matrix and column choose");
  if (r.decay == Decay::adaptive && !r.scales_rate())
    object.fail("decay", "adaptive decay is multiplied by the factors of adapt matrix or column, and adapt is neither");
  if (r.shape_scale == ShapeScale::axis && !by_axis)
    object.fail("shape_scale",
                "axis is the length of the axis that direction normalizes, and this one normalizes none");
  if (r.project == Project::alternate && by_axis && r.direction != Direction::alternate_axis)
    object.fail("project", "alternate needs direction alternate_axis: a fixed axis would undo every other projection");
  if (r.form == Form::lion && r.direction != Direction::sign)
    object.fail("form", "lion's two mixtures of the gradient belong to direction sign");
}

std::string describe(const Recipe& r) {
  if (r.adamw)
    return fmt::format("adamw, betas {} {}, eps {}{}", r.beta1, r.beta2, r.eps,
                       r.mars_gamma > 0 ? fmt::format(", mars gamma {}", r.mars_gamma) : "");
  auto name = [](const Names& names, auto value) { return names[static_cast<size_t>(value)]; };
  std::string text = fmt::format("{} {}{}", name(form_names, r.form), r.momentum,
                                 r.nesterov && r.form != Form::lion ? " nesterov" : "");
  auto stage = [&](const char* label, const std::string& choice, bool on) {
    if (on) text += fmt::format(" > {}{}", label, choice);
  };
  stage("project ", name(project_names, r.project), r.project != Project::none);
  stage("equilibrate ", name(equilibrate_names, r.equilibrate), r.equilibrate != Equilibrate::none);
  stage("", name(direction_names, r.direction), r.direction != Direction::none);
  if (r.direction == Direction::newton_schulz) text += fmt::format(" {} x{}", r.ns_coefficients, r.ns_steps);
  stage("renormalize ", name(renormalize_names, r.renormalize), r.renormalize != Renormalize::none);
  stage("adapt ", name(adapt_names, r.adapt), r.adapt != Adapt::none);
  stage("scale ", name(shape_scale_names, r.shape_scale), r.shape_scale != ShapeScale::none);
  stage("", "adaptive decay", r.decay == Decay::adaptive);
  return text;
}

}  // namespace rowan
