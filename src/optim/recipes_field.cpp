// The named recipes of others than the mission's papers: what reviewers ask a new method to be compared with.
#include "optim/recipe.h"

namespace rowan {

const std::vector<RecipeInfo> recipes_of_the_field = {
    {"nanochat", "Karpathy, nanochat nanochat/optim.py at 92d63d4 (MuonEq, Muon+, NorMuon and cautious decay)",
     "hidden",
     "m = momentum m + (1 - momentum) g\nu = (1 - momentum) g + momentum m\n"
     "u_i = u_i (||u||_F / sqrt(out)) / max(|u_i|, 1e-6)\nx = NS5(u / (1.01 ||u||_F + 1e-6))\n"
     "x = x sqrt(min(out, in)) / max(||x||_F, 1e-6)\n"
     "v = beta2 v + (1 - beta2) mean x^2 over the shorter side\nx = x / (sqrt(v) + 1e-10), with the norm it had\n"
     "a = lr sqrt(max(1, out / in))\nw = w - a x - a wd w [x w >= 0]",
     "Momentum goes from 0.85 to 0.97 over 400 steps and to 0.9 while the rate falls, decay along a cosine to 0; the "
     "rate "
     "of its runs is constant after 40 steps and falls over the last 0.65 of them (schedule wsd). Its rates are for a "
     "width of 768 and its own batch; AdamW has 0.3 for the embedding and 0.008 for the head "
     "there, "
     "with betas of their own (groups); here one AdamW has the head's.",
     R"({"lr": 0.02, "weight_decay": 0.28, "decay_course": "cosine",
         "momentum": {"from": 0.85, "to": 0.97, "steps": 400, "end": 0.9}, "nesterov": true, "equilibrate": "row_mean",
         "equilibrate_eps": 1e-6, "direction": "newton_schulz", "ns_coefficients": "polar_express_5",
         "ns_safety": 1.01, "ns_eps": 1e-6, "renormalize": "frobenius", "renormalize_eps": 1e-6,
         "adapt": "long_moment", "beta2": 0.9, "adapt_eps": 1e-10, "shape_scale": "keller", "decay": "cautious",
         "decay_rate": "scaled_lr"})",
     nullptr, R"({"lr": 0.008, "weight_decay": 0.01, "vector_weight_decay": 0, "betas": [0.8, 0.96], "eps": 1e-10})",
     "nanochat's MuonAdamW"},
    {"muon-h", "Hyperball, arXiv 2606.16899; modded-nanogpt track 3, 20260430_muonh", "hidden",
     "u, O as muon, with 12 steps of (2, -1.5, 0.5)\nr = ||w||_F\nw = w - lr r O / ||O||_F\nw = r w / ||w||_F",
     "lr is an angle; no shape factor has an effect. The paper fixes r at the first weights' norm; as the script, this "
     "measures it again. Weights must not be zero. Step and retraction are one pass.",
     R"({"lr": 0.018, "weight_decay": 0, "momentum": 0.95, "nesterov": true, "direction": "newton_schulz",
         "ns_coefficients": "track3", "ns_steps": 12, "retract": "frobenius"})",
     nullptr, R"({"lr": 3e-4, "betas": [0.8, 0.95], "eps": 1e-10})", "modded-nanogpt's script"},
    {"normuon-h", "Hyperball, arXiv 2606.16899; modded-nanogpt track 3, 20260430_normuonh", "hidden",
     "O as muon-h, divided by the root of the second moment of the longer side (normuon)\nw as muon-h", "As muon-h.",
     R"({"lr": 0.018, "weight_decay": 0, "momentum": 0.95, "nesterov": true, "direction": "newton_schulz",
         "ns_coefficients": "track3", "ns_steps": 12, "adapt": "long_moment", "beta2": 0.95, "adapt_eps": 1e-10,
         "retract": "frobenius"})",
     nullptr, R"({"lr": 3e-4, "betas": [0.8, 0.95], "eps": 1e-10})", "modded-nanogpt's script"},
    {"adam-h", "Hyperball, arXiv 2606.16899; modded-nanogpt track 3, 20260430_adamh", "hidden",
     "u = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)\nw as muon-h, with u for O", "As muon-h.",
     R"({"lr": 0.018, "weight_decay": 0, "momentum": 0.9, "nesterov": false, "bias_correction": true,
         "adapt": "gradient_moment", "beta2": 0.95, "adapt_eps": 1e-8, "retract": "frobenius"})",
     nullptr, R"({"lr": 3e-4, "betas": [0.8, 0.95], "eps": 1e-10})", "modded-nanogpt's script"},
    {"turbo-muon", "Boissin et al., Turbo-Muon, arXiv 2512.04632; thib-s/flash-newton-schulz at cdb03db", "hidden",
     "m, u as muon\nx_i = u_i / sqrt(sum_j |(u u^T)_ij|) on the shorter side\nO = NS4(x)\nw as muon",
     "Four steps with coefficients fitted to this start. The set `aol` is another one, of Emerging-Optimizers, run "
     "there without the start.",
     R"({"lr": 0.02, "weight_decay": 0, "momentum": 0.95, "nesterov": true, "direction": "newton_schulz",
         "ns_normalize": "aol", "ns_steps": 4, "shape_scale": "keller", "ns_coefficients":
         [[4.6051, -9.6552, 5.6769], [4.7505, -6.0861, 2.1790], [2.7763, -2.3190, 0.5523], [2.4231, -2.2861, 0.8193]]})",
     nullptr, R"({"lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-10})", "the authors' newton_schulz_triton_aol"},
    {"aurora", "Aurora, arXiv 2606.27715; tilde-research/aurora-release src/aurora.py at 3d79a5c", "hidden",
     "u as muon\nsquare: O = NS(u); else, rows being those of the longer side:\nd_i = 1 / |u_i|\ntwice: O = NS(diag(d) "
     "u), between them d_i = d_i ((short / long) / |O_i|^2)^0.5\nw = (1 - lr wd) w - lr sqrt(max(1, out / in)) O",
     "A wide matrix gets balanced columns, as in the code. The code raises when a step is not finite. Riemannian "
     "Aurora "
     "is another rule.",
     R"({"lr": 0.05, "weight_decay": 0.025, "momentum": 0.95, "nesterov": true, "direction": "aurora",
         "ns_coefficients": "track3", "ns_steps": 12, "shape_scale": "keller"})",
     nullptr, R"({"lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-10})", "the authors' aurora.py"},
    {"polargrad", "Lau et al., PolarGrad, arXiv 2505.21799; timlautk/polargrad polar_grad.py at 79f3c6f", "hidden",
     "m = momentum m + (1 - momentum) g\nO = the polar factor of m\nw = (1 - lr wd) w - lr <m, O> O",
     "polar_first of the code is momentum_last: m is an average of the gradients' factors. The code's default "
     "iteration, two inner steps of QDWH, stops far from the polar factor; here it is reached.",
     R"({"lr": 0.02, "weight_decay": 0, "momentum": 0.95, "nesterov": false, "direction": "polar",
         "shape_scale": "nuclear"})",
     nullptr, R"({"lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-10})", "the authors' polar_grad.py"},
    {"muown", "Muown, arXiv 2605.10797; kcc-lion/muown optim/muown.py at 3bd0c05", "hidden",
     "w_i = s_i v_i / |v_i| for each row\nds_i = <g_i, w_i> / s_i\ndv_i = (s_i / |v_i|) (g_i - its part along w_i)\n"
     "v = v - lr 0.2 sqrt(max(out, in)) NS5(momentum of dv)\ns by Adam, at the same lr\nw_i = s_i v_i / |v_i|, less lr "
     "wd of what it was",
     "Decay acts on the weights, as in the single-process class (magnitudes weights); its data-parallel class decays "
     "the magnitudes too, Emerging-Optimizers them alone (magnitudes magnitude). Blocks of rows are switched on by "
     "blocks, not by the shape. A zero row, 0 / 0 there, stays zero.",
     R"({"lr": 3e-4, "weight_decay": 0, "magnitudes": "weights", "magnitude_beta": 0.9, "beta2": 0.95,
         "magnitude_eps": 1e-8, "form": "heavy_ball", "momentum": 0.95, "nesterov": true,
         "direction": "newton_schulz", "shape_scale": "moonlight", "scale": 0.2})",
     nullptr, R"({"betas": [0.9, 0.95], "eps": 1e-8})", "the authors' muown.py"},
    {"soap", "Vyas et al., SOAP, arXiv 2409.11321; nikhilvyas/SOAP soap.py at a1e5535", "hidden",
     "first gradient: L = (1 - b) g g^T, R = (1 - b) g^T g, Q their eigenvectors; w stays. Then, k counting steps:\n"
     "m = b1 m + (1 - b1) g\ng' = Q_L^T g Q_R\nv = b2 v + (1 - b2) g'^2\nu = Q_L (Q_L^T m Q_R / (sqrt(v) + eps)) "
     "Q_R^T\n"
     "w = (1 - lr wd) (w - lr sqrt(1 - b2^k) / (1 - b1^k) u)\nL = b L + (1 - b) g g^T, R likewise\n"
     "every f steps: the columns of Q by falling diag(Q^T L Q), v with them; Q = QR(L Q)",
     "The buffer stays in the parameter's space, which is the same. A side longer than max_precond_dim has no basis; "
     "one_sided leaves the longer one out. The authors give it all parameters; here AdamW has embeddings and head. The "
     "orders of NVIDIA's Emerging-Optimizers and of modded-nanogpt are precondition_order before and around.",
     R"({"lr": 3e-3, "weight_decay": 0.01, "form": "ema", "momentum": 0.95, "nesterov": false, "precondition": "soap",
         "beta2": 0.95, "precondition_frequency": 10, "precondition_eps": 1e-8, "decay_last": true})",
     nullptr, R"({"betas": [0.95, 0.95], "eps": 1e-8})", "the authors' soap.py"},
    {"kl-shampoo", "Lin et al., KL-Shampoo, arXiv 2509.03378; yorkerlin/KL-Methods kl_opt.py at a02e622", "hidden",
     "as kl-soap, with u = Q_L (Q_L^T m Q_R / sqrt(e_L e_R^T)) Q_R^T", "As kl-soap.",
     R"({"lr": 1e-4, "weight_decay": 0.01, "form": "ema", "momentum": 0.9, "nesterov": false,
         "precondition": "kl_shampoo", "beta2": 0.98, "precondition_frequency": 10, "decay_last": true})",
     nullptr, R"({"betas": [0.9, 0.98], "eps": 1e-8})", "the authors' kl_opt.py"},
    {"kl-soap", "Lin et al., KL-SOAP, arXiv 2509.03378; yorkerlin/KL-Methods kl_opt.py at a02e622", "hidden",
     "first gradient: L = (1 - b) g g^T / in, R likewise, Q their eigenvectors, e = 0.1; w stays. Then\n"
     "u = Q_L (Q_L^T m Q_R / (sqrt(v) + eps)) Q_R^T as soap, no bias corrected\nw = (1 - lr wd) (w - lr u)\n"
     "L = b L + (1 - b) g Q_R diag(1 / e_R) Q_R^T g^T / in, R likewise\ne_L = b e_L + (1 - b) mean_j g'_ij^2 / e_R,j, "
     "e_R likewise\nevery f steps: Q = QR(L Q)",
     "1 / sqrt(e) is at most the side's length, between 10 and 4000 (max_inverse_root null). The code keeps its state "
     "in bf16; here it is fp32, but for v as the optimizer's state is.",
     R"({"lr": 1e-4, "weight_decay": 0.01, "form": "ema", "momentum": 0.9, "nesterov": false,
         "precondition": "kl_soap", "beta2": 0.98, "precondition_frequency": 10, "decay_last": true})",
     nullptr, R"({"betas": [0.9, 0.98], "eps": 1e-8})", "the authors' kl_opt.py"},
    {"shampoo", "Gupta et al., Shampoo, arXiv 1802.09568; facebookresearch/optimizers DistributedShampoo at f606606",
     "hidden",
     "m = EMA(g, b1) / (1 - b1^t)\nL = EMA(g g^T, b2), R = EMA(g^T g, b2), both over 1 - b2^t\n"
     "u = (L + eps I)^(-1/4) m (R + eps I)^(-1/4), roots taken every f steps from step f on\n"
     "u = u |d|_F / |u|_F, d = m / (sqrt(v / (1 - b2^t)) + eps')\nw = (1 - lr wd) w - lr u",
     "Before the first roots the step is Adam's. Small dimensions are not merged. The settings are those of "
     "modded-nanogpt's track 3, 20260513_shampoo_1_4_power.",
     R"({"lr": 1.5e-3, "weight_decay": 0.2, "form": "ema", "momentum": 0.9, "nesterov": false, "bias_correction": true,
         "shampoo": true, "beta2": 0.95, "precondition_frequency": 5, "shampoo_start": 5, "max_precond_dim": 8192,
         "precondition_eps": 1e-12, "shampoo_exponent": -0.25, "graft": "adam", "graft_eps": 1e-10})",
     nullptr, R"({"betas": [0.9, 0.95], "eps": 1e-10})", "Meta's DistributedShampoo"},
    {"dion2", "Ahn et al., Dion2, arXiv 2512.16928; microsoft/dion dion/dion2.py at 0a059a4", "hidden",
     "m = m + g\nkeep the ceil(fraction min(out, in)) rows (columns, if those are fewer) of m with the largest sums of "
     "magnitudes\nO = NS5 of them\ntheir part of m = 0.95 of it\nw = (1 - lr wd) w - lr sqrt(out / in) O",
     "The shape factor is the whole matrix's. One selection whatever the number of ranks (the code's scope global). "
     "The rows that are not kept take part as zeros: the same numbers, and no cheaper than Muon.",
     R"({"lr": 0.01, "weight_decay": 0.01, "form": "sum", "select_fraction": 0.25, "select_decay": 0.95,
         "direction": "newton_schulz", "ns_coefficients": "polar_express_5", "ns_eps": 1e-8, "shape_scale": "ratio"})",
     nullptr, R"({"lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-8})", "the authors' dion2.py"},
    {"scion", "Pethick et al., Scion, arXiv 2502.07529; LIONS-EPFL/scion scion.py at f58a393", "hidden",
     "m = momentum m + (1 - momentum) g\nw = (1 - lr wd) w - lr radius sqrt(out / in) NS5(m)",
     "With weight decay 1 the weights stay in the ball of the radius, with 0 it is the unconstrained rule. The authors "
     "give embedding and head to scion-sign (a group), and start from orthogonal matrices.",
     R"({"lr": 0.000244140625, "weight_decay": 1, "momentum": 0.9, "nesterov": false, "direction": "newton_schulz",
         "shape_scale": "ratio", "radius": 50})",
     nullptr, R"({"lr": 3e-4, "weight_decay": 0, "betas": [0.9, 0.95], "eps": 1e-8})", "the authors' scion.py"},
    {"scion-sign", "Pethick et al., Scion, arXiv 2502.07529; LIONS-EPFL/scion scion.py at f58a393", "two_dimensional",
     "m = momentum m + (1 - momentum) g\nw = (1 - lr wd) w - lr radius sign(m) / in", "As scion.",
     R"({"lr": 0.000244140625, "weight_decay": 1, "momentum": 0.9, "nesterov": false, "direction": "sign",
         "shape_scale": "inputs", "radius": 3000})",
     nullptr, R"({"lr": 3e-4, "weight_decay": 0, "betas": [0.9, 0.95], "eps": 1e-8})", "the authors' scion.py"},
    {"ademamix", "Pagliardini et al., AdEMAMix, arXiv 2409.03137; apple/ml-ademamix pytorch/ademamix.py at c3d73c0",
     "everything",
     "m = b1 m + (1 - b1) g\ns = b3 s + (1 - b3) g\nv = b2 v + (1 - b2) g^2\n"
     "w = (1 - lr wd) w - lr (m / (1 - b1^t) + alpha s) / (sqrt(v / (1 - b2^t)) + eps)",
     "b3 and alpha warm up over the whole run in the README (slow_beta_warmup, slow_alpha_warmup, in steps).",
     R"({"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.9, "nesterov": false, "bias_correction": true,
         "slow_beta": 0.9999, "slow_alpha": 8, "adapt": "gradient_moment", "beta2": 0.999, "adapt_eps": 1e-8})",
     nullptr, R"({})", "the authors' ademamix.py"},
    {"nadamw", "Dozat 2016, decay decoupled; torch.optim.NAdam with decoupled_weight_decay", "everything",
     "mu_t = b1 (1 - 0.96^(t psi) / 2)\nm = b1 m + (1 - b1) g\nv = b2 v + (1 - b2) g^2\n"
     "u = mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t)\n"
     "w = (1 - lr wd) w - lr u / (sqrt(v / (1 - b2^t)) + eps)",
     "torch's rule and defaults; other programs call Nesterov's Adam without the schedule of mu by this name.",
     R"({"lr": 2e-3, "weight_decay": 0.1, "form": "nadam", "momentum": 0.9, "momentum_decay": 0.004,
         "adapt": "gradient_moment", "beta2": 0.999, "adapt_eps": 1e-8})",
     nullptr, R"({})"},
    {"signum", "Bernstein et al., signSGD, arXiv 1802.04434; Emerging-Optimizers signum.py at fd77292", "everything",
     "m = momentum m + (1 - momentum) g\nw = (1 - lr wd) w - lr sign(m)", "sign(0) is 0.",
     R"({"lr": 1e-4, "weight_decay": 0.1, "momentum": 0.9, "nesterov": false, "direction": "sign"})", nullptr, R"({})",
     "Emerging-Optimizers' signum.py"},
};

}  // namespace rowan
