// Recipe: one update rule, as the values of its stages' switches. Every named optimizer is a value of this type. Code
// that does not use the switches includes optim/config.h or optim/recipes.h instead, so it is not recompiled when a
// switch is added.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/json_fwd.h"
#include "optim/precision.h"
#include "optim/share.h"

namespace rowan {

struct Pace;

enum class Form : uint8_t { ema, heavy_ball, lion, nadam, sum, none };
constexpr auto names_of(Form) { return enum_names("ema", "heavy_ball", "lion", "nadam", "sum", "none"); }
// `both` projects along both axes, last along the axis that `alternate` would use in the same step.
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
// soap_momentum: SOAP's basis, with second moments of the momentum stage's update instead of the gradient.
enum class Precondition : uint8_t { none, soap, soap_momentum, kl_soap, kl_shampoo };
constexpr auto names_of(Precondition) { return enum_names("none", "soap", "soap_momentum", "kl_soap", "kl_shampoo"); }
// Whether the preconditioner's factors and basis are updated before or after the step that a gradient makes.
// `after`: both after the step. The first gradient only initializes factors and basis and makes no step. Exception:
// with `soap_momentum`, the first step uses the momentum without preconditioning. `before`: both before the step.
// `around`: the factors before the step, the basis after it. The first basis is computed before the first step.
enum class PreconditionOrder : uint8_t { after, before, around };
constexpr auto names_of(PreconditionOrder) { return enum_names("after", "before", "around"); }
enum class Basis : uint8_t { power, eigh };
constexpr auto names_of(Basis) { return enum_names("power", "eigh"); }
enum class Graft : uint8_t { none, adam };
constexpr auto names_of(Graft) { return enum_names("none", "adam"); }
// What repeats if a set of Newton-Schulz coefficients has fewer than ns_steps triples: its last triple, or all of them.
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
// How weight decay changes during a run: not at all, in proportion to the schedule's multiplier, or along a cosine to 0
// at the end of the run.
enum class DecayCourse : uint8_t { constant, rate, cosine };
constexpr auto names_of(DecayCourse) { return enum_names("constant", "rate", "cosine"); }
enum class Retract : uint8_t { none, frobenius, rows };
constexpr auto names_of(Retract) { return enum_names("none", "frobenius", "rows"); }
// Whether rows have magnitudes of their own (Muown), and whether weight decay then acts on the weights or on the
// magnitudes.
enum class Magnitudes : uint8_t { none, weights, magnitude };
constexpr auto names_of(Magnitudes) { return enum_names("none", "weights", "magnitude"); }
enum class Divide : uint8_t { add, clamp };
constexpr auto names_of(Divide) { return enum_names("add", "clamp"); }
// The dtype in which the factors, bases and roots of a preconditioner are stored.
enum class Kept : uint8_t { fp32, bf16 };
constexpr auto names_of(Kept) { return enum_names("fp32", "bf16"); }

// The coefficients a, b, c of one iteration X <- a X + (b A + c A^2) X, where A = X X^T.
using Quintic = std::array<double, 3>;

// Splits a parameter into blocks of consecutive rows, each of which is updated as a matrix of its own. With `heads` a
// block is one attention head, with `pairs` two heads. `heads` and `pairs` split attention's output projection into
// blocks of columns instead, because its columns belong to heads.
struct Blocks {
  enum class By : uint8_t { none, count, rows, heads, pairs };
  By by = By::none;
  int64_t count = 0;          // By::count: number of equal blocks
  std::vector<int64_t> rows;  // By::rows: number of rows of each block
  bool of_heads() const { return by == By::heads || by == By::pairs; }
};

// A momentum schedule: linear from `from` to Recipe::momentum over `steps` steps, then constant. While the learning
// rate decays, the momentum moves towards `end`, by the fraction Pace::fall of the difference.
struct MomentumCourse {
  double from = 0;  // initial momentum; 0: no schedule, the momentum is constant
  int64_t steps = 0;
  double end = 0;  // final momentum; 0: the momentum does not change while the learning rate decays
};

struct Recipe {
  std::string name = "recipe";
  std::string variant = "code";  // "code": as in the authors' program; "paper": as published
  bool adamw = false;            // true: AdamW; false: the stages below
  double lr = 1e-3;              // peak learning rate, which the schedule multiplies
  double weight_decay = 0;

