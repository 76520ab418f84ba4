#!/usr/bin/env python3
"""Compares Rowan's recipes with the authors' programs and with torch on random cases.

    python3 tests/golden/field_parity.py BUILD PROGRAMS [CASES]

BUILD is a build folder with golden_tests. PROGRAMS is a folder with checkouts of these programs:

    git clone https://github.com/nikhilvyas/SOAP            git clone https://github.com/kcc-lion/muown
    git clone https://github.com/AGI-Arena/MARS             git clone https://github.com/yorkerlin/KL-Methods
    git clone https://github.com/apple/ml-ademamix          git clone https://github.com/LIONS-EPFL/scion
    git clone https://github.com/tilde-research/aurora-release
    git clone https://github.com/Yuan-Jinghui/nora-opt
    git clone https://github.com/xie-lab-ml/Mano-Restriking-Manifold-Optimization-for-LLM-Training
    git clone https://github.com/KellerJordan/modded-nanogpt

Missing programs are left out and named. The programs run in float64, without their casts to narrower types and without
compilation. Rowan runs in fp32, in golden_tests. For each recipe, the script prints the largest difference of a weight,
divided by the largest weight. The script needs torch. `make test` does not run the script.
"""
import ast
import contextlib
import io
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import types

import make_optimizers

try:
    import torch
except ImportError:
    sys.exit("field_parity: needs torch (pip install torch, or Debian's python3-torch)")

STEPS = 6
CASTS = [(r"\.bfloat16\(\)", ".double()"), (r"\.float\(\)", ".double()"), (r"torch\.bfloat16", "torch.float64"),
         (r"torch\.float32", "torch.float64"), (r"torch\.float\b", "torch.float64"),
         (r"(?m)^\s*@torch\.compile.*$", "")]
TRACK3 = "modded-nanogpt/records/track_3_optimization/results/"


class OneRank(types.ModuleType):
    """The functions of torch.distributed that the programs call, for one rank."""
    get_world_size, get_rank = staticmethod(lambda: 1), staticmethod(lambda: 0)
    all_gather = staticmethod(lambda *_: None)
    is_available = is_initialized = staticmethod(lambda: False)


def in_double(text):
    for pattern, replacement in CASTS:
        text = re.sub(pattern, replacement, text)
    return text


def program(path, names=None, beside=(), **given):
    """Executes a file and returns its definitions. `names`: the definitions to take from a script that would otherwise
    run. `beside`: files that the script imports. `given`: values that the definitions use from the rest of the
    script."""
    text = in_double(path.read_text().split("\n====")[0])
    if names:
        tree = ast.parse(text)
        tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
        missing = set(names) - {node.name for node in tree.body}
        assert not missing, f"{path}: no {missing}"
        text = ast.unparse(tree)
    for other in beside:
        sys.modules[other.stem] = types.SimpleNamespace(**program(other))
    module = {"torch": torch, "Tensor": torch.Tensor, "dist": OneRank("dist"), "__name__": path.stem, **given}
    exec(compile(text, str(path), "exec"), module)
    return module


def log_of(folder):
    return next(path for path in sorted(folder.glob("*.txt")) if "====" in path.read_text())


def by_optimizer(make):
    def run(w, grads):
        weight, out = torch.nn.Parameter(w.clone()), []
        with contextlib.redirect_stdout(io.StringIO()):
            optimizer = make([weight])
        for g in grads:
            weight.grad = g.clone()
            optimizer.step()
            out.append(weight.detach().clone())
        return out
    return run


def soap_muon(parts, lr, decay, beta2, frequency):
    """Track 3's SOAP-Muon for one matrix, with the functions `parts` of the entry's script."""
    def run(w, grads):
        w, momentum, out = w.clone(), torch.zeros_like(w), []
        m, n = w.shape
        state = {"exp_avg_sq": torch.zeros_like(w), "row_gg": torch.zeros(m, m), "col_gg": torch.zeros(n, n),
                 "q_row": None, "q_col": None, "soap_step": 0}
        for g in grads:
            momentum.lerp_(g, .05)
            update = parts["soap_precondition_momentum"](g.lerp(momentum, .95), state, beta2)
            update = parts["zeropower_via_newtonschulz5"](update) * max(1, m / n)**.5
            w = w * (1 - lr * decay) - lr * update
            parts["soap_update_preconditioner"](g, state, beta2, frequency)
            out.append(w.clone())
        return out
    return run


