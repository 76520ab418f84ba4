#!/usr/bin/env python3
"""Writes data/optimizers.{json,safetensors}: small cases of the update rules, in float64 from their formulas.

Only the standard library; nothing here is taken from Rowan's code. Layout and names as in the larger set that
ROWAN_GOLDEN names: <case>/w0 [out, in], <case>/grads and <case>/w [steps, out, in], hyperparameters beside them.
"""
import json
import math
import pathlib
import random
import struct

STEPS = 5


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def zeros(m, n):
    return [[0.0] * n for _ in range(m)]


def each(f, *matrices):
    return [[f(*xs) for xs in zip(*rows)] for rows in zip(*matrices)]


def transpose(a):
    return [list(column) for column in zip(*a)]


def product(a, b):
    bt = transpose(b)
    return [[math.fsum(x * y for x, y in zip(row, column)) for column in bt] for row in a]


def norm(a):
    return math.sqrt(math.fsum(x * x for row in a for x in row))


def newton_schulz(u, steps=5, coefficients=((3.4445, -4.7750, 2.0315),)):
    tall = len(u) > len(u[0])
    x = transpose(u) if tall else u
    scale = norm(x) + 1e-7
    x = each(lambda v: v / scale, x)
    for i in range(steps):
        a, b, c = coefficients[min(i, len(coefficients) - 1)]
        gram = product(x, transpose(x))
        poly = each(lambda p, q: b * p + c * q, gram, product(gram, gram))
        x = each(lambda p, q: a * p + q, x, product(poly, x))
    return transpose(x) if tall else x


def row_norms(a):
    return [math.sqrt(math.fsum(x * x for x in row)) for row in a]


class Ema:
    def __init__(self, w, h):
        self.m, self.h = zeros(len(w), len(w[0])), h

    def __call__(self, g):
        mu, beta = self.h["momentum"], self.h.get("beta", self.h["momentum"])
        self.m = each(lambda m, x: beta * m + (1 - beta) * x, self.m, g)
        return each(lambda m, x: (1 - mu) * x + mu * m, self.m, g) if self.h["nesterov"] else self.m


class HeavyBall:
    def __init__(self, w, h):
        self.m, self.h = zeros(len(w), len(w[0])), h

    def __call__(self, g):
        mu = self.h["momentum"]
        self.m = each(lambda m, x: mu * m + x, self.m, g)
        return each(lambda m, x: x + mu * m, self.m, g) if self.h["nesterov"] else self.m


def decayed(w, h, step, d):
    keep = 1 - h["lr"] * h["weight_decay"]
    return each(lambda x, y: keep * x - step * y, w, d)


def adam_parts(m, v, g, b1, b2):
    return (each(lambda x, y: b1 * x + (1 - b1) * y, m, g), each(lambda x, y: b2 * x + (1 - b2) * y * y, v, g))


def adamw(w, grads, h):
    m, v, out = zeros(len(w), len(w[0])), zeros(len(w), len(w[0])), []
    previous = zeros(len(w), len(w[0]))
    b1, b2 = h["beta1"], h["beta2"]
    for t, g in enumerate(grads, 1):
        c = g
        if "gamma" in h:
            k = h["gamma"] * b1 / (1 - b1)
            c = each(lambda x, y: x + k * (x - y), g, previous)
            size = max(1.0, norm(c))
            c = each(lambda x: x / size, c)
            previous = g
        m, v = adam_parts(m, v, c, b1, b2)
        c1, c2 = 1 - b1**t, 1 - b2**t
        w = decayed(w, h, h["lr"], each(lambda x, y: (x / c1) / (math.sqrt(y / c2) + h["eps"]), m, v))
        out.append(w)
    return out


def lion(w, grads, h):
    m, out = zeros(len(w), len(w[0])), []
    for g in grads:
        u = each(lambda x, y: h["beta1"] * x + (1 - h["beta1"]) * y, m, g)
        m = each(lambda x, y: h["beta2"] * x + (1 - h["beta2"]) * y, m, g)
        w = decayed(w, h, h["lr"], each(lambda x: (x > 0) - (x < 0), u))
        out.append(w)
    return out


def sgdm(w, grads, h):
    momentum, out = HeavyBall(w, h), []
    for g in grads:
        w = decayed(w, h, h["lr"], momentum(g))
        out.append(w)
    return out


def keller(w):
    return math.sqrt(max(1.0, len(w) / len(w[0])))


def moonlight(w):
    return 0.2 * math.sqrt(max(len(w), len(w[0])))


def muon(w, grads, h):
    momentum, out = Ema(w, h), []
    coefficients = h.get("ns_coefficients", [[3.4445, -4.7750, 2.0315]])
    factor = {"keller": keller, "moonlight": moonlight, "none": lambda _: 1.0}[h["shape_scale"]](w)
    for g in grads:
        w = decayed(w, h, h["lr"] * factor, newton_schulz(momentum(g), h["ns_steps"], coefficients))
        out.append(w)
    return out


def normuon(w, grads, h):
    momentum, v, out = Ema(w, h), [0.0] * len(w), []
    for g in grads:
        o = newton_schulz(momentum(g))
        size = norm(o)
        v = [h["beta2"] * x + (1 - h["beta2"]) * math.fsum(y * y for y in row) / len(row) for x, row in zip(v, o)]
        o = [[y / (math.sqrt(x) + h["eps"]) for y in row] for x, row in zip(v, o)]
        ratio = size / (norm(o) + h["eps"])
        w = decayed(w, h, h["lr"] * keller(w), each(lambda x: x * ratio, o))
        out.append(w)
    return out