  // AdamW.
  double beta1 = 0.9, beta2 = 0.95;  // the stages adapt, precondition, shampoo and magnitudes also use beta2
  double eps = 1e-8;                 // also used by the stage project and by directions that normalize an axis
  bool corrected_eps = true;  // true: add eps to the root of the bias-corrected v (as torch); false: to the root of v
  bool corrected_decay = false;  // true: decay is multiplied by lr sqrt(1 - beta2^t) / (1 - beta1^t) instead of lr

  // The switches of the stages. stages.h has the order in which the stages run.
  double width_scale = 0;  // lr of each matrix is multiplied by (inputs / width_base)^width_scale; 0: off
  double width_base = 1;
  DecayCourse decay_course = DecayCourse::constant;
  Blocks blocks;
  double mars_gamma = 0;  // above 0: stages and AdamW use MARS's corrected and clipped gradient
  Form form = Form::ema;
  double momentum = 0.95;
  MomentumCourse momentum_course;
  double beta = 0.95;  // coefficient of the momentum buffer if form is ema or lion
  bool nesterov = true;
  bool bias_correction = false;          // true: divide the update by 1 - beta^t
  double momentum_decay = 0.004;         // psi in the momentum schedule of form nadam
  bool momentum_last = false;            // true: the momentum buffer averages directions instead of gradients
  double slow_beta = 0, slow_alpha = 0;  // AdEMAMix's second average: coefficient (0: off) and weight
  int64_t slow_alpha_warmup = 0, slow_beta_warmup = 0;
  double select_fraction = 0, select_decay = 0.95;  // Dion2: fraction of rows or columns that is updated; 0: all
  Project project = Project::none;
  bool raw_weights = false;  // true: project along the weights w (Mano v2); false: along w / |w|
  Equilibrate equilibrate = Equilibrate::none;
  double equilibrate_exponent = -0.5, equilibrate_eps = 1e-8;
  double equilibrate_clip = 0;  // c > 0: the factors of rows and columns are clamped to [1 / c, c]; 0: unlimited
  int64_t phase = 0;            // row_column equilibrates only rows from this step on (counted from 1); 0: never
  Direction direction = Direction::none;
  Divide eps_mode = Divide::clamp;
  std::string ns_coefficients = "keller";  // a named set, or "list" for ns_list
  std::vector<Quintic> ns_list;
  int64_t ns_steps = 5;
  Repeat ns_repeat = Repeat::last;
  // true: iterate on the Gram matrix, if the update is not square. It takes fewer FLOPs, but rounds elsewhere and so
  // changes results, so no named recipe turns it on.
  bool ns_gram = false;
  Start ns_normalize = Start::frobenius;
  double ns_safety = 0;  // factor on the norm that divides the matrix; 0: the coefficient set's factor
  double ns_eps = 1e-7;
  Divide ns_eps_mode = Divide::add;
  bool ns_transpose = true;  // true: the Gram matrix of the shorter side; false: always the Gram matrix of the rows
  Precision ns_precision = Precision::automatic;
  int64_t balance_steps = 2;  // number of rounds of direction aurora
  double balance_exponent = 0.5, balance_eps = 1e-7;
  Precondition precondition = Precondition::none;
  PreconditionOrder precondition_order = PreconditionOrder::after;
  Basis basis = Basis::power;
  int64_t precondition_frequency = 10, max_precond_dim = 10000;
  double shampoo_beta = 0;  // coefficient of the EMA that makes the preconditioner's factors; 0: beta2
  double precondition_eps = 1e-8;
  Kept precondition_state = Kept::fp32;  // dtype of the preconditioner's factors, bases and roots
  bool one_sided = false, kl_factors = false, correct_bias = true, normalize_update = false, decay_last = false;
  double init_factor = 0.1, max_inverse_root = 0;  // max_inverse_root 0: the side's length, clamped to [10, 4000]
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
  double clamp = 0;     // the constant c of NAMO-D; 0: unlimited
  double step_cap = 0;  // NAMO's cap on the factors of the step and of adaptive decay; 0: unlimited
  ShapeScale shape_scale = ShapeScale::none;
  double scale = 0.2;                                    // factor in shape_scale moonlight, axis and rms
  double radius = 1;                                     // multiplies the step, in addition to the factor for the shape
  Precision direction_precision = Precision::automatic;  // bf16: round direction times shape factor before the step
  Decay decay = Decay::plain;
  DecayRate decay_rate = DecayRate::lr;
  Magnitudes magnitudes = Magnitudes::none;
  double magnitude_beta = 0.9, magnitude_eps = 1e-8;
  Retract retract = Retract::none;
  double retract_eps = 1e-10;

