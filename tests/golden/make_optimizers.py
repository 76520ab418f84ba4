#!/usr/bin/env python3
"""Writes small cases of the update rules to data/optimizers.{json,safetensors}. optimizer_rules.py and
eigenbasis_rules.py compute the cases in float64.

The script uses only the standard library and no code of Rowan. The layout and the names are those of the larger set in
$ROWAN_GOLDEN: <case>/w0 [out, in], <case>/grads and <case>/w [steps, out, in]. optimizers.json has the hyperparameters.
"""
import argparse
import json
import pathlib
import random
import struct

from eigenbasis_rules import shampoo, soap_muon
from optimizer_rules import (SETS, adamuon, adamw, lion, mano, mars_m, muon, muon_plus, muoneq, muown, namo_d, nora,
                             normuon, recipe, sgdm)

STEPS = 5


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


COMMON = {"lr": 0.01, "weight_decay": 0.1}
MOMENTUM = dict(COMMON, momentum=0.9, nesterov=True)
POLAR = [[8.156554524902461, -22.48329292557795, 15.878769915207462],
         [4.042929935166739, -2.808917465908714, 0.5000178451051316]]
RULES = [
    ("adamw", "adamw", adamw, dict(COMMON, beta1=0.8, beta2=0.99, eps=1e-6)),
    ("mars", "mars", adamw, dict(COMMON, beta1=0.95, beta2=0.99, eps=1e-8, gamma=0.025)),
    ("lion", "lion", lion, dict(COMMON, beta1=0.9, beta2=0.99)),
    ("sgdm", "sgdm", sgdm, dict(MOMENTUM, nesterov=False)),
    ("muon_no_nesterov", "muon", muon, dict(MOMENTUM, nesterov=False, shape_scale="moonlight", ns_steps=3)),
    ("muon_list", "muon", muon, dict(MOMENTUM, shape_scale="none", ns_steps=3, ns_coefficients=POLAR)),
    ("normuon", "normuon", normuon, dict(MOMENTUM, beta2=0.95, eps=1e-10)),
    ("adamuon", "adamuon", adamuon, dict(MOMENTUM, beta2=0.95, eps=1e-8)),
    ("muon_plus", "muon_plus", muon_plus, dict(MOMENTUM, nesterov=False)),
    ("nora_two_momenta", "nora", nora, dict(MOMENTUM, beta=0.8, eps=1e-10, shape_scale="keller")),
    ("mano_nesterov", "mano", mano, dict(MOMENTUM, eps=1e-8)),
    ("mano_v2", "mano", mano, dict(MOMENTUM, version=2, eps=1e-8)),
    ("muoneq_quarter", "muoneq", muoneq, dict(MOMENTUM, mode="rc", exponent=-0.25, eps=1e-4, ns_steps=5, phase=3)),
    ("muoneq_c", "muoneq", muoneq, dict(MOMENTUM, mode="c", exponent=-0.5, eps=1e-8, ns_steps=4)),
    ("namo_d", "namo_d", namo_d, dict(MOMENTUM, mu2=0.9, eps=1e-8, clamp=0.7, ns_steps=5)),
]
# Switches of recipes, most of them in small combinations.
NS = dict(MOMENTUM, direction="newton_schulz", ns_steps=3)
ROWS = dict(MOMENTUM, direction="row_normalize")
ADAPT = dict(NS, beta2=.9, adapt_eps=1e-8, shape_scale="moonlight")
RULES += [("adamw_eps_of_v", "adamw", adamw, dict(COMMON, beta1=0.9, beta2=0.95, eps=1e-2, corrected_eps=False)),
          ("adamw_of_rmnp", "adamw", adamw, dict(COMMON, beta1=0.9, beta2=0.95, eps=1e-2, corrected_eps=False,
                                                  corrected_decay=True))]
