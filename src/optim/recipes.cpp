// The functions of recipes.h, and the first named recipes; recipes_field.cpp has the others. Settings follow the
// authors' released code where there is any. RecipeInfo::paper overrides the settings that differ in the paper.
#include "optim/recipes.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"
#include "optim/recipe.h"

namespace rowan {

namespace {

std::vector<RecipeInfo> all_recipes() {
  std::vector<RecipeInfo> all = {
      {"adamw",
       "Loshchilov and Hutter, arXiv 1711.05101; torch.optim.AdamW with the betas of the language-model papers",
       "everything",
       "m = b1 m + (1 - b1) g\nv = b2 v + (1 - b2) g^2\nw = (1 - lr wd) w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - "
       "b2^t)) + "
       "eps)",
       "Vectors (norms and biases) do not decay, as in nanoGPT. MuonEq's and RMNP's C4 code decays them too "
       "(vector_weight_decay). RMNP's and NAMO's GPT-2 code does not decay embeddings either (a group of role "
       "embedding). RMNP's C4 baseline uses eps 1e-10. MuonEq's uses eps 1e-6 on the uncorrected root "
       "(corrected_eps false).",
       R"({"lr": 1e-3, "weight_decay": 0.1, "betas": [0.9, 0.95], "eps": 1e-8})", nullptr,
       R"({"vector_weight_decay": 0})", "torch.optim.AdamW"},
      {"mars-adamw", "Yuan et al., MARS, arXiv 2411.10438; AGI-Arena/MARS mars.py, approximate form", "two_dimensional",
       "c = g + gamma b1 / (1 - b1) (g - g_previous)\nc = c / max(1, ||c||_F)\nAdamW on c",
       "Plain AdamW updates vectors, with its own rate and without decay. MuonEq's C4 scripts pass betas 0.9, 0.95. "
       "With bf16 weights, the code adds decay and step before it rounds; here each is rounded (precision bf16_pure).",
       R"({"lr": 3e-3, "weight_decay": 0.1, "betas": [0.95, 0.99], "eps": 1e-8, "mars_gamma": 0.025})", nullptr,
       R"({"lr": 3e-3, "vector_weight_decay": 0})", "the authors' mars.py"},
      {"lion", "Chen et al., arXiv 2302.06675; lion-pytorch", "everything",
       "u = sign(momentum m + (1 - momentum) g)\nm = beta m + (1 - beta) g\nw = (1 - lr wd) w - lr u", "None known.",
       R"({"lr": 1e-4, "weight_decay": 0, "form": "lion", "momentum": 0.9, "beta": 0.99, "direction": "sign"})",
       nullptr, R"({})"},
      {"sgdm", "torch.optim.SGD with momentum, decay decoupled", "everything",
       "m = momentum m + g\nw = (1 - lr wd) w - lr m",
       "Decay is decoupled as in the other recipes; torch adds it to the gradient.",
       R"({"lr": 0.1, "weight_decay": 0, "form": "heavy_ball", "momentum": 0.9, "nesterov": false, "direction": "none"})",
       nullptr, R"({})"},
      {"muon", "Jordan et al., kellerjordan.github.io/posts/muon; KellerJordan/Muon muon.py", "hidden",
       "m = momentum m + (1 - momentum) g\nu = (1 - momentum) g + momentum m\nO = NS5(u / (||u||_F + 1e-7))\n"
       "w = (1 - lr wd) w - lr sqrt(max(1, out / in)) O",
       "torch.optim.Muon clamps the norm at 1e-7 (ns_eps_mode clamp). RMNP's GPT-2 code keeps the momentum as a sum "
       "(form heavy_ball), which has the same direction, and rounds sqrt(max(1, out / in)) O to bf16 "
       "(direction_precision). All these programs run the iteration in bf16 for weights of any dtype (ns_precision "
       "bf16). Here the default is the dtype of the weights (ns_precision auto).",
       R"({"lr": 0.02, "weight_decay": 0, "momentum": 0.95, "nesterov": true, "direction": "newton_schulz",
           "shape_scale": "keller"})",
       nullptr, R"({"lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-10})",
       "KellerJordan/Muon's muon.py and torch.optim.Muon"},
      {"muon-moonlight", "Liu et al., Muon is scalable for LLM training, arXiv 2502.16982; MoonshotAI/Moonlight",
       "hidden",
       "m = momentum m + g\nu = g + momentum m\nO = NS5(u / (||u||_F + 1e-7))\nw = (1 - lr wd) w - lr 0.2 "
       "sqrt(max(out, "
       "in)) O",
       "MuonEq's C4 scripts run it without Nesterov as `muon` and with Nesterov as `muon-nesterov`. NAMO's copy keeps "
       "the momentum as an EMA, and its AdamW half does not decay.",
       R"({"lr": 1e-3, "weight_decay": 0.1, "form": "heavy_ball", "momentum": 0.95, "nesterov": true,
           "direction": "newton_schulz", "shape_scale": "moonlight"})",
       nullptr, R"({"betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "MuonEq's and NAMO's copies of it"},
      {"rmnp", "Deng et al., RMNP, arXiv 2603.20527; Dominator-Index/RMNP LLaMA/optimizers/RMNP_optimizer.py", "hidden",
       "m = beta m + (1 - beta) g\nu = (1 - momentum) g + momentum m\nd_i = u_i / max(|u_i|, eps) for each row\n"
       "w = (1 - lr wd) w - lr sqrt(max(1, out / in)) d",
       "The printed rule has no Nesterov, no shape factor and no decay (variant paper). The README adds eps to the "
       "norm (eps_mode add). The GPT-2 code keeps the momentum as a sum (form heavy_ball), rounds sqrt(max(1, out / "
       "in)) d to bf16 (direction_precision), and does not decay matrices. It also updates embeddings by RMNP (routing "
       "two_dimensional); the C4 code calls this rmnp_all. The AdamW half decays by the bias-corrected step and uses "
       "eps 1e-10 (1e-8 for GPT-2) on the uncorrected root. In all C4 runs it has the rate of the matrices, which is "
       "the default here.",
       R"({"lr": 5e-3, "weight_decay": 0.1, "momentum": 0.95, "nesterov": true, "direction": "row_normalize",
           "eps": 1e-12, "shape_scale": "keller"})",
       R"({"nesterov": false, "shape_scale": "none", "weight_decay": 0})",
       R"({"betas": [0.9, 0.95], "eps": 1e-10, "corrected_eps": false, "corrected_decay": true})",
       "the authors' LLaMA and GPT-2 code"},
      {"nora", "Yuan et al., Nora, arXiv 2605.03769; Yuan-Jinghui/Nora nora.py", "hidden",
       "m = beta m + (1 - beta) g\nu = (1 - momentum) g + momentum m\nt_i = w_i / max(|w_i|, eps)\n"
       "v_i = u_i - <u_i, t_i> t_i\nd_i = v_i / max(|v_i|, eps)\nw = (1 - lr wd) w - lr sqrt(max(1, out / in)) d",
       "The printed algorithm has neither Nesterov nor the shape factor (variant paper). Weight decay is 0 in the "
       "class and the paper, 0.1 in the README. The authors' second package is nora-opt. An early version projected "
       "along raw weights (raw_weights). The code updates fp32 weights with fp32 state in every precision. Rowan does "
       "so with the precisions fp32, tf32 and bf16.",
       R"({"lr": 5e-3, "weight_decay": 0, "momentum": 0.95, "beta": 0.95, "nesterov": true, "project": "rows",
           "direction": "row_normalize", "eps": 1e-10, "shape_scale": "keller"})",
       R"({"nesterov": false, "shape_scale": "none"})",
       R"({"lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-10, "corrected_eps": false, "corrected_decay": true})",
       "the authors' nora.py"},
      {"namo", "Zhang, Liu, Schaeffer, NAMO, arXiv 2602.17080; minxin-zhg/namo src/namo.py", "hidden",
       "m = momentum m + (1 - momentum) g\nu = (1 - momentum) g + momentum m\nv = beta2 v + (1 - beta2) ||g||_F^2\n"
       "O = NS5(u / (||u||_F + 1e-7))\na = lr sqrt(1 - beta2^t) / (1 - momentum^t) ||u||_F / (sqrt(v) + eps)\n"
       "w = (1 - wd min(a, 1)) w - min(0.2 sqrt(max(out, in)) a, 1) O",
       "The paper prints no Nesterov, no shape factor and no caps, and weight decay 0.01 (variant paper). In the paper "
       "AdamW updates only scalars and vectors (routing two_dimensional); in the code it also updates embeddings. The "
       "first release had eps inside the root (adapt_eps_inside), with which the tables may have been made. The AdamW "
       "half shares lr and does not decay. The code rounds the step a O to bf16; here direction_precision bf16 rounds "
       "0.2 sqrt(max(out, in)) O.",
       R"({"lr": 0.01, "weight_decay": 0.1, "momentum": 0.95, "nesterov": true, "direction": "newton_schulz",
           "adapt": "matrix", "beta2": 0.99, "adapt_eps": 1e-8, "step_cap": 1, "shape_scale": "moonlight",
           "decay": "adaptive"})",
       R"({"nesterov": false, "shape_scale": "none", "step_cap": null, "weight_decay": 0.01})",
       R"({"weight_decay": 0, "betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "the authors' namo.py"},
      {"namo-d", "Zhang, Liu, Schaeffer, NAMO-D, arXiv 2602.17080; minxin-zhg/namo src/namo.py", "hidden",
       "m, u, O as namo\nv_j = beta2 v_j + (1 - beta2) |g_:j|^2 for each column\nq_j = |u_:j| / (sqrt(v_j) + eps)\n"
       "q_j = min(max(q_j, c mean q), mean q / c)\na_j = lr sqrt(1 - beta2^t) / (1 - momentum^t) q_j\n"
       "w_:j = (1 - wd min(a_j, 1)) w_:j - min(0.2 sqrt(max(out, in)) a_j, 1) O_:j",
       "As namo, but its code does not round the step. c (clamp) is 0.75 in the class and 0.01 in the released "
       "settings. In the paper it is 0.1 for 124M parameters and 0.9 for 355M. null means no clamp.",
       R"({"lr": 0.01, "weight_decay": 0.1, "momentum": 0.95, "nesterov": true, "direction": "newton_schulz",
           "adapt": "column", "beta2": 0.99, "adapt_eps": 1e-8, "clamp": 0.75, "step_cap": 1,
           "shape_scale": "moonlight", "decay": "adaptive"})",
       R"({"nesterov": false, "shape_scale": "none", "step_cap": null, "weight_decay": 0.01, "clamp": 0.1})",
       R"({"weight_decay": 0, "betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "the authors' namo.py"},
      {"muoneq-r", "Chang et al., MuonEq, arXiv 2603.28254; MaeChd/muon-eq muoneq.py, mode row", "hidden",
       "m = momentum m + g\nu = g + momentum m\nv_ij = u_ij (sum_j u_ij^2 + eps)^(-1/2)\nO = NS5(v / (||v||_F + "
       "1e-7))\n"
       "w = (1 - lr wd) w - lr 0.2 sqrt(max(out, in)) O",
       "The paper's algorithm is an EMA without Nesterov (variant paper). Its theory has momentum 1 - t^(-1/2) and "
       "rate t^(-3/4); its runs have constant momentum and a cosine. eps 1e-8 belongs to the sum form of the momentum, "
       "2.5e-11 = 1e-8 (1 - momentum)^2 to the EMA (variant paper). "
       "The code also has exponent -1/4 (equilibrate_exponent) and bounds on the factors (equilibrate_clip). Its class "
       "has AdamW betas 0.95, 0.95; every script passes 0.9, 0.95. Its scripts also try another start, spc "
       "(zeropower_mode): v / ||(v v^T)^2||_F^(1/4). This is ns_normalize gram, without the 1e-7 that the code adds to "
       "the norm. Row and column sums are fp32 here, bf16 in the code.",
       R"({"lr": 1e-3, "weight_decay": 0.1, "form": "heavy_ball", "momentum": 0.95, "nesterov": true,
           "equilibrate": "row", "direction": "newton_schulz", "shape_scale": "moonlight"})",
       R"({"form": "ema", "momentum": 0.95, "nesterov": false, "equilibrate_eps": 2.5e-11})",
       R"({"betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "the authors' muoneq.py"},
      {"muoneq-c", "Chang et al., MuonEq, arXiv 2603.28254; MaeChd/muon-eq muoneq.py, mode col", "hidden",
       "as muoneq-r with v_ij = u_ij (sum_i u_ij^2 + eps)^(-1/2)", "As muoneq-r.",
       R"({"lr": 1e-3, "weight_decay": 0.1, "form": "heavy_ball", "momentum": 0.95, "nesterov": true,
           "equilibrate": "column", "direction": "newton_schulz", "shape_scale": "moonlight"})",
       R"({"form": "ema", "momentum": 0.95, "nesterov": false, "equilibrate_eps": 2.5e-11})",
       R"({"betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "the authors' muoneq.py"},
      {"muoneq-rc", "Chang et al., MuonEq, arXiv 2603.28254; MaeChd/muon-eq muoneq.py, mode rowcol", "hidden",
       "as muoneq-r with v_ij = u_ij (sum_j u_ij^2 + eps)^(-1/2) (sum_i u_ij^2 + eps)^(-1/2), both sums of the same "
       "u;\n"
       "with phase p: this while t < p, muoneq-r from step p on (t from 1)",
       "As muoneq-r. A docstring says that phase belongs to mode row; the code reads it for rowcol only, as here.",
       R"({"lr": 1e-3, "weight_decay": 0.1, "form": "heavy_ball", "momentum": 0.95, "nesterov": true,
           "equilibrate": "row_column", "direction": "newton_schulz", "shape_scale": "moonlight"})",
       R"({"form": "ema", "momentum": 0.95, "nesterov": false, "equilibrate_eps": 2.5e-11})",
       R"({"betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "the authors' muoneq.py"},
      {"mano", "Gu and Xie, Mano, arXiv 2601.23000; xie-lab-ml/Mano mano.py", "hidden",
       "m = momentum m + g\nk = columns on the first step, rows on the second, and so on\nt = w / max(|w|_k, eps)\n"
       "v = m - <m, t>_k t\nd = v / max(|v|_k, eps)\nw = (1 - lr wd) w - lr 0.2 sqrt(length of k) d",
       "In the paper odd steps use columns, as the first step of the code does; its notation reverses this in one "
       "place. The first release advanced k with every matrix instead of every step. With an even number of matrices, "
       "each matrix then kept one axis (groups whose project and direction use one axis do the same). Nora's authors "
       "run it with shape_scale keller, eps 1e-10 and the AdamW half of nora.",
       R"({"lr": 1e-3, "weight_decay": 0.1, "form": "heavy_ball", "momentum": 0.95, "nesterov": false,
           "project": "alternate", "direction": "alternate_axis", "eps": 1e-8, "shape_scale": "axis"})",
       nullptr, R"({"betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "the authors' mano.py"},
      {"mano-v2", "Gu and Xie, Mano v2; xie-lab-ml/Mano mano_v2.py", "hidden",
       "as mano with u = g + momentum m, v = u - <u, w>_k w (raw weights) and d = v / (|v|_k + eps)",
       "Not in the paper. With raw weights, v is tangent only where |w|_k = 1. The README suggests both axes in every "
       "step, which is mano-both.",
       R"({"lr": 1e-3, "weight_decay": 0.1, "form": "heavy_ball", "momentum": 0.95, "nesterov": true,
           "project": "alternate", "raw_weights": true, "direction": "alternate_axis", "eps": 1e-8,
           "eps_mode": "add", "shape_scale": "axis"})",
       nullptr, R"({"betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "the authors' mano_v2.py"},
      {"normuon", "Li et al., NorMuon, arXiv 2510.05491; zichongli5/NorMuon", "hidden",
       "m, u, O as muon\nv_i = beta2 v_i + (1 - beta2) mean_j O_ij^2\nr_i = 1 / (sqrt(v_i) + eps)\n"
       "O_i = r_i O_i, rescaled to the Frobenius norm it had\nw = (1 - lr wd) w - lr sqrt(max(1, out / in)) O",
       "The paper has no Nesterov and gives every update elements of root mean square 0.2 (variant paper).",
       R"({"lr": 0.02, "weight_decay": 0, "momentum": 0.95, "nesterov": true, "direction": "newton_schulz",
           "adapt": "row_moment", "beta2": 0.95, "adapt_eps": 1e-10, "shape_scale": "keller"})",
       R"({"nesterov": false, "shape_scale": "rms"})", R"({"lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-10})",
       "the authors' normuon.py"},
      {"adamuon", "Si et al., AdaMuon, arXiv 2507.11005; Chongjie-Si/AdaMuon as run by MaeChd/muon-eq", "hidden",
       "m = momentum m + g\nu = g + momentum m\nO = NS5(sign(u))\nv = beta2 v + (1 - beta2) O^2\n"
       "O = O / (sqrt(v) + eps), rescaled to Frobenius norm 0.2 sqrt(out in)\nw = (1 - lr wd) w - lr O",
       "beta2 is a switch of its own here; MuonEq's copy uses momentum for it. The authors' first release has an EMA, "
       "no sign, beta2 0.999, and a bias correction of v, which the rescaling cancels.",
       R"({"lr": 1e-3, "weight_decay": 0.1, "form": "heavy_ball", "momentum": 0.95, "nesterov": true,
           "equilibrate": "sign", "direction": "newton_schulz", "adapt": "element_moment", "beta2": 0.95,
           "adapt_eps": 1e-8, "shape_scale": "rms"})",
       nullptr, R"({"betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "MuonEq's copy of it"},
      {"muon-plus", "Muon+, arXiv 2602.21545, as run by MaeChd/muon-eq muonplus", "hidden",
       "m = momentum m + (1 - momentum) g\nO = NS5(m / (||m||_F + 1e-7))\nO: columns divided by their norms, then "
       "rows\n"
       "w = (1 - lr wd) w - lr sqrt(out / in) O",
       "The code ignores its nesterov argument. The norms of columns and rows have 1e-8 inside the root. The rate is "
       "ours. The authors' own program (K1seki221/MuonPlus) keeps the momentum as a sum with Nesterov (form "
       "heavy_ball); its configs have rows before columns at lr 0.005, 0.04 and 0.1, and this order at 0.01.",
       R"({"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95, "nesterov": false, "direction": "newton_schulz",
           "renormalize": "column_row", "shape_scale": "ratio"})",
       nullptr, R"({"lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})", "MuonEq's muonplus"},
  };
  all.insert(all.end(), recipes_of_the_field.begin(), recipes_of_the_field.end());
  return all;
}