  // A copy with the momentum and weight decay of step `step` (from 0). `pace` is the schedule's Pace for this step.
  Recipe at(int64_t step, const Pace& pace) const;
  // The factor of lr for a matrix with `inputs` columns (width_scale).
  double width_factor(int64_t inputs) const;

  Atom atom() const;
  // Whether the direction normalizes rows or columns.
  bool normalizes_axis() const;
  // Whether Backend::normalized_step can make the recipe's whole step.
  bool fused() const;
  // Whether NAMO's factors multiply lr, both for the step and for adaptive decay.
  bool scales_rate() const { return adapt == Adapt::matrix || adapt == Adapt::column; }
  // Whether the coefficient of the momentum buffer follows a schedule. Corrections of its bias assume a constant one.
  bool momentum_moves() const {
    return momentum_course.from > 0 && (form == Form::heavy_ball || (form == Form::ema && beta == momentum));
  }
  bool orthogonalizes() const {
    return direction == Direction::newton_schulz || direction == Direction::polar || direction == Direction::aurora;
  }
  // Whether the first gradient only initializes the preconditioner and makes no step.
  bool skips_first() const;
  // Whether AdamW uses MARS's gradient, whose clipping needs sums over whole parameters.
  bool mars_adamw() const { return adamw && mars_gamma > 0; }
  bool cautious() const { return decay == Decay::cautious || decay == Decay::cautious_strict; }
};

// Overrides `recipe` with the switches in `object`; leaves other keys unread. Switches that then have no effect get
// their defaults. Throws Error if `object` sets a switch that has no effect, or an invalid value.
void read_recipe(JsonObject& object, Recipe& recipe);
// Throws Error through `object` if the switches contradict each other, and says why.
void check_recipe(const JsonObject& object, const Recipe& recipe);
// The recipe's name, its variant unless that is "code", and every switch that has an effect.
Json to_json(const Recipe& recipe);
// The stages and their switches: one line per switch, with its key and its possible values.
std::string describe_switches();
// Describes the stages in words: "heavy_ball 0.95 nesterov > equilibrate row > ...".
std::string describe(const Recipe& recipe);

// The names of Newton-Schulz coefficient sets. A recipe uses the first ns_steps triples of its set. If the set is
// shorter, its last triple or the whole set repeats (ns_repeat).
std::vector<std::string> coefficient_sets();
// The coefficients of every iteration of a recipe that orthogonalizes.
std::vector<Quintic> iterations(const Recipe& recipe);
// The safety factor: before the first iteration, a matrix is divided by its norm times this factor. Not used with
// ns_normalize aol.
double norm_safety(const Recipe& recipe);

const char* name_of(Atom atom);
// The number of rows of each block of a parameter; a single entry if its rows are not split. Throws Error if a number
// of blocks does not divide the rows, if a list of rows does not add up to them, or if the number of heads is odd with
// `pairs`.
std::vector<int64_t> block_rows(const Recipe& recipe, const Parameter& parameter);
// The number of equal blocks of columns in which a parameter is updated; 1 if its columns are not split. Throws Error
// if the number of heads is odd with `pairs`.
int64_t column_blocks(const Recipe& recipe, const Parameter& parameter);

}  // namespace rowan
