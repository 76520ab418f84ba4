"""Computes the update rules of optimizers in float64. The rules are written from their formulas. Each function maps (w,
gradients, hyperparameters) to the weights after each step. Matrices are lists of rows. The file uses only the standard
library and no code of Rowan.
"""
import math
import struct


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
        step = h["lr"] * math.sqrt(c2) / c1
        if h.get("corrected_eps", True):
            d = each(lambda x, y: (x / c1) / (math.sqrt(y / c2) + h["eps"]), m, v)
        else:
            d = each(lambda x, y: step / h["lr"] * x / (math.sqrt(y) + h["eps"]), m, v)
        keep = 1 - h["weight_decay"] * (step if h.get("corrected_decay") else h["lr"])
        w = each(lambda x, y: keep * x - h["lr"] * y, w, d)
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


def muown(w, grads, h):
    """With decay `magnitude` the magnitudes decay, otherwise the weights, whose row norms are then the magnitudes."""
    m, n = len(w), len(w[0])
    s = [norm([row]) for row in w]
    v, buffer, first, second, out = [list(row) for row in w], zeros(m, n), [0.0] * m, [0.0] * m, []
    b1, b2 = h["magnitude_beta"], h["beta2"]
    for t, g in enumerate(grads, 1):
        a = [[x / s[i] for x in row] for i, row in enumerate(w)]
        ds = [sum(x * y for x, y in zip(g[i], a[i])) for i in range(m)]
        dv = [[s[i] / norm([v[i]]) * (x - ds[i] * y) for x, y in zip(g[i], a[i])] for i in range(m)]
        buffer = each(lambda x, y: h["momentum"] * x + y, buffer, dv)
        direction = newton_schulz(each(lambda x, y: h["momentum"] * x + y, buffer, dv))
        v = each(lambda x, y: x - h["lr"] * moonlight(w) * y, v, direction)
        first = [b1 * x + (1 - b1) * y for x, y in zip(first, ds)]
        second = [b2 * x + (1 - b2) * y * y for x, y in zip(second, ds)]
        s = [x - h["lr"] * (p / (1 - b1**t)) / (math.sqrt(q / (1 - b2**t)) + h["eps"]) for x, p, q in zip(s, first, second)]
        decay = h["lr"] * h["weight_decay"]
        if h["decay"] == "magnitude":
            s = [(1 - decay) * x for x in s]
        before, w = w, [[s[i] * x / norm([row]) for x in row] for i, row in enumerate(v)]
        if h["decay"] == "plain" and decay > 0:
            w = each(lambda x, y: x - decay * y, w, before)
            s = [norm([row]) for row in w]
            v = [[x * norm([v[i]]) / s[i] for x in row] for i, row in enumerate(w)]
        out.append(w)
    return out


def mars_m(w, grads, h):
    momentum, previous, out = Ema(w, h), zeros(len(w), len(w[0])), []
    k = h["mars_gamma"] * h["momentum"] / (1 - h["momentum"])
    for g in grads:
        c = each(lambda x, y: x + k * (x - y), g, previous)
        size, previous = max(1.0, norm(c)), g
        w = decayed(w, h, h["lr"] * moonlight(w), newton_schulz(momentum(each(lambda x: x / size, c))))
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


KELLER = (3.4445, -4.7750, 2.0315)
# For each set: the coefficients of the Newton-Schulz steps, and a factor. The input is divided by this factor times its
# norm. If there are more steps than coefficients, the last coefficients repeat, or all if ns_repeat is "all".
SETS = {
    "keller": ([KELLER], 1),
    "quintic": ([(4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037),
                 (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012)], 1),
    "polar_express": ([(8.2051, -22.9019, 16.4607), (4.0664, -2.8612, .5184), (3.9096, -2.8234, .5250),
                       (3.2856, -2.4153, .4853), (2.2779, -1.6198, .3985), (1.8726, -1.2307, .3585),
                       (1.8564, -1.2132, .3568), (1.875, -1.25, .375)], 1),
    "polar_express_5": ([(8.156554524902461, -22.48329292557795, 15.878769915207462),
                         (4.042929935166739, -2.808917465908714, .5000178451051316),
                         (3.8916678022926607, -2.772484153217685, .5060648178503393),
                         (3.285753657755655, -2.3681294933425376, .46449024233003106),
                         (2.3465413258596377, -1.7097828382687081, .42323551169305323)], 1.02),
    "cans": ([(8.4703, -25.1081, 18.6293), (4.1828, -3.1087, .5806), (3.9619, -2.9541, .5630),
              (3.2866, -2.4647, .5074), (2.2737, -1.6447, .4162)], 1),
    "aol": ([(4.0098, -7.0585, 2.4635), (3.4585, -5.5479, 2.5959), (2.7573, -3.2939, 1.4254),
             (2.7215, -3.0494, 1.3169)], 1),
    "cubic": ([(3.3656576, -3.3420992, 0), (2.5744352, -1.4957376, 0), (2.5368962, -1.4312570, 0),
               (2.4418906, -1.2764040, 0), (2.2230472, -.9630650, 0)], 1),
    "deepseekv4": ([KELLER] * 8 + [(2, -1.5, .5)], 1),
    "track3": ([(2, -1.5, .5)], 1),
}