void read_settings(const std::string& name, const char* text, Recipe& recipe) {
  auto source = std::make_shared<JsonSource>(JsonSource{"the recipe " + name, text});
  Json json = parse_json(*source);
  JsonObject object(source, json);
  read_recipe(object, recipe);
  object.finish();
}

}  // namespace

const std::vector<RecipeInfo>& recipes() {
  static const std::vector<RecipeInfo> all = all_recipes();
  return all;
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const RecipeInfo& info : recipes()) names.push_back(info.name);
  return names;
}

const RecipeInfo& find_recipe(const std::string& name) {
  for (const RecipeInfo& info : recipes())
    if (name == info.name) return info;
  std::vector<std::string> allowed = recipe_names();
  allowed.push_back("recipe");
  fail("unknown optimizer '{}'{} (allowed: {})", name, did_you_mean(name, allowed), join(allowed));
}

bool has_adamw_setting(const std::string& name, const char* key) {
  if (name == "recipe") return false;
  const RecipeInfo& info = find_recipe(name);
  return try_parse_json(info.adamw).contains(key) || (info.base && has_adamw_setting(info.base, key));
}

std::string family_of(const RecipeInfo& info) {
  if (std::string(info.name).starts_with("track3-")) return "entries of track 3 of modded-nanogpt";
  const Recipe r = named_recipe(info.name);
  if (r.retract != Retract::none || r.magnitudes != Magnitudes::none) return "weights on spheres";
  if (r.precondition != Precondition::none || r.shampoo) return "eigenbases";
  if (r.orthogonalizes()) return "orthogonal directions";
  return r.normalizes_axis() ? "normalized rows and columns" : "element by element";
}

namespace {

void apply_settings(const RecipeInfo& info, Recipe& recipe) {
  if (info.base) apply_settings(find_recipe(info.base), recipe);
  read_settings(recipe.name, info.settings, recipe);
}

}  // namespace

Recipe named_recipe(const std::string& name, const std::string& variant) {
  Recipe recipe;
  recipe.name = name;
  recipe.variant = variant;
  if (name == "recipe") return recipe;
  const RecipeInfo& info = find_recipe(name);
  recipe.adamw = name == "adamw" || name == "mars-adamw";
  if (variant == "paper" && !info.paper) fail("variant: found 'paper' for {}, expected code", name);
  apply_settings(info, recipe);
  if (variant == "paper") read_settings(name, info.paper, recipe);
  return recipe;
}

const char* name_of(Atom atom) {
  static const char* const names[] = {"element", "row", "matrix"};
  return names[static_cast<int>(atom)];
}

}  // namespace rowan
