// Recipe: one update rule, resolved to its stages' switches. Every optimizer of the papers is a value of this type;
// the named ones are data in recipes.cpp, written in the same JSON keys a config overrides them with.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/json.h"
#include "model/parameters.h"
#include "optim/schedule.h"
#include "optim/share.h"

namespace rowan {

enum class Form : uint8_t { ema, heavy_ball, lion, nadam, sum, none };
constexpr auto names_of(Form) { return enum_names("ema", "heavy_ball", "lion", "nadam", "sum", "none"); }
// `both`: the axis of `alternate` after the other one.
enum class Project : uint8_t { none, rows, columns, alternate, both };
constexpr auto names_of(Project) { return enum_names("none", "rows", "columns", "alternate", "both"); }
enum class Equilibrate : uint8_t { none, row, column, row_column, sign, row_mean };
constexpr auto names_of(Equilibrate) { return enum_names("none", "row", "column", "row_column", "sign", "row_mean"); }
enum class Direction : uint8_t {
  newton_schulz,
  polar,
  aurora,
  row_normalize,
  column_normalize,
  alternate_axis,
  both_axes,
  sign,
  none
};
constexpr auto names_of(Direction) {
  return enum_names("newton_schulz", "polar", "aurora", "row_normalize", "column_normalize", "alternate_axis",
                    "both_axes", "sign", "none");
}
// soap_momentum: SOAP's basis, with second moments of the momentum instead of the gradient.
enum class Precondition : uint8_t { none, soap, soap_momentum, kl_soap, kl_shampoo };
constexpr auto names_of(Precondition) { return enum_names("none", "soap", "soap_momentum", "kl_soap", "kl_shampoo"); }
// Factors and basis take a gradient after its step (and the first makes no step), before it, or factors before and the
// basis after.
enum class PreconditionOrder : uint8_t { after, before, around };
constexpr auto names_of(PreconditionOrder) { return enum_names("after", "before", "around"); }
enum class Basis : uint8_t { power, eigh };
constexpr auto names_of(Basis) { return enum_names("power", "eigh"); }
enum class Graft : uint8_t { none, adam };
constexpr auto names_of(Graft) { return enum_names("none", "adam"); }
// Of Newton-Schulz's coefficients when there are more steps than coefficients.
enum class Repeat : uint8_t { last, all };
constexpr auto names_of(Repeat) { return enum_names("last", "all"); }
enum class Start : uint8_t { frobenius, aol, gram };
constexpr auto names_of(Start) { return enum_names("frobenius", "aol", "gram"); }
enum class Renormalize : uint8_t { none, row, column, column_row, row_column, frobenius };
constexpr auto names_of(Renormalize) {
  return enum_names("none", "row", "column", "column_row", "row_column", "frobenius");
}
enum class Adapt : uint8_t { none, matrix, column, row_moment, long_moment, element_moment, gradient_moment };
constexpr auto names_of(Adapt) {
  return enum_names("none", "matrix", "column", "row_moment", "long_moment", "element_moment", "gradient_moment");
}
enum class ShapeScale : uint8_t { none, keller, moonlight, axis, ratio, rms, mean_dimension, inputs, nuclear };
constexpr auto names_of(ShapeScale) {
  return enum_names("none", "keller", "moonlight", "axis", "ratio", "rms", "mean_dimension", "inputs", "nuclear");
}
enum class Decay : uint8_t { plain, adaptive, cautious, cautious_strict };
constexpr auto names_of(Decay) { return enum_names("plain", "adaptive", "cautious", "cautious_strict"); }
enum class DecayRate : uint8_t { lr, scaled_lr, lr_scaled_lr };
constexpr auto names_of(DecayRate) { return enum_names("lr", "scaled_lr", "lr_scaled_lr"); }
// What weight decay follows beside its peak: nothing, the schedule of the rate, or a cosine to 0 at the end of the run.
enum class DecayCourse : uint8_t { constant, rate, cosine };
constexpr auto names_of(DecayCourse) { return enum_names("constant", "rate", "cosine"); }
enum class Retract : uint8_t { none, frobenius, rows };
constexpr auto names_of(Retract) { return enum_names("none", "frobenius", "rows"); }
// What decays.
enum class Magnitudes : uint8_t { none, weights, magnitude };
constexpr auto names_of(Magnitudes) { return enum_names("none", "weights", "magnitude"); }
enum class Divide : uint8_t { add, clamp };
constexpr auto names_of(Divide) { return enum_names("add", "clamp"); }
enum class Precision : uint8_t { automatic, f32, bf16 };
constexpr auto names_of(Precision) { return enum_names("auto", "f32", "bf16"); }

// What is kept from step to step.
enum class Kept : uint8_t { f32, bf16 };
constexpr auto names_of(Kept) { return enum_names("f32", "bf16"); }

// One iteration of X <- a X + (b A + c A^2) X, A = X X^T.
using Quintic = std::array<double, 3>;

// Consecutive rows of a parameter that are a matrix each, for all but momentum and elementwise decay; by heads and
// pairs also columns, where the inputs are heads.
struct Blocks {
  enum class By : uint8_t { none, count, rows, heads, pairs };
  By by = By::none;
  int64_t count = 0;          // of equal blocks
  std::vector<int64_t> rows;  // of each block
};

// A momentum that changes: from `from` in a line to the recipe's over `steps`, and to `end` while the rate falls.
struct MomentumCourse {
  double from = 0;  // 0: off
  int64_t steps = 0;
  double end = 0;  // 0: none
};

struct Recipe {
  std::string name = "recipe";
  std::string variant = "code";  // or "paper": the printed rule
  bool adamw = false;            // AdamW; else the stages below
  double lr = 1e-3;              // peak; a schedule multiplies it
  double weight_decay = 0;