def sign(x):
    return float((x > 0) - (x < 0))


def divided(norm, eps, mode):
    return norm + eps if mode == "add" else max(norm, eps)


def to_bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return struct.unpack("<f", struct.pack("<I", (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000))[0]


def matrix_direction(u, h):
    """Newton-Schulz, or, for "polar", the orthogonal factor of the polar decomposition by the cubic iteration."""
    flip = transpose if h.get("ns_transpose", True) and len(u) > len(u[0]) else lambda a: a
    coefficients, safety = SETS[h.get("ns_coefficients", "keller")]
    again = h.get("ns_repeat", "last") == "all"
    steps = h.get("ns_steps", 5)
    if h["direction"] == "polar":
        coefficients, safety, steps = [(1.5, -.5, 0)], 1, 120
    scale = divided(norm(u), h.get("ns_eps", 1e-7), h.get("ns_eps_mode", "add")) * safety
    x = each(lambda v: v / scale, flip(u))
    for i in range(steps):
        a, b, c = coefficients[i % len(coefficients) if again else min(i, len(coefficients) - 1)]
        gram = product(x, transpose(x))
        poly = each(lambda p, q: b * p + c * q, gram, product(gram, gram))
        x = each(lambda p, q: a * p + q, x, product(poly, x))
    return flip(x)


# What recipe() computes: its keys, and the values of those that are choices. Numbers, true and false have no list.
COMPUTED = {
    "form": ("ema", "heavy_ball", "lion"),
    "project": ("none", "rows", "columns", "alternate", "both"),
    "equilibrate": ("none", "row", "column", "row_column", "sign"),
    "direction": ("none", "newton_schulz", "polar", "sign", "row_normalize", "column_normalize", "alternate_axis",
                  "both_axes"),
    "eps_mode": ("add", "clamp"), "ns_eps_mode": ("add", "clamp"), "ns_repeat": ("last", "all"),
    "ns_coefficients": tuple(SETS),
    "ns_gram": None,  # another order of the same products
    "renormalize": ("none", "row", "column", "column_row", "row_column"),
    "adapt": ("none", "matrix", "column", "row_moment", "element_moment"),
    "shape_scale": ("none", "rms", "keller", "moonlight", "ratio", "axis"),
    "direction_precision": ("auto", "bf16"),
    "decay": ("plain", "adaptive"),
    **dict.fromkeys((
        "lr", "weight_decay", "momentum", "beta", "nesterov", "slow_beta", "slow_alpha", "slow_alpha_warmup",
        "slow_beta_warmup", "raw_weights", "equilibrate_exponent", "equilibrate_eps", "equilibrate_clip", "phase", "eps",
        "ns_steps", "ns_eps", "ns_transpose", "beta2", "adapt_eps", "adapt_eps_inside", "clamp", "step_cap", "scale"))}


def check_computed(h):
    """Raises ValueError for a switch, or a value, that recipe() does not compute."""
    for key, value in h.items():
        if key not in COMPUTED:
            raise ValueError(f"recipe() does not compute {key}; add it there and to COMPUTED")
        if COMPUTED[key] is not None and value not in COMPUTED[key]:
            raise ValueError(f"recipe() does not compute {key} {value}, only {', '.join(COMPUTED[key])}")


def slow_average(slow, u, g, t, h):
    """AdEMAMix: the second average, and the update with it added."""
    beta, alpha = h["slow_beta"], h.get("slow_alpha", 0)
    if t < h.get("slow_beta_warmup", 0):
        # The half-life grows linearly from that of `momentum`. The authors add 1e-8, so that a coefficient may be 0.
        half_life = lambda b: math.log(.5) / math.log(b + 1e-8) - 1
        part = t / h["slow_beta_warmup"]
        beta = .5 ** (1 / ((1 - part) * half_life(h.get("momentum", .95)) + part * half_life(beta) + 1))
    if "slow_alpha_warmup" in h:
        alpha *= min(1, t / h["slow_alpha_warmup"])
    slow = each(lambda x, y: beta * x + (1 - beta) * y, slow, g)
    return slow, each(lambda x, y: x + alpha * y, u, slow)


def recipe(w, grads, h):
    """Any combination of the switches in COMPUTED. `h` has the keys of Rowan's config."""
    check_computed(h)
    choice = lambda key, default="none": h.get(key, default)
    slow = zeros(len(w), len(w[0]))
    rows, columns, out = len(w), len(w[0]), []
    m, v = zeros(rows, columns), None
    mu, eps = choice("momentum", .95), choice("eps", 1e-8)
    beta, beta2 = choice("beta", mu), choice("beta2", .95)
    factor = {"none": 1, "rms": 1, "keller": keller(w), "moonlight": choice("scale", .2) * math.sqrt(max(rows, columns)),
              "ratio": math.sqrt(rows / columns)}
    for t, g in enumerate(grads, 1):
        nesterov = choice("nesterov", True)
        if choice("form", "ema") == "heavy_ball":
            m = each(lambda x, y: mu * x + y, m, g)
            u = each(lambda x, y: mu * x + y, m, g) if nesterov else m
        elif choice("form", "ema") == "lion":
            u = each(lambda x, y: mu * x + (1 - mu) * y, m, g)
            m = each(lambda x, y: beta * x + (1 - beta) * y, m, g)
        else:
            m = each(lambda x, y: beta * x + (1 - beta) * y, m, g)
            u = each(lambda x, y: mu * x + (1 - mu) * y, m, g) if nesterov else m
        if "slow_beta" in h:
            slow, u = slow_average(slow, u, g, t, h)
        odd = t % 2 == 1
        unflipped = lambda a: a
        turn, other = (transpose, unflipped) if odd else (unflipped, transpose)
        flips = {"none": [], "rows": [unflipped], "columns": [transpose], "alternate": [turn], "both": [other, turn]}
        for flip in flips[choice("project")]:
            u = flip(tangent_rows(flip(u), flip(w), eps, choice("raw_weights", False)))
        update_norms, gradient_norms = row_norms(transpose(u)), row_norms(transpose(g))
        if choice("adapt") == "matrix":
            update_norms, gradient_norms = [norm(u)] * columns, [norm(g)] * columns

        balance = choice("equilibrate")
        if balance == "sign":
            u = each(sign, u)
        elif balance != "none":
            def factors(a):
                bound = choice("equilibrate_clip", math.inf)
                sums = [math.fsum(x * x for x in row) + choice("equilibrate_eps", 1e-8) for row in a]
                return [min(max(s ** choice("equilibrate_exponent", -.5), 1 / bound), bound) for s in sums]
            both = balance == "row_column" and t < choice("phase", math.inf)
            by_row = factors(u) if balance != "column" else [1] * rows
            by_column = factors(transpose(u)) if balance == "column" or both else [1] * columns
            u = [[x * r * c for x, c in zip(row, by_column)] for r, row in zip(by_row, u)]

        direction = choice("direction")
        along_columns = direction == "column_normalize" or direction in ("alternate_axis", "both_axes") and odd
        if direction in ("newton_schulz", "polar"):
            u = matrix_direction(u, h)
        elif direction == "sign":
            u = each(sign, u)
        elif direction != "none":
            flip = transpose if along_columns else unflipped
            for axis in ([other, turn] if direction == "both_axes" else [flip]):
                u = axis(rows_normalized(axis(u), eps, choice("eps_mode", "clamp") == "add"))
        factor["axis"] = choice("scale", .2) * math.sqrt(rows if along_columns else columns)
        for axis in choice("renormalize").split("_"):
            if axis == "column":
                u = transpose(by_rows(transpose(u)))
            elif axis == "row":
                u = by_rows(u)

        adapt, adapt_eps, a = choice("adapt"), choice("adapt_eps", 1e-8), [1.0] * columns
        if adapt in ("matrix", "column"):
            v = [beta2 * x + (1 - beta2) * y * y for x, y in zip(v or [0.0] * columns, gradient_norms)]
            q = [x / (math.sqrt(y + adapt_eps) if choice("adapt_eps_inside", False) else math.sqrt(y) + adapt_eps)
                 for x, y in zip(update_norms, v)]
            if "clamp" in h:
                mean = math.fsum(q) / columns
                q = [min(max(x, h["clamp"] * mean), mean / h["clamp"]) for x in q]
            a = [math.sqrt(1 - beta2**t) / (1 - mu**t) * x for x in q]
        elif adapt == "row_moment":
            size = norm(u)
            v = [beta2 * x + (1 - beta2) * math.fsum(y * y for y in row) / columns for x, row in zip(v or [0.0] * rows, u)]
            u = [[y / (math.sqrt(x) + adapt_eps) for y in row] for x, row in zip(v, u)]
            ratio = size / (norm(u) + adapt_eps)
            u = each(lambda x: x * ratio, u)
        elif adapt == "element_moment":
            v = each(lambda x, y: beta2 * x + (1 - beta2) * y * y, v or zeros(rows, columns), u)
            u = each(lambda x, y: y / (math.sqrt(x) + adapt_eps), v, u)
        if choice("shape_scale") == "rms":
            ratio = choice("scale", .2) * math.sqrt(rows * columns) / (norm(u) + adapt_eps)
            u = each(lambda x: x * ratio, u)

        scale, cap = factor[choice("shape_scale")], choice("step_cap", math.inf)
        u = each(lambda x: scale * x, u)
        if choice("direction_precision", "auto") == "bf16":
            u = each(to_bf16, u)
        steps = [min(h["lr"] * x * scale, cap) / scale for x in a]
        decays = [h["weight_decay"] * (min(h["lr"] * x, cap) if choice("decay", "plain") == "adaptive" else h["lr"]) for x in a]
        w = [[x * max(0.0, 1 - d) - s * y for x, d, s, y in zip(row, decays, steps, direction)]
             for row, direction in zip(w, u)]
        out.append(w)
    return out