def aurora(step, **settings):
    def run(w, grads):
        w, momentum, out = w.clone(), torch.zeros_like(w), []
        for g in grads:
            step(w, g.clone(), momentum, **settings)
            out.append(w.clone())
        return out
    return run


def mano_both(readme):
    """mano_v2's step, with its update computed by the lines of code in the README."""
    block = next(part for part in readme.read_text().split("```python") if "dim=1 - dim" in part).split("```")[0]
    lines = compile(in_double(block), str(readme), "exec")

    def run(w, grads):
        w, buffer, out = w.clone(), torch.zeros_like(w), []
        for step, g in enumerate(grads):
            buffer.mul_(.9).add_(g)
            inside = {"torch": torch, "g": g + .9 * buffer, "p": types.SimpleNamespace(data=w), "dim": step % 2,
                      "eps": 1e-8}
            exec(lines, inside)
            w = w * (1 - .01 * .1) - .01 * .2 * w.shape[step % 2]**.5 * inside["u"]
            out.append(w.clone())
        return out
    return run


# ANY: wide, tall and square shapes. FULL: shapes whose factors have a null space of at most one dimension.
ANY = [(7, 12), (12, 7), (9, 9), (16, 5), (3, 20), (24, 24)]
FULL = [(5, 5), (5, 6), (6, 5), (7, 7), (7, 8), (8, 7)]