SWITCHES = {
    "lion_on_matrices": dict(COMMON, form="lion", momentum=.9, beta=.8, direction="sign"),
    "nothing": dict(MOMENTUM, shape_scale="ratio"),
    "rmnp_gpt2": dict(ROWS, form="heavy_ball", eps=1e-12, shape_scale="keller", direction_precision="bf16"),
    "rmnp_readme": dict(ROWS, nesterov=False, eps=.3, eps_mode="add"),
    "columns": dict(MOMENTUM, direction="column_normalize", shape_scale="axis", scale=.3),
    "nora_raw": dict(ROWS, project="rows", raw_weights=True, eps=1e-10),
    "mano_one_axis": dict(MOMENTUM, form="heavy_ball", project="columns", direction="column_normalize", shape_scale="axis"),
    "mano_of_nora": dict(MOMENTUM, form="heavy_ball", nesterov=False, project="alternate", direction="alternate_axis",
                         eps=1e-10, shape_scale="keller"),
    "projected_muon": dict(NS, project="rows"),
    "torch_muon": dict(NS, ns_eps=1.0, ns_eps_mode="clamp", shape_scale="keller"),
    "long_side": dict(NS, ns_transpose=False, shape_scale="ratio"),
    "polar": dict(MOMENTUM, direction="polar"),
    "muon_rms": dict(NS, shape_scale="rms", scale=.4),
    "muon_bf16": dict(NS, shape_scale="keller", direction_precision="bf16"),
    "muoneq_clip": dict(NS, form="heavy_ball", equilibrate="row_column", equilibrate_clip=1.2),
    "muoneq_paper": dict(NS, nesterov=False, equilibrate="row", equilibrate_eps=.1, shape_scale="moonlight"),
    "renormalized_rows": dict(NS, renormalize="row"),
    "renormalized_columns": dict(NS, renormalize="column"),
    "namo": dict(ADAPT, adapt="matrix", step_cap=1, decay="adaptive"),
    "namo_paper": dict(ADAPT, adapt="matrix", nesterov=False, shape_scale="none", decay="adaptive"),
    "namo_capped": dict(ADAPT, adapt="matrix", step_cap=.004, decay="adaptive", weight_decay=1),
    "namo_eps_inside": dict(ADAPT, adapt="matrix", adapt_eps=.3, adapt_eps_inside=True),
    "namo_d_unclamped": dict(ADAPT, adapt="column", adapt_eps=.3, step_cap=.02, decay="adaptive"),
    "namo_d_one": dict(ADAPT, adapt="column", clamp=1, adapt_eps=.3, adapt_eps_inside=True),
    "namo_d_bf16": dict(ADAPT, adapt="column", clamp=.8, direction_precision="bf16"),
    "normuon_paper": dict(NS, nesterov=False, adapt="row_moment", beta2=.8, adapt_eps=1e-3, shape_scale="rms"),
    "adamuon_first": dict(NS, adapt="element_moment", beta2=.999, adapt_eps=1e-8, shape_scale="rms"),
    "element_moment": dict(NS, adapt="element_moment", beta2=.8, adapt_eps=1e-2, shape_scale="keller"),
    "all_stages": dict(NS, form="heavy_ball", project="rows", equilibrate="row", renormalize="column_row", adapt="column",
                       clamp=.6, beta2=.9, shape_scale="moonlight", decay="adaptive"),
}
RULES += [(name, "recipe", recipe, h) for name, h in SWITCHES.items()]
RULES += [("ns_" + name, "recipe", recipe, dict(NS, ns_coefficients=name, ns_steps=len(steps) + 1))
          for name, (steps, _) in SETS.items()]
MORE_SWITCHES = {
    "renormalized_rows_first": dict(NS, renormalize="row_column"),
    "mano_both": dict(MOMENTUM, form="heavy_ball", project="both", raw_weights=True, direction="both_axes",
                      shape_scale="axis"),
    "muon_both": dict(NS, project="both"),
    "gram_newton_schulz": dict(NS, ns_gram=True, ns_coefficients="polar_express_5", ns_steps=5),
    "gram_newton_schulz_short": dict(NS, ns_gram=True, ns_steps=2),
    "aol_as_emerging": dict(NS, ns_coefficients="aol", ns_steps=6, ns_repeat="all"),
    "slow_average": dict(NS, slow_beta=.99, slow_alpha=3, shape_scale="keller"),
    "slow_average_warmups": dict(ROWS, form="heavy_ball", slow_beta=.999, slow_alpha=2, slow_alpha_warmup=4,
                                 slow_beta_warmup=3),
}
RULES += [("mars_m", "mars_m", mars_m, dict(MOMENTUM, nesterov=False, mars_gamma=0.1)),
          ("nora_opt", "nora_opt", nora, dict(MOMENTUM, nesterov=False, eps=1e-8, shape_scale="none"))]