  // AdamW.
  double beta1 = 0.9, beta2 = 0.95;  // beta2 is also that of `adapt`
  double eps = 1e-8;                 // also of the norms of project and direction
  bool corrected_eps = true;         // eps beside the root of the bias-corrected v (torch), else of v itself
  bool corrected_decay = false;      // decay multiplies the bias-corrected step instead of lr

  // Stages, in order.
  double width_scale = 0;  // lr times (inputs / width_base)^width_scale, for each matrix; 0: off
  double width_base = 1;
  DecayCourse decay_course = DecayCourse::constant;
  Blocks blocks;
  double mars_gamma = 0;  // > 0: MARS's corrected and clipped gradient, of AdamW too
  Form form = Form::ema;
  double momentum = 0.95;
  MomentumCourse momentum_course;
  double beta = 0.95;  // of the buffer, for ema and lion
  bool nesterov = true;
  bool bias_correction = false;          // the buffer over 1 - beta^t
  double momentum_decay = 0.004;         // nadam's psi
  bool momentum_last = false;            // the buffer is of directions, not of gradients
  double slow_beta = 0, slow_alpha = 0;  // AdEMAMix's second average and its weight; 0: off
  int64_t slow_alpha_warmup = 0, slow_beta_warmup = 0;
  double select_fraction = 0, select_decay = 0.95;  // Dion2; 0: off
  Project project = Project::none;
  bool raw_weights = false;  // project along w itself (Mano v2), not w / |w|
  Equilibrate equilibrate = Equilibrate::none;
  double equilibrate_exponent = -0.5, equilibrate_eps = 1e-8;
  double equilibrate_clip = 0;  // 0: off
  int64_t phase = 0;            // row_column before this step (from 1), row from then on; 0: off
  Direction direction = Direction::none;
  Divide eps_mode = Divide::clamp;
  std::string ns_coefficients = "keller";  // a named set, or "list"
  std::vector<Quintic> ns_list;
  int64_t ns_steps = 5;
  Repeat ns_repeat = Repeat::last;
  bool ns_gram = false;  // iterate on the Gram matrix of the short side
  Start ns_normalize = Start::frobenius;
  double ns_safety = 0;  // of the norm; 0: that of the coefficients
  double ns_eps = 1e-7;
  Divide ns_eps_mode = Divide::add;
  bool ns_transpose = true;  // Gram matrix on the short side
  Precision ns_precision = Precision::automatic;
  int64_t balance_steps = 2;  // aurora's rounds
  double balance_exponent = 0.5, balance_eps = 1e-7;
  Precondition precondition = Precondition::none;
  PreconditionOrder precondition_order = PreconditionOrder::after;
  Basis basis = Basis::power;
  int64_t precondition_frequency = 10, max_precond_dim = 10000;
  double shampoo_beta = 0;  // of the factors; 0: beta2
  double precondition_eps = 1e-8;
  Kept precondition_state = Kept::f32;  // of factors, bases and roots
  bool one_sided = false, kl_factors = false, correct_bias = true, normalize_update = false, decay_last = false;
  double init_factor = 0.1, max_inverse_root = 0;  // 0: by the side's length
  bool whole_first_factor = false;
  bool shampoo = false;
  int64_t shampoo_start = 1;
  double shampoo_exponent = -0.25;
  Graft graft = Graft::none;
  double graft_eps = 1e-10;
  Renormalize renormalize = Renormalize::none;
  double renormalize_eps = 1e-8;
  Adapt adapt = Adapt::none;
  double adapt_eps = 1e-8;
  bool adapt_eps_inside = false;
  double clamp = 0;     // NAMO-D's c; 0: off
  double step_cap = 0;  // NAMO's cap on step and decay; 0: off
  ShapeScale shape_scale = ShapeScale::none;
  double scale = 0.2;                                    // of moonlight, axis and rms
  double radius = 1;                                     // multiplies the step beside the shape's factor
  Precision direction_precision = Precision::automatic;  // bf16: direction times shape factor rounded before the step
  Decay decay = Decay::plain;
  DecayRate decay_rate = DecayRate::lr;
  Magnitudes magnitudes = Magnitudes::none;
  double magnitude_beta = 0.9, magnitude_eps = 1e-8;
  Retract retract = Retract::none;
  double retract_eps = 1e-10;