def entries(folder):
    """Tuples (recipe, settings with a config's keys, shapes, function that makes the reference). For a missing program,
    the last item is the path that was not found."""
    def needs(path, make):
        return make if (folder / path).exists() else folder / path

    common = {"lr": .01, "weight_decay": .1}
    # SOAP divides by the root of a second moment. In a direction without gradient, it then divides one rounding error
    # by another, so these entries use FULL shapes.
    soap = dict(common, momentum=.95, beta2=.9, precondition_frequency=2, precondition_eps=1e-8)
    kl = dict(common, momentum=.9, beta2=.98, precondition_frequency=2, precondition_eps=1e-8)
    track3 = lambda name: log_of(folder / TRACK3 / name)
    hyperball = {"lr": .018, "weight_decay": 0}
    mano = "Mano-Restriking-Manifold-Optimization-for-LLM-Training/README.md"
    return [
        ("adamw", dict(common, betas=[.9, .95], eps=1e-8), ANY,
         lambda: by_optimizer(lambda p: torch.optim.AdamW(p, .01, (.9, .95), 1e-8, .1))),
        ("nadamw", dict(common, momentum=.9, momentum_decay=.004, beta2=.99, adapt_eps=1e-8), ANY,
         lambda: by_optimizer(lambda p: torch.optim.NAdam(p, .01, (.9, .99), 1e-8, .1, .004,
                                                          decoupled_weight_decay=True))),
        ("soap", soap, FULL, needs("SOAP/soap.py", lambda: by_optimizer(
            lambda p, made=program(folder / "SOAP/soap.py"): made["SOAP"](
                p, .01, (.95, .9), -1, 1e-8, .1, 2, merge_dims=False)))),
        ("mars-m", dict(common, momentum=.95, mars_gamma=.025), ANY, needs(
            "MARS/MARS_M/optimizers/mars_m.py", lambda: by_optimizer(
                lambda p, made=program(folder / "MARS/MARS_M/optimizers/mars_m.py"): made["MARS_M"](
                    .01, .1, p, .95, gamma=.025)))),
        ("nora-opt", dict(common, momentum=.9, eps=1e-8), ANY, needs("nora-opt/nora/optimizer.py", lambda: by_optimizer(
            lambda p, made=program(folder / "nora-opt/nora/optimizer.py"): made["Nora"](p, .01, (.9, .999), 1e-8, .1)))),
        ("mano-both", dict(common, momentum=.9, eps=1e-8), ANY, needs(mano, lambda: mano_both(folder / mano))),
        ("muown", dict(common, momentum=.95, magnitude_beta=.9, beta2=.95, magnitude_eps=1e-8), ANY, needs(
            "muown/optim/muown.py", lambda: by_optimizer(
                lambda p, made=program(folder / "muown/optim/muown.py"): made["Muown"](p, lr=.01, weight_decay=.1)))),
        ("kl-soap", kl, FULL, needs("KL-Methods/optim/kl_opt.py", lambda: by_optimizer(
            lambda p, made=program(folder / "KL-Methods/optim/kl_opt.py"): made["KLOpt"](
                p, .01, (.9, .98), -1, 1e-8, .1, 2, True, cast_dtype=torch.float64)))),
        ("kl-shampoo", kl, FULL, needs("KL-Methods/optim/kl_opt.py", lambda: by_optimizer(
            lambda p, made=program(folder / "KL-Methods/optim/kl_opt.py"): made["KLOpt"](
                p, .01, (.9, .98), -1, 1e-8, .1, 2, False, cast_dtype=torch.float64)))),
        ("ademamix", dict(common, momentum=.9, beta2=.99, slow_beta=.999, slow_alpha=5, slow_alpha_warmup=4,
                          slow_beta_warmup=4, adapt_eps=1e-8), ANY, needs(
            "ml-ademamix/pytorch/ademamix.py", lambda: by_optimizer(
                lambda p, made=program(folder / "ml-ademamix/pytorch/ademamix.py"): made["AdEMAMix"](
                    p, .01, (.9, .99, .999), 5, 4, 4, 1e-8, .1)))),
        ("scion", {"lr": .01, "weight_decay": 1, "momentum": .9, "radius": 50}, ANY, needs(
            "scion/scion.py", lambda: by_optimizer(
                lambda p, made=program(folder / "scion/scion.py"): made["Scion"](p, .01, .1, "Spectral", {}, 50)))),
        ("scion-sign", {"lr": .01, "weight_decay": 1, "momentum": .9, "radius": 30}, ANY, needs(
            "scion/scion.py", lambda: by_optimizer(
                lambda p, made=program(folder / "scion/scion.py"): made["Scion"](p, .01, .1, "Sign", {}, 30)))),
        ("aurora", dict(common, momentum=.95), ANY, needs("aurora-release/src/aurora.py", lambda: aurora(
            program(folder / "aurora-release/src/aurora.py",
                    beside=[folder / "aurora-release/src/polar.py"])["aurora"],
            eta=.01, weight_decay=.1))),
        ("soap-muon", dict(common, momentum=.95, beta2=.9, precondition_frequency=2), FULL, needs(
            TRACK3 + "20260504_contra_muon_mlp_soapish", lambda: soap_muon(
                program(track3("20260504_contra_muon_mlp_soapish"),
                        ["soap_eigenbasis", "soap_basis_qr", "soap_precondition_momentum", "soap_update_preconditioner",
                         "zeropower_via_newtonschulz5"], SOAP_BETA2=.9), .01, .1, .9, 2))),
        ("track3-muon", dict(common, ns_eps=1e-7), ANY, needs(
            TRACK3 + "20260610_tuned_baseline_3250", lambda: by_optimizer(
                lambda p, made=program(track3("20260610_tuned_baseline_3250"),
                                       ["zeropower_via_newtonschulz5", "muon_update", "Muon"]):
                made["Muon"](p, .01, .1)))),
        ("track3-normuon", dict(common, ns_eps=1e-7), ANY, needs(
            TRACK3 + "20260503_normuon", lambda: by_optimizer(
                lambda p, made=program(track3("20260503_normuon"),
                                       ["zeropower_via_newtonschulz5", "normuon_update", "NorMuon"]):
                made["NorMuon"](p, .01, .1)))),
        ("track3-muon-h", dict(hyperball, ns_eps=1e-7), ANY, needs(
            TRACK3 + "20260430_muonh", lambda: by_optimizer(
                lambda p, made=program(track3("20260430_muonh"), ["zeropower_via_newtonschulz5", "muon_update",
                                                                  "scale_invariant_update_", "MuonH"]):
                made["MuonH"](p, .018)))),
        ("track3-normuon-h", dict(hyperball, ns_eps=1e-7), ANY, needs(
            TRACK3 + "20260430_normuonh", lambda: by_optimizer(
                lambda p, made=program(track3("20260430_normuonh"), ["zeropower_via_newtonschulz5", "normuon_update",
                                                                     "scale_invariant_update_", "NorMuonH"]):
                made["NorMuonH"](p, .018)))),
        ("track3-adam-h", dict(hyperball, adapt_eps=1e-8), ANY, needs(
            TRACK3 + "20260430_adamh", lambda: by_optimizer(
                lambda p, made=program(track3("20260430_adamh"), ["scale_invariant_update_", "AdamH"]):
                made["AdamH"](p, .018)))),
        # The first step uses the eigenbasis of its own gradient. In this basis, all entries of the gradient off the
        # diagonal are rounding errors. A large eps makes the effect of these errors small.
        ("track3-soap-h", dict(hyperball, precondition_eps=1e-2), FULL, needs(
            TRACK3 + "20260518_soaph", lambda: by_optimizer(
                lambda p, made=program(track3("20260518_soaph"), ["scale_invariant_update_", "_symmetrize",
                                                                  "_initial_orthogonal_matrix", "soap_update",
                                                                  "SOAPH"]):
                made["SOAPH"](p, .018, eps=1e-2)))),
    ]


