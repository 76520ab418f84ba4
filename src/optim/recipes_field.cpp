// The named recipes that are not in recipes.cpp. A recipe with a base has the settings and AdamW of its base, except
// for those that it overrides.
#include "optim/recipes.h"

namespace rowan {
namespace {

// The AdamW settings that several entries of modded-nanogpt's track 3 share.
constexpr const char* track3_adamw =
    R"({"lr": 0.003125, "embedding_lr": 0.3, "vector_lr": 0.01, "weight_decay": 0, "betas": [0.8, 0.95],
         "eps": 1.9073486328125e-16})";

}  // namespace

const std::vector<RecipeInfo> recipes_of_the_field = {
    {.name = "nanochat",
     .source = "Karpathy, nanochat nanochat/optim.py at 92d63d4 (MuonEq, Muon+, NorMuon and cautious decay)",
     .routing = "hidden",
     .rule = "m = momentum m + (1 - momentum) g\nu = (1 - momentum) g + momentum m\n"
             "u_i = u_i (||u||_F / sqrt(out)) / max(|u_i|, 1e-6)\nx = NS5(u / (1.01 ||u||_F + 1e-6))\n"
             "x = x sqrt(min(out, in)) / max(||x||_F, 1e-6)\n"
             "v = beta2 v + (1 - beta2) mean x^2 over the shorter side\n"
             "x = x / (sqrt(v) + 1e-10), with the norm it had\na = lr sqrt(max(1, out / in))\n"
             "w = w - a x - a wd w [x w >= 0]",
     .deviations = "Momentum goes from 0.85 to 0.97 over 400 steps, and to 0.9 while the rate falls. Weight decay "
                   "follows a cosine to 0. The rate of its runs is constant after 40 steps and falls to 0.05 of it "
                   "over the last 0.65 of the steps (schedule wsd, min_lr_ratio 0.05). Its rates are for a width of "
                   "768 and its own batch. Betas and decay of its AdamW differ by parameter there; here they are those "
                   "of the head. A group gives the embedding its own: "
                   "{\"roles\": [\"embedding\"], \"name\": \"adamw\", \"lr\": 0.3, \"betas\": [0.8, 0.995], "
                   "\"weight_decay\": 0.001}. Its learned scalars (rates 0.005 and 0.5) are not in Rowan's models.",
     .settings = R"({"lr": 0.02, "weight_decay": 0.28, "decay_course": "cosine", "momentum": {"from": 0.85, "to": 0.97,
         "steps": 400, "end": 0.9}, "nesterov": true, "equilibrate": "row_mean", "equilibrate_eps": 1e-6,
         "direction": "newton_schulz", "ns_coefficients": "polar_express_5", "ns_safety": 1.01, "ns_eps":
         1e-6, "renormalize": "frobenius", "renormalize_eps": 1e-6, "adapt": "long_moment", "beta2": 0.9,
         "adapt_eps": 1e-10, "shape_scale": "keller", "decay": "cautious", "decay_rate": "scaled_lr"})",
     .adamw = R"({"lr": 0.008, "embedding_lr": 0.3, "weight_decay": 0.01, "vector_weight_decay": 0, "betas": [0.8,
         0.96], "eps": 1e-10})",
     .checked = "nanochat's MuonAdamW"},
    {.name = "muon-h",
     .source = "Hyperball, arXiv 2606.16899; modded-nanogpt track 3, 20260430_muonh",
     .routing = "hidden",
     .rule = "u, O as muon, with 12 steps of (2, -1.5, 0.5)\nr = ||w||_F\nw = w - lr r O / ||O||_F\n"
             "w = r w / ||w||_F",
     .deviations =
         "lr is an angle; no shape factor has an effect. The paper fixes r at the norm of the initial weights; like "
         "the script, Rowan measures r in every step. Weights must not be zero. Step and retraction are one pass.",
     .settings = R"({"lr": 0.018, "ns_coefficients": "track3", "ns_steps": 12, "shape_scale": "none", "retract":
         "frobenius"})",
     .adamw = R"({"betas": [0.8, 0.95]})",
     .checked = "modded-nanogpt's script",
     .base = "muon"},
    {.name = "normuon-h",
     .source = "Hyperball, arXiv 2606.16899; modded-nanogpt track 3, 20260430_normuonh",
     .routing = "hidden",
     .rule = "O as muon-h, divided by the root of the second moment of the longer side (normuon)\nw as muon-h",
     .deviations = "As muon-h.",
     .settings = R"({"adapt": "long_moment", "beta2": 0.95, "adapt_eps": 1e-10})",
     .checked = "modded-nanogpt's script",
     .base = "muon-h"},
    {.name = "adam-h",
     .source = "Hyperball, arXiv 2606.16899; modded-nanogpt track 3, 20260430_adamh",
     .routing = "hidden",
     .rule = "u = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)\nw as muon-h, with u for O",
     .deviations = "As muon-h.",
     .settings = R"({"momentum": 0.9, "nesterov": false, "bias_correction": true, "direction": "none", "adapt":
         "gradient_moment", "beta2": 0.95, "adapt_eps": 1e-8})",
     .checked = "modded-nanogpt's script",
     .base = "muon-h"},
    {.name = "turbo-muon",
     .source = "Boissin et al., Turbo-Muon, arXiv 2512.04632; thib-s/flash-newton-schulz at cdb03db",
     .routing = "hidden",
     .rule = "m, u as muon\nx_i = u_i / sqrt(max(sum_j |(u u^T)_ij|, 1e-7)) on the shorter side\nO = NS4(x)\nw as muon",
     .deviations =
         "The four steps have coefficients fitted to this start. The set `aol` is another one, from "
         "Emerging-Optimizers, which uses it without this start and repeats the whole set (ns_repeat all). 1e-7 "
         "(ns_eps) limits sums of squared gradients, as in the code, which divides by no Frobenius norm first. "
         "A row whose sum is smaller gets a shorter step; where gradients are that small, lower ns_eps.",
     .settings = R"({"ns_normalize": "aol", "ns_steps": 4, "ns_coefficients": [[4.6051, -9.6552, 5.6769], [4.7505,
         -6.0861, 2.1790], [2.7763, -2.3190, 0.5523], [2.4231, -2.2861, 0.8193]]})",
     .checked = "the authors' newton_schulz_triton_aol",
     .base = "muon"},
    {.name = "aurora",
     .source = "Aurora, arXiv 2606.27715; tilde-research/aurora-release src/aurora.py at 3d79a5c",
     .routing = "hidden",
     .rule = "u as muon\nsquare: O = NS(u); else, rows being those of the longer side:\nd_i = 1 / |u_i|\n"
             "twice: O = NS(diag(d) u), between them d_i = d_i ((short / long) / |O_i|^2)^0.5\n"
             "w = (1 - lr wd) w - lr sqrt(max(1, out / in)) O",
     .deviations = "A wide matrix gets balanced columns, as in the code. The code raises an error if a step is not "
                   "finite. Riemannian Aurora is another rule.",
     .settings = R"({"lr": 0.05, "weight_decay": 0.025, "direction": "aurora", "ns_coefficients": "track3", "ns_steps":
         12})",
     .checked = "the authors' aurora.py",
     .base = "muon"},
    {.name = "polargrad",
     .source = "Lau et al., PolarGrad, arXiv 2505.21799; timlautk/polargrad polar_grad.py at 79f3c6f",
     .routing = "hidden",
     .rule = "m = momentum m + (1 - momentum) g\nO = the polar factor of m\nw = (1 - lr wd) w - lr <m, O> O",
     .deviations = "The code's polar_first is momentum_last here: m is an average of the gradients' polar factors. The "
                   "code's default iteration, two inner steps of QDWH, stops far from the polar factor; the iteration "
                   "here converges to it.",
     .settings = R"({"nesterov": false, "direction": "polar", "shape_scale": "nuclear"})",
     .checked = "the authors' polar_grad.py",
     .base = "muon"},
    {.name = "mars-m",
     .source = "Liu et al., MARS-M, arXiv 2510.21800; AGI-Arena/MARS MARS_M/optimizers/mars_m.py at 4831e28, "
               "approximate form",
     .routing = "hidden",
     .rule = "c = g + gamma momentum / (1 - momentum) (g - g_previous)\nc = c / max(1, ||c||_F)\n"
             "m = momentum m + (1 - momentum) c\n"
             "w = (1 - lr wd) w - lr 0.2 sqrt(max(out, in)) NS5(m / (||m||_F + 1e-7))",
     .deviations =
         "No Nesterov. The code does not read its clip_c and always clips. Its exact form needs a second gradient of "
         "each batch and is left out. Rate and decay are those of its GPT-2 small; the class has 1e-3 and 0.1.",
     .settings = R"({"lr": 6e-3, "weight_decay": 0.01, "mars_gamma": 0.025, "nesterov": false, "shape_scale":
         "moonlight"})",
     .adamw = R"({"lr": 6e-3, "betas": [0.9, 0.95], "eps": 1e-8, "corrected_eps": false})",
     .checked = "the authors' mars_m.py",
     .base = "muon"},
    {.name = "mano-both",
     .source = "Gu and Xie, Mano; the README of xie-lab-ml/Mano at b78b952, 14 March 2026",
     .routing = "hidden",
     .rule = "u as mano-v2; k, l = columns, rows on the first step, rows, columns on the second, and so on\n"
             "v = u - <u, w>_l w, then v - <v, w>_k w\nd = v / max(|v|_l, eps), then d / max(|d|_k, eps)\n"
             "w = (1 - lr wd) w - lr 0.2 sqrt(length of k) d",
     .deviations = "The README gives projection and normalization; all other stages are those of mano-v2.",
     .settings = R"({"project": "both", "direction": "both_axes", "eps_mode": "clamp"})",
     .checked = "the code in the authors' README",
     .base = "mano-v2"},
    {.name = "nora-opt",
     .source = "Yuan et al., Nora; the authors' second package, Yuan-Jinghui/nora-opt 0.1.0",
     .routing = "two_dimensional",
     .rule = "m = momentum m + (1 - momentum) g\nv_i = m_i - <m_i, w_i> w_i / max(|w_i|^2, eps)\n"
             "d_i = v_i / max(|v_i|, eps)\nw = (1 - lr wd) w - lr d",
     .deviations = "It updates every matrix, including embeddings, without Nesterov and shape factor. eps bounds |w_i| "
                   "here and |w_i|^2 there, so rows shorter than 1e-4 are projected differently.",
     .settings = R"({"lr": 1e-3, "momentum": 0.9, "nesterov": false, "eps": 1e-8, "shape_scale": "none"})",
     .adamw = R"({"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "corrected_eps": true, "corrected_decay": false})",
     .checked = "the authors' nora/optimizer.py",
     .base = "nora"},
    {.name = "muown",
     .source = "Muown, arXiv 2605.10797; kcc-lion/muown optim/muown.py at 3bd0c05",
     .routing = "hidden",
     .rule = "w_i = s_i v_i / |v_i| for each row\nds_i = <g_i, w_i> / s_i\n"
             "dv_i = (s_i / |v_i|) (g_i - its part along w_i)\n"
             "v = v - lr 0.2 sqrt(max(out, in)) NS5(momentum of dv)\ns by Adam, at the same lr\n"
             "w_i = s_i v_i / |v_i|, less lr wd of what it was",
     .deviations = "Decay acts on the weights, as in the single-process class (magnitudes weights). The data-parallel "
                   "class also decays the magnitudes. Emerging-Optimizers decays only the magnitudes (magnitudes "
                   "magnitude). Blocks of rows are switched on by blocks, not by the shape. A zero row stays zero; "
                   "there it is 0 / 0.",
     .settings = R"({"lr": 3e-4, "weight_decay": 0, "magnitudes": "weights", "magnitude_beta": 0.9, "beta2": 0.95,
         "magnitude_eps": 1e-8, "form": "heavy_ball", "momentum": 0.95, "nesterov": true, "direction":
         "newton_schulz", "shape_scale": "moonlight", "scale": 0.2})",
     .adamw = R"({"betas": [0.9, 0.95], "eps": 1e-8})",
     .checked = "the authors' muown.py"},
    {.name = "soap",
     .source = "Vyas et al., SOAP, arXiv 2409.11321; nikhilvyas/SOAP soap.py at a1e5535",
     .routing = "hidden",
     .rule = "first gradient: L = (1 - b) g g^T, R = (1 - b) g^T g, Q their eigenvectors; w stays. Then, k "
             "counting steps:\nm = b1 m + (1 - b1) g\ng' = Q_L^T g Q_R\nv = b2 v + (1 - b2) g'^2\n"
             "u = Q_L (Q_L^T m Q_R / (sqrt(v) + eps)) Q_R^T\n"
             "w = (1 - lr wd) (w - lr sqrt(1 - b2^k) / (1 - b1^k) u)\nL = b L + (1 - b) g g^T, R likewise\n"
             "every f steps: the columns of Q by falling diag(Q^T L Q), v with them; Q = QR(L Q)",
     .deviations = "The momentum buffer stays in the parameter's space, which is equivalent. A side longer than "
                   "max_precond_dim has no basis; with one_sided the longer side has none. The authors update all "
                   "parameters by SOAP; here AdamW updates embeddings, head and vectors. NVIDIA's Emerging-Optimizers "
                   "has precondition_order before, modded-nanogpt has around.",
     .settings = R"({"lr": 3e-3, "weight_decay": 0.01, "form": "ema", "momentum": 0.95, "nesterov": false,
         "precondition": "soap", "beta2": 0.95, "precondition_frequency": 10, "precondition_eps": 1e-8,
         "decay_last": true})",
     .adamw = R"({"betas": [0.95, 0.95], "eps": 1e-8})",
     .checked = "the authors' soap.py"},
    {.name = "soap-muon",
     .source = "Vyas, SOAP-Muon, nikhilvyas.github.io/SOAP_Muon.pdf; modded-nanogpt track 3, "
               "20260504_contra_muon_mlp_soapish",
     .routing = "hidden",
     .rule = "m, u as muon; L, R, Q as soap\np = Q_L^T u Q_R\nv = beta2 v + (1 - beta2) p^2\n"
             "O = NS(Q_L (p / (sqrt(v) + eps)) Q_R^T)\n"
             "w as muon; then L and R take g, and every f steps the basis moves",
     .deviations =
         "The first step is Muon's. The script uses this rule for the MLP only, together with Contra-Muon, NorMuon's "
         "moments and a floor of the step's size. It gives the preconditioned momentum the norm that it had before. "
         "Here its elements have root mean square 1, which differs only through Newton-Schulz's eps. Later records "
         "move the basis in every step.",
     .settings = R"({"lr": 0.0375, "precondition": "soap_momentum", "beta2": 0.9, "precondition_frequency": 10,
         "precondition_eps": 1e-8, "normalize_update": true, "ns_coefficients": "track3", "ns_steps": 12})",
     .adamw = R"({"betas": [0.8, 0.95]})",
     .checked = "modded-nanogpt's script",
     .base = "muon"},
    {.name = "kl-soap",
     .source = "Lin et al., KL-SOAP, arXiv 2509.03378; yorkerlin/KL-Methods kl_opt.py at a02e622",
     .routing = "hidden",
     .rule = "first gradient: L = (1 - b) g g^T / in, R likewise, Q their eigenvectors, e = 0.1; w stays. Then\n"
             "u = Q_L (Q_L^T m Q_R / (sqrt(v) + eps)) Q_R^T as soap, no bias corrected\n"
             "w = (1 - lr wd) (w - lr u)\nL = b L + (1 - b) g Q_R diag(1 / e_R) Q_R^T g^T / in, R likewise\n"
             "e_L = b e_L + (1 - b) mean_j g'_ij^2 / e_R,j, e_R likewise\nevery f steps: Q = QR(L Q)",
     .deviations = "1 / sqrt(e) is at most the side's length, between 10 and 4000 (max_inverse_root null). The code "
                   "keeps its state in bf16. Here L, R, Q and e are fp32 by default; m and v have the dtype of the "
                   "optimizer's state.",
     .settings = R"({"lr": 1e-4, "weight_decay": 0.01, "form": "ema", "momentum": 0.9, "nesterov": false,
         "precondition": "kl_soap", "beta2": 0.98, "precondition_frequency": 10, "decay_last": true})",
     .adamw = R"({"betas": [0.9, 0.98], "eps": 1e-8})",
     .checked = "the authors' kl_opt.py"},
    {.name = "kl-shampoo",
     .source = "Lin et al., KL-Shampoo, arXiv 2509.03378; yorkerlin/KL-Methods kl_opt.py at a02e622",
     .routing = "hidden",
     .rule = "as kl-soap, with u = Q_L (Q_L^T m Q_R / (sqrt(e_L e_R^T) + eps)) Q_R^T",
     .deviations = "As kl-soap. `init_factor` and 1 / `max_inverse_root`^2 are in units of squared gradients; where "
                   "these are far below 0.1, a smaller `init_factor` and a larger `max_inverse_root` are better.",
     .settings = R"({"precondition": "kl_shampoo"})",
     .checked = "the authors' kl_opt.py",
     .base = "kl-soap"},
    {.name = "shampoo",
     .source = "Gupta et al., Shampoo, arXiv 1802.09568; facebookresearch/optimizers DistributedShampoo at f606606",
     .routing = "hidden",
     .rule = "m = EMA(g, b1) / (1 - b1^t)\nL = EMA(g g^T, b2), R = EMA(g^T g, b2), both over 1 - b2^t\n"
             "u = (L + eps I)^(-1/4) m (R + eps I)^(-1/4), roots taken every f steps from step f on\n"
             "u = u |d|_F / |u|_F, d = m / (sqrt(v / (1 - b2^t)) + eps')\nw = (1 - lr wd) w - lr u",
     .deviations = "Before the first roots the step is Adam's. Small dimensions are not merged. The settings are those "
                   "of modded-nanogpt's track 3, 20260513_shampoo_1_4_power.",
     .settings = R"({"lr": 1.5e-3, "weight_decay": 0.2, "form": "ema", "momentum": 0.9, "nesterov": false,
         "bias_correction": true, "shampoo": true, "beta2": 0.95, "precondition_frequency": 5,
         "shampoo_start": 5, "max_precond_dim": 8192, "precondition_eps": 1e-12, "shampoo_exponent": -0.25,
         "graft": "adam", "graft_eps": 1e-10})",
     .adamw = R"({"betas": [0.9, 0.95], "eps": 1e-10})",
     .checked = "Meta's DistributedShampoo"},
    {.name = "dion2",
     .source = "Ahn et al., Dion2, arXiv 2512.16928; microsoft/dion dion/dion2.py at 0a059a4",
     .routing = "hidden",
     .rule = "m = m + g\n"
             "keep the ceil(fraction min(out, in)) rows (columns, if those are fewer) of m with the largest sums "
             "of magnitudes\nO = NS5 of them\ntheir part of m = 0.95 of it\n"
             "w = (1 - lr wd) w - lr sqrt(out / in) O",
     .deviations =
         "The shape factor is that of the whole matrix. The selection does not depend on the number of ranks (scope "
         "global in the code). Rows that are not kept are zeros here. This gives the same results, but a step costs "
         "as much as Muon's.",
     .settings = R"({"lr": 0.01, "weight_decay": 0.01, "form": "sum", "select_fraction": 0.25, "select_decay": 0.95,
         "direction": "newton_schulz", "ns_coefficients": "polar_express_5", "ns_eps": 1e-8, "shape_scale":
         "ratio"})",
     .adamw = R"({"lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-8})",
     .checked = "the authors' dion2.py"},
    {.name = "scion",
     .source = "Pethick et al., Scion, arXiv 2502.07529; LIONS-EPFL/scion scion.py at f58a393",
     .routing = "hidden",
     .rule = "m = momentum m + (1 - momentum) g\nw = (1 - lr wd) w - lr radius sqrt(out / in) NS5(m)",
     .deviations = "With weight decay 1, the weights stay in the ball of the radius. Weight decay 0 is the "
                   "unconstrained rule. The authors update embedding and head by scion-sign (a group), and start from "
                   "orthogonal matrices.",
     .settings = R"({"lr": 0.000244140625, "weight_decay": 1, "momentum": 0.9, "nesterov": false, "direction":
         "newton_schulz", "shape_scale": "ratio", "radius": 50})",
     .adamw = R"({"lr": 3e-4, "weight_decay": 0, "betas": [0.9, 0.95], "eps": 1e-8})",
     .checked = "the authors' scion.py"},
    {.name = "scion-sign",
     .source = "Pethick et al., Scion, arXiv 2502.07529; LIONS-EPFL/scion scion.py at f58a393",
     .routing = "two_dimensional",
     .rule = "m = momentum m + (1 - momentum) g\nw = (1 - lr wd) w - lr radius sign(m) / in",
     .deviations = "As scion.",
     .settings = R"({"direction": "sign", "shape_scale": "inputs", "radius": 3000})",
     .checked = "the authors' scion.py",
     .base = "scion"},
    {.name = "ademamix",
     .source = "Pagliardini et al., AdEMAMix, arXiv 2409.03137; apple/ml-ademamix pytorch/ademamix.py at c3d73c0",
     .routing = "everything",
     .rule = "m = b1 m + (1 - b1) g\ns = b3 s + (1 - b3) g\nv = b2 v + (1 - b2) g^2\n"
             "w = (1 - lr wd) w - lr (m / (1 - b1^t) + alpha s) / (sqrt(v / (1 - b2^t)) + eps)",
     .deviations = "The settings are those of the README's example, with its weight decay of 0.1; the class has alpha "
                   "2 and no decay. In the README, b3 and alpha warm up over the whole run (slow_beta_warmup, "
                   "slow_alpha_warmup, in steps).",
     .settings = R"({"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.9, "nesterov": false, "bias_correction": true,
         "slow_beta": 0.9999, "slow_alpha": 8, "adapt": "gradient_moment", "beta2": 0.999, "adapt_eps": 1e-8})",
     .checked = "the authors' ademamix.py"},
    {.name = "nadamw",
     .source = "Dozat 2016, decay decoupled; torch.optim.NAdam with decoupled_weight_decay",
     .routing = "everything",
     .rule = "mu_t = b1 (1 - 0.96^(t psi) / 2)\nm = b1 m + (1 - b1) g\nv = b2 v + (1 - b2) g^2\n"
             "u = mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t)\n"
             "w = (1 - lr wd) w - lr u / (sqrt(v / (1 - b2^t)) + eps)",
     .deviations = "The rule and defaults of torch, except for weight decay, which is 0 there. Other programs use this "
                   "name for Nesterov's Adam without the schedule of mu.",
     .settings = R"({"lr": 2e-3, "weight_decay": 0.1, "form": "nadam", "momentum": 0.9, "momentum_decay": 0.004,
         "adapt": "gradient_moment", "beta2": 0.999, "adapt_eps": 1e-8})",
     .checked = "torch.optim.NAdam"},
    {.name = "signum",
     .source = "Bernstein et al., signSGD, arXiv 1802.04434; Emerging-Optimizers signum.py at fd77292",
     .routing = "everything",
     .rule = "m = momentum m + (1 - momentum) g\nw = (1 - lr wd) w - lr sign(m)",
     .deviations = "sign(0) is 0.",
     .settings = R"({"lr": 1e-4, "weight_decay": 0.1, "momentum": 0.9, "nesterov": false, "direction": "sign"})",
     .checked = "Emerging-Optimizers' signum.py"},
    {.name = "track3-muon",
     .source = "modded-nanogpt track 3, entry 36, records/track_3_optimization/results/20260610_tuned_baseline_3250 "
               "at f411b3d",
     .routing = "hidden",
     .rule = "as muon, with 12 steps of (2, -1.5, 0.5)",
     .deviations = "A loss there is a sum over the 524288 targets of a step, here a mean, so every eps is divided by "
                   "524288. The rate is constant, then falls linearly to 0 over the last 0.7 of 3250 steps (schedule "
                   "wsd).",
     .settings = R"({"lr": 0.025, "weight_decay": 0.05, "ns_coefficients": "track3", "ns_steps": 12, "ns_eps":
         1.9073486328125e-13})",
     .adamw = R"({"lr": 0.004, "embedding_lr": 0.7, "vector_lr": 0.015, "weight_decay": 0.001, "betas": [0.8, 0.95],
         "eps": 1.9073486328125e-16})",
     .checked = "modded-nanogpt's script",
     .base = "muon"},
    {.name = "track3-normuon",
     .source = "modded-nanogpt track 3, entry 10, records/track_3_optimization/results/20260503_normuon at f411b3d",
     .routing = "hidden",
     .rule = "as track3-muon, divided by the root of the second moment of the longer side (normuon)",
     .deviations = "Every eps is divided as in track3-muon. The schedule is that of track3-muon, over 3300 steps.",
     .settings = R"({"lr": 0.035, "weight_decay": 0.025, "adapt": "long_moment", "beta2": 0.95, "adapt_eps": 1e-10})",
     .adamw = track3_adamw,
     .checked = "modded-nanogpt's script",
     .base = "track3-muon"},
    {.name = "track3-muon-h",
     .source = "modded-nanogpt track 3, entry 37, "
               "records/track_3_optimization/results/20260611_muonh_tuned_aux_3250 at f411b3d",
     .routing = "hidden",
     .rule = "as muon-h",
     .deviations = "Every eps is divided as in track3-muon. The matrices' rate falls over the whole run, AdamW's over "
                   "its last 0.85 (a schedule of groups). The initial weights, those of the head too, are normal with "
                   "standard deviation sqrt(0.33 / in), times 1.25 (o), 3 and 1.5 (MLP); all biases are 0. "
                   "models/track3_162m_hyperball.json starts as entries 4, 5, 8 and 27 do, not as this one.",
     .settings = R"({"ns_eps": 1.9073486328125e-13})",
     .adamw = R"({"lr": 0.0064, "embedding_lr": 0.91, "vector_lr": 0.0195, "weight_decay": 0.001, "eps":
         1.9073486328125e-16})",
     .checked = "modded-nanogpt's script",
     .base = "muon-h"},
    {.name = "track3-normuon-h",
     .source = "modded-nanogpt track 3, entry 8, records/track_3_optimization/results/20260430_normuonh at f411b3d",
     .routing = "hidden",
     .rule = "as normuon-h",
     .deviations = "Every eps is divided as in track3-muon. The matrices' rate falls over the whole run. AdamW's rates "
                   "fall over the last 0.4 of the run there (a schedule of groups).",
     .settings = R"({"ns_eps": 1.9073486328125e-13})",
     .adamw = track3_adamw,
     .checked = "modded-nanogpt's script",
     .base = "normuon-h"},
    {.name = "track3-adam-h",
     .source = "modded-nanogpt track 3, entry 4, records/track_3_optimization/results/20260430_adamh at f411b3d",
     .routing = "hidden",
     .rule = "as adam-h",
     .deviations = "Every eps is divided as in track3-muon. The matrices' rate rises over 250 steps, and is then on a "
                   "line that falls from the first step to the last (schedule linear, falls_from start). AdamW's rates "
                   "fall over the last 0.4 of the run there (a schedule of groups).",
     .settings = R"({"adapt_eps": 1.9073486328125e-14})",
     .adamw = track3_adamw,
     .checked = "modded-nanogpt's script",
     .base = "adam-h"},
    {.name = "track3-soap-h",
     .source = "modded-nanogpt track 3, entry 27, records/track_3_optimization/results/20260518_soaph at f411b3d",
     .routing = "hidden",
     .rule = "the first gradient's basis; u as soap, without bias corrections, factors before the step, the basis "
             "after it\nr = ||w||_F\nw = w - lr r u / ||u||_F\nw = r w / ||w||_F",
     .deviations = "Every eps is divided as in track3-muon. The matrices' rate there is lr (1 - s / 3200)^1.25 at step "
                   "s of 3125; no schedule here has this shape. AdamW's rates fall over the last 0.4 of the run there "
                   "(a schedule of groups). Entry 19, KL-SOAP with this step, is left out, because its initial values "
                   "fit only the scale of its own gradients.",
     .settings = R"({"lr": 0.018, "weight_decay": 0, "beta2": 0.9, "precondition_order": "around",
         "precondition_frequency": 1, "precondition_eps": 1.9073486328125e-14, "correct_bias": false,
         "decay_last": false, "retract": "frobenius"})",
     .adamw = track3_adamw,
     .checked = "modded-nanogpt's script",
     .base = "soap"},
    {.name = "track3-shampoo",
     .source = "modded-nanogpt track 3, entry 21, records/track_3_optimization/results/20260513_shampoo_1_4_power "
               "at f411b3d",
     .routing = "hidden",
     .rule = "as shampoo",
     .deviations = "Every eps is divided as in track3-muon. No dimension there is short enough to be merged. The "
                   "schedule is that of track3-muon, over 4150 steps.",
     .settings = R"({"precondition_eps": 3.637978807091713e-24, "graft_eps": 1.9073486328125e-16})",
     .adamw = track3_adamw,
     .checked = "Meta's DistributedShampoo",
     .base = "shampoo"},
};

}  // namespace rowan