  // With the momentum and the decay of a step (from 0) of a run that stands at `pace`.
  Recipe at(int64_t step, const Pace& pace) const;
  // Multiplies lr for a matrix of so many inputs.
  double width_factor(int64_t inputs) const;

  Atom atom() const;
  // Direction by the norms of rows or columns.
  bool normalizes_axis() const;
  // Nothing but momentum, projection and such norms: runs as one pass over memory.
  bool fused() const;
  // NAMO's factors multiply lr, of the step and of adaptive decay.
  bool scales_rate() const { return adapt == Adapt::matrix || adapt == Adapt::column; }
  bool orthogonalizes() const {
    return direction == Direction::newton_schulz || direction == Direction::polar || direction == Direction::aurora;
  }
  // The first gradient makes a basis, and no step.
  bool skips_first() const;
  // MARS before AdamW, whose clip needs sums over whole parameters.
  bool mars_adamw() const { return adamw && mars_gamma > 0; }
  bool cautious() const { return decay == Decay::cautious || decay == Decay::cautious_strict; }
};

// A named recipe, for people and as data.
struct RecipeInfo {
  const char* name;
  const char* source;           // paper and code
  const char* routing;          // what it takes by default: hidden, two_dimensional or everything
  const char* rule;             // formulas
  const char* deviations;       // paper against code, and ours
  const char* settings;         // JSON
  const char* paper = nullptr;  // JSON of the overrides of "variant": "paper", or nullptr when it prints no other rule
  const char* adamw = "{}";     // JSON of the AdamW half: lr, weight_decay, ... ; absent keys are those of the matrices
  const char* checked = nullptr;  // whose program it was held against
  const char* base = nullptr;     // the recipe whose settings and AdamW these override
};

extern const std::vector<RecipeInfo> recipes_of_the_field;

const std::vector<RecipeInfo>& recipes();
std::vector<std::string> recipe_names();
// Throws Error naming the nearest recipe.
const RecipeInfo& find_recipe(const std::string& name);
// Of a recipe in the list of `rowan optimizers`.
std::string family_of(const RecipeInfo& info);
// The recipe as named; "recipe" is the one to compose from, with every stage off.
Recipe named_recipe(const std::string& name, const std::string& variant = "code");

// Overrides `recipe` with the keys of `object` that name its switches; leaves other keys unread.
void read_recipe(JsonObject& object, Recipe& recipe);
// Throws Error, through `object`, when the switches contradict each other; says why.
void check_recipe(const JsonObject& object, const Recipe& recipe);
// Every switch that matters for the recipe, in the keys that read_recipe reads.
Json to_json(const Recipe& recipe);
// One line for each switch of a recipe of stages: its key and what it may be.
std::string describe_switches();
// The stages in words: "heavy-ball momentum 0.95 with Nesterov -> row equilibration -> ...".
std::string describe(const Recipe& recipe);

// Coefficient sets of Newton-Schulz by name; a recipe takes the first ns_steps, and repeats the last or all of them.
std::vector<std::string> coefficient_sets();
// The iterations of a recipe that orthogonalizes.
std::vector<Quintic> iterations(const Recipe& recipe);
// What the norm is multiplied by before it divides: the safety factor that comes with some sets.
double norm_safety(const Recipe& recipe);

const char* name_of(Atom atom);
// Rows of each block of a parameter; its own where it is one. Throws Error when they do not divide it.
std::vector<int64_t> block_rows(const Recipe& recipe, const Parameter& parameter);
// Equal blocks of columns that a parameter is updated in; 1 where it is not.
int64_t column_blocks(const Recipe& recipe, const Parameter& parameter);

}  // namespace rowan
