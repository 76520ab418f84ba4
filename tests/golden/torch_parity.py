#!/usr/bin/env python3
"""Compares torch's own AdamW and Muon with the golden rules on random cases. Muon needs torch 2.9 or later.

    python3 tests/golden/torch_parity.py [CASES]

torch runs in float64 and is compared with optimizer_rules.py, with which the golden tests compare Rowan. torch's Muon
orthogonalizes in bfloat16 for every dtype of the weights, so the tolerance for Muon is that of bfloat16. `make test`
does not run this script.
"""
import math
import random
import sys

import optimizer_rules as rules

try:
    import torch
except ImportError:
    sys.exit("torch_parity: needs torch (pip install torch, or Debian's python3-torch)")


def run_torch(make, w0, grads):
    weight = torch.nn.Parameter(torch.tensor(w0, dtype=torch.float64))
    optimizer = make([weight])
    steps = []
    for gradient in grads:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        steps.append(weight.detach().clone())
    return steps


def larger(a, b):
    """The larger of two distances. One that is NaN counts as infinite, because max(x, nan) returns x."""
    return math.inf if math.isnan(a) or math.isnan(b) else max(a, b)


def largest_error(torch_steps, rule_steps):
    worst = 0.0
    for got, want in zip(torch_steps, rule_steps):
        want = torch.tensor(want, dtype=torch.float64)
        worst = larger(worst, ((got - want).abs().max() / want.abs().max()).item())
    return worst


def compare(name, make, rule, h, bound, cases):
    worst = 0.0
    for case in range(cases):
        draw = random.Random(case)
        m, n = draw.randint(2, 40), draw.randint(2, 40)
        matrix = lambda scale: [[scale * draw.gauss(0, 1) for _ in range(n)] for _ in range(m)]
        w0, grads = matrix(0.3), [matrix(0.5) for _ in range(5)]
        worst = larger(worst, largest_error(run_torch(make, w0, grads), rule(w0, grads, h)))
    verdict = "agrees" if worst < bound else "DISAGREES"
    print(f"{name}: {cases} cases, largest relative difference {worst:.2e}, bound {bound:.0e}: {verdict}")
    return worst < bound


def main():
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    common = {"lr": 0.01, "weight_decay": 0.1}
    good = compare("torch.optim.AdamW",
                   lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1),
                   rules.adamw, dict(common, beta1=0.9, beta2=0.95, eps=1e-8), 1e-12, cases)
    if not hasattr(torch.optim, "Muon"):
        print(f"torch.optim.Muon: not in torch {torch.__version__} (2.9 or later has it)")
        return 0 if good else 1
    for nesterov in (True, False):
        for adjust, scale in (("original", "keller"), ("match_rms_adamw", "moonlight")):
            h = dict(common, momentum=0.95, nesterov=nesterov, ns_steps=5, shape_scale=scale)
            make = lambda p: torch.optim.Muon(p, lr=0.01, weight_decay=0.1, momentum=0.95, nesterov=nesterov,
                                              adjust_lr_fn=adjust)
            good &= compare(f"torch.optim.Muon {adjust} nesterov={nesterov}", make, rules.muon, h, 3e-2, cases)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