def separated(m, n, draw):
    """A gradient with distinct singular values. The squares of the smallest singular values are not lost in fp32."""
    u, _ = torch.linalg.qr(torch.randn(m, m, generator=draw))
    v, _ = torch.linalg.qr(torch.randn(n, n, generator=draw))
    k = min(m, n)
    return .5 * (u[:, :k] * 1.3**(torch.arange(k) - k / 2)) @ v[:, :k].T + .02 * torch.randn(m, n, generator=draw)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    cases = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    torch.set_default_dtype(torch.float64)
    index, tensors = [], {}
    for number, (recipe, settings, shapes, make) in enumerate(entries(folder)):
        if isinstance(make, pathlib.Path):
            print(f"{recipe}: left out, there is no {make}")
            continue
        run = make()
        for case in range(cases):
            draw = torch.Generator().manual_seed(1000 * number + case)
            m, n = shapes[case % len(shapes)]
            w = (.3 * torch.randn(m, n, generator=draw)).float().double()
            grads = [(separated(m, n, draw) if shapes is FULL else .5 * torch.randn(m, n, generator=draw))
                     .float().double() for _ in range(STEPS)]
            name = f"{recipe}/{case}_{m}x{n}"
            index.append({"case": name, "rule": recipe, "shape": [m, n], "steps": STEPS, "hyperparameters": settings})
            tensors[name + "/w0"] = ([m, n], w.flatten().tolist())
            tensors[name + "/grads"] = ([STEPS, m, n], torch.stack(grads).flatten().tolist())
            tensors[name + "/w"] = ([STEPS, m, n], torch.stack(run(w, grads)).flatten().tolist())
    with tempfile.TemporaryDirectory() as out:
        make_optimizers.write(pathlib.Path(out), index, tensors)
        outcome = subprocess.run([build / "tests/golden_tests", "--gtest_brief=1", "--gtest_filter=OptimizerGoldens*"],
                                 env=dict(os.environ, ROWAN_GOLDEN=out, OMP_NUM_THREADS="1"))
    return outcome.returncode


if __name__ == "__main__":
    sys.exit(main())