RULES += [(name, "recipe", recipe, h) for name, h in MORE_SWITCHES.items()]
SHAPES = [(5, 9), (9, 5), (1, 7), (7, 1)]
# With the shapes of BASES, the null space of a factor has at most one dimension. A larger null space has no unique
# basis.
SOAP = dict(MOMENTUM, beta2=.9, precondition_frequency=2, precondition_eps=1e-8, ns_coefficients="track3", ns_steps=4)
ONE_SIDED = dict(SOAP, one_sided=True, precondition_frequency=1)
SHAMPOO = dict(COMMON, momentum=.9, beta2=.8, precondition_frequency=1, shampoo_start=1, graft="none")
BASES = [("soap_muon", "soap_muon", soap_muon, SOAP, [(5, 5), (5, 6), (6, 5)]),
         ("soap_muon_one_sided", "soap_muon", soap_muon, ONE_SIDED, [(5, 9), (9, 5)]),
         ("shampoo", "shampoo", shampoo, dict(SHAMPOO, precondition_eps=1e-3, shampoo_exponent=-.25), [(5, 6), (6, 5)]),
         ("shampoo_one_sided", "shampoo", shampoo,
          dict(SHAMPOO, precondition_eps=1e-6, shampoo_exponent=-.5, one_sided=True), [(5, 9), (9, 5)])]


# Cases of attention's output projection: each block of columns, of one head or two, is updated by itself. The last item
# is the number of columns per head.
HEADS = [("muon_heads", "muon", muon, dict(MOMENTUM, blocks="heads", shape_scale="keller", ns_steps=3), [(9, 15), (4, 10)], 5),
         ("muon_pairs", "muon", muon, dict(MOMENTUM, blocks="pairs", shape_scale="moonlight", ns_steps=3), [(5, 12)], 3),
         ("normuon_heads", "normuon", normuon, dict(MOMENTUM, blocks="heads", beta2=0.95, eps=1e-10), [(5, 18)], 9),
         ("nora_heads", "nora", nora, dict(MOMENTUM, blocks="heads", eps=1e-10, shape_scale="keller"), [(6, 12)], 4),
         ("soap_muon_heads", "soap_muon", soap_muon, dict(SOAP, blocks="heads"), [(6, 15)], 5)]

# The rate is so large that magnitudes become negative.
MUOWN = dict(lr=1.5, weight_decay=0, momentum=.95, magnitude_beta=.5, beta2=.95, eps=1e-8, decay="plain")
MAGNITUDES = [("muown", "muown", muown, MUOWN, SHAPES), ("muown_decay", "muown", muown, dict(MUOWN, weight_decay=.1), SHAPES),
              ("muown_magnitude", "muown", muown, dict(MUOWN, weight_decay=.1, decay="magnitude"), SHAPES)]


def by_columns(run, width):
    def all_blocks(w, grads, h):
        part = lambda a, i: [row[i:i + width] for row in a]
        blocks = [run(part(w, i), [part(g, i) for g in grads], h) for i in range(0, len(w[0]), width)]
        return [[sum((block[t][r] for block in blocks), []) for r in range(len(w))] for t in range(len(grads))]
    return all_blocks


def write(folder, index, tensors):
    """Writes optimizers.json and optimizers.safetensors."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    folder.mkdir(exist_ok=True)
    (folder / "optimizers.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "optimizers.json").write_text("[\n" + ",\n".join(json.dumps(entry) for entry in index) + "\n]\n")


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = pathlib.Path(__file__).parent / "data"
    index, tensors = [], {}
    entries = [(*entry, SHAPES, 0) for entry in RULES] + [(*entry, 0) for entry in BASES] + HEADS
    entries += [(*entry, 0) for entry in MAGNITUDES]
    for number, (name, rule, run, h, shapes, head_cols) in enumerate(entries):
        if head_cols:
            run = by_columns(run, head_cols * (2 if h["blocks"] == "pairs" else 1))
        for m, n in shapes:
            # If rows or columns have one element, their projection leaves only rounding errors.
            if (m == 1 or n == 1) and rule in ("mano", "muown", "nora", "nora_opt", "recipe"):
                continue
            draw = random.Random(1000 * number + 10 * m + n)
            matrix = lambda scale: [[f32(scale * draw.gauss(0, 1)) for _ in range(n)] for _ in range(m)]
            w0, grads = matrix(0.3), [matrix(0.5) for _ in range(STEPS)]
            case = f"{name}/{m}x{n}"
            index.append({"case": case, "rule": rule, "shape": [m, n], "steps": STEPS, "hyperparameters": h})
            if head_cols:
                index[-1]["head_cols"] = head_cols
            flat = lambda steps: [x for step in steps for row in step for x in row]
            tensors[case + "/w0"] = ([m, n], flat([w0]))
            tensors[case + "/grads"] = ([STEPS, m, n], flat(grads))
            tensors[case + "/w"] = ([STEPS, m, n], flat(run(w0, grads, h)))
    write(folder, index, tensors)


if __name__ == "__main__":
    main()