def adamuon(w, grads, h):
    momentum, v, out = HeavyBall(w, h), zeros(len(w), len(w[0])), []
    for g in grads:
        o = newton_schulz(each(lambda x: float((x > 0) - (x < 0)), momentum(g)))
        v = each(lambda x, y: h["beta2"] * x + (1 - h["beta2"]) * y * y, v, o)
        o = each(lambda x, y: y / (math.sqrt(x) + h["eps"]), v, o)
        ratio = 0.2 * math.sqrt(len(w) * len(w[0])) / (norm(o) + h["eps"])
        w = decayed(w, h, h["lr"], each(lambda x: x * ratio, o))
        out.append(w)
    return out


def by_rows(a):
    return [[x / math.sqrt(math.fsum(y * y for y in row) + 1e-8) for x in row] for row in a]


def muon_plus(w, grads, h):
    momentum, out = Ema(w, h), []
    for g in grads:
        o = by_rows(transpose(by_rows(transpose(newton_schulz(momentum(g))))))
        w = decayed(w, h, h["lr"] * math.sqrt(len(w) / len(w[0])), o)
        out.append(w)
    return out


def tangent_rows(u, w, eps, raw):
    result = []
    for x, y in zip(u, w):
        size = 1.0 if raw else max(math.sqrt(math.fsum(b * b for b in y)), eps)
        k = math.fsum(a * b for a, b in zip(x, y)) / size / size
        result.append([a - k * b for a, b in zip(x, y)])
    return result


def rows_normalized(u, eps, added):
    return [[x / (r + eps if added else max(r, eps)) for x in row] for r, row in zip(row_norms(u), u)]


def nora(w, grads, h):
    momentum, out = Ema(w, h), []
    factor = keller(w) if h["shape_scale"] == "keller" else 1.0
    for g in grads:
        d = rows_normalized(tangent_rows(momentum(g), w, h["eps"], False), h["eps"], False)
        w = decayed(w, h, h["lr"] * factor, d)
        out.append(w)
    return out


def mano(w, grads, h):
    momentum, out = HeavyBall(w, h), []
    second = h.get("version") == 2
    for t, g in enumerate(grads):
        flip = transpose if t % 2 == 0 else lambda a: a
        u, along = flip(momentum(g)), flip(w)
        d = rows_normalized(tangent_rows(u, along, h["eps"], second), h["eps"], second)
        w = decayed(w, h, h["lr"] * 0.2 * math.sqrt(len(along[0])), flip(d))
        out.append(w)
    return out


def muoneq(w, grads, h):
    momentum, out = HeavyBall(w, h), []
    for t, g in enumerate(grads, 1):
        u = momentum(g)
        mode = "r" if h["mode"] == "rc" and t >= h.get("phase", math.inf) else h["mode"]
        rows = [(math.fsum(x * x for x in row) + h["eps"]) ** h["exponent"] for row in u]
        columns = [(math.fsum(x * x for x in row) + h["eps"]) ** h["exponent"] for row in transpose(u)]
        v = [[x * (r if "r" in mode else 1) * (c if "c" in mode else 1) for x, c in zip(row, columns)]
             for r, row in zip(rows, u)]
        w = decayed(w, h, h["lr"] * moonlight(w), newton_schulz(v, h["ns_steps"]))
        out.append(w)
    return out


def namo_d(w, grads, h):
    momentum, v, out = Ema(w, h), [0.0] * len(w[0]), []
    for t, g in enumerate(grads, 1):
        u = momentum(g)
        v = [h["mu2"] * x + (1 - h["mu2"]) * r * r for x, r in zip(v, row_norms(transpose(g)))]
        q = [r / (math.sqrt(x) + h["eps"]) for r, x in zip(row_norms(transpose(u)), v)]
        mean = math.fsum(q) / len(q)
        q = [min(max(x, h["clamp"] * mean), mean / h["clamp"]) for x in q]
        a = [h["lr"] * math.sqrt(1 - h["mu2"]**t) / (1 - h["momentum"]**t + 1e-12) * x for x in q]
        o = newton_schulz(u, h["ns_steps"])
        w = [[x * max(0.0, 1 - h["weight_decay"] * min(y, 1.0)) - min(y * moonlight(w), 1.0) * z
              for x, y, z in zip(row, a, direction)] for row, direction in zip(w, o)]
        out.append(w)
    return out


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
SHAPES = [(5, 9), (9, 5), (1, 7), (7, 1)]


def main():
    folder = pathlib.Path(__file__).parent / "data"
    index, tensors = [], {}
    for number, (name, rule, run, h) in enumerate(RULES):
        for m, n in SHAPES:
            # What a projection leaves of a vector of length 1 is rounding.
            if (m == 1 or n == 1) and rule in ("mano", "nora"):
                continue
            draw = random.Random(1000 * number + 10 * m + n)
            matrix = lambda scale: [[f32(scale * draw.gauss(0, 1)) for _ in range(n)] for _ in range(m)]
            w0, grads = matrix(0.3), [matrix(0.5) for _ in range(STEPS)]
            case = f"{name}/{m}x{n}"
            index.append({"case": case, "rule": rule, "shape": [m, n], "steps": STEPS, "hyperparameters": h})
            flat = lambda steps: [x for step in steps for row in step for x in row]
            tensors[case + "/w0"] = ([m, n], flat([w0]))
            tensors[case + "/grads"] = ([STEPS, m, n], flat(grads))
            tensors[case + "/w"] = ([STEPS, m, n], flat(run(w0, grads, h)))
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


if __name__ == "__main__":
    main()
