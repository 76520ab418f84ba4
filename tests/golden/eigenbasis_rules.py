"""Computes the update rules with eigenbases, SOAP-Muon and Shampoo, in float64. optimizer_rules.py has the other rules.
"""
import math

from optimizer_rules import Ema, SETS, decayed, each, keller, newton_schulz, norm, product, transpose, zeros


def eigenvectors(a):
    """Returns (eigenvalues in falling order, eigenvectors as columns) of a symmetric matrix, by Jacobi rotations."""
    n = len(a)
    a, q = [list(row) for row in a], [[float(i == j) for j in range(n)] for i in range(n)]
    for _ in range(60):
        for i in range(n):
            for j in range(i + 1, n):
                if abs(a[i][j]) <= 1e-300:
                    continue
                theta = (a[j][j] - a[i][i]) / (2 * a[i][j])
                t = (1 if theta >= 0 else -1) / (abs(theta) + math.sqrt(theta * theta + 1))
                c = 1 / math.sqrt(t * t + 1)
                s = c * t
                for row in a:
                    row[i], row[j] = c * row[i] - s * row[j], s * row[i] + c * row[j]
                a[i], a[j] = [c * x - s * y for x, y in zip(a[i], a[j])], [s * x + c * y for x, y in zip(a[i], a[j])]
                for row in q:
                    row[i], row[j] = c * row[i] - s * row[j], s * row[i] + c * row[j]
    order = sorted(range(n), key=lambda i: -a[i][i])
    return [a[i][i] for i in order], [[row[i] for i in order] for row in q]


def orthonormal(a):
    """The orthogonal factor of a QR decomposition, by Gram-Schmidt with reorthogonalization."""
    columns = []
    for v in transpose(a):
        for _ in range(2):
            for u in columns:
                k = math.fsum(x * y for x, y in zip(u, v))
                v = [y - k * x for x, y in zip(u, v)]
        size = math.sqrt(math.fsum(x * x for x in v))
        columns.append([x / size for x in v])
    return transpose(columns)


class Factor:
    """The average of g g^T for one side of a matrix, and its eigenbasis. If `kept` is false, the basis is the identity
    matrix."""

    def __init__(self, size, beta, kept=True):
        self.beta, self.kept = beta, kept
        self.sum, self.q = zeros(size, size), [[float(i == j) for j in range(size)] for i in range(size)]

    def add(self, g):
        self.sum = each(lambda x, y: self.beta * x + (1 - self.beta) * y, self.sum, product(g, transpose(g)))

    def decompose(self):
        if self.kept:
            self.q = eigenvectors(self.sum)[1]

    def move(self, v):
        """Updates the basis by one power iteration. Returns the rows of v in the order of the sorted basis columns."""
        if not self.kept:
            return v
        turned = product(self.sum, self.q)
        values = [math.fsum(x * y for x, y in zip(p, c)) for p, c in zip(transpose(turned), transpose(self.q))]
        order = sorted(range(len(values)), key=lambda i: -values[i])
        self.q = orthonormal(product(self.sum, [[row[i] for i in order] for row in self.q]))
        return [v[i] for i in order]


def sides(w, h, beta):
    rows, columns, one = len(w), len(w[0]), h.get("one_sided", False)
    return Factor(rows, beta, not (one and rows > columns)), Factor(columns, beta, not (one and columns > rows))


def soap_muon(w, grads, h):
    momentum, v, out = Ema(w, h), zeros(len(w), len(w[0])), []
    left, right = sides(w, h, h["beta2"])
    for k, g in enumerate(grads):
        u = momentum(g)
        if k > 0:
            p = product(product(transpose(left.q), u), right.q)
            v = each(lambda x, y: h["beta2"] * x + (1 - h["beta2"]) * y * y, v, p)
            u = each(lambda x, y: x / (math.sqrt(y) + h["precondition_eps"]), p, v)
            u = product(product(left.q, u), transpose(right.q))
            rms = norm(u) / math.sqrt(len(w) * len(w[0]))
            u = each(lambda x: x / rms, u)
        w = decayed(w, h, h["lr"] * keller(w), newton_schulz(u, h["ns_steps"], SETS[h["ns_coefficients"]][0]))
        left.add(g)
        right.add(transpose(g))
        if k == 0:
            left.decompose()
            right.decompose()
        elif k % h["precondition_frequency"] == 0:
            v = left.move(v)
            v = transpose(right.move(transpose(v)))
        out.append(w)
    return out


def shampoo(w, grads, h):
    """Shampoo without grafting. The roots are computed in every step."""
    m, out = zeros(len(w), len(w[0])), []
    left, right = sides(w, h, h["beta2"])
    for t, g in enumerate(grads, 1):
        m = each(lambda x, y: h["momentum"] * x + (1 - h["momentum"]) * y, m, g)
        u = each(lambda x: x / (1 - h["momentum"]**t), m)
        left.add(g)
        right.add(transpose(g))
        for side, flip in ((left, lambda a: a), (right, transpose)):
            if not side.kept:
                continue
            values, q = eigenvectors(each(lambda x: x / (1 - h["beta2"]**t), side.sum))
            powers = [(max(x, 0.0) + h["precondition_eps"])**h["shampoo_exponent"] for x in values]
            root = product([[x * p for x, p in zip(row, powers)] for row in q], transpose(q))
            u = flip(product(root, flip(u)))
        w = decayed(w, h, h["lr"], u)
        out.append(w)
    return out
