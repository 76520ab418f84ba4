#!/usr/bin/env python3
"""Trains a small model of modded-nanogpt's Track 3 with rowan and with PyTorch, from the same weights on the same rows.

    python3 scripts/track3_check.py [--entry muon] [--rowan build/rowan] [--steps 50] [--hidden 64] [--text FILE]

Rowan takes optimizer and schedule from configs/papers/track3/track3_162m_ENTRY.json (muon, muon_12, normuon, muonh,
adamh, adamw). The PyTorch program is written from the formulas of the entries. Its losses are sums over a step's
targets, and its eps is the published one. Both run in fp32 on the CPU. Numbers of steps are scaled down to the run. The
warm-up of `adamw` (entry 2) is left out. Fails if the losses of a step differ by more than 1e-3. Needs torch. Not part
of `make test`.
"""
import argparse
import array
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

SEQUENCE, SEQUENCES, VOCABULARY = 64, 8, 256
PUBLISHED_TARGETS = 512 * 1024
# Settings from the logs of the entries. rule, lr, decay: optimizer, learning rate and weight decay of the blocks'
# matrices. rates: learning rates of embedding, head and vectors. aux_decay: weight decay of these three. fall: the
# fraction of the run at its end in which the learning rate falls, for the matrices and for the other parameters.
# warmup: the fraction of the run in which the learning rate of the matrices rises.
ENTRIES = {
    "muon": {"rule": "muon", "lr": 0.025, "decay": 0.05, "rates": (0.7, 0.004, 0.015), "aux_decay": 0.001, "fall": (0.7, 0.7)},
    "muon_12": {"rule": "muon", "lr": 0.035, "decay": 0.025, "rates": (0.3, 1 / 320, 0.01), "aux_decay": 0, "fall": (0.7, 0.7)},
    "normuon": {"rule": "normuon", "lr": 0.035, "decay": 0.025, "rates": (0.3, 1 / 320, 0.01), "aux_decay": 0, "fall": (0.7, 0.7)},
    "muonh": {"rule": "muonh", "lr": 0.018, "decay": 0, "rates": (0.3, 1 / 320, 0.01), "aux_decay": 0, "fall": (1.0, 0.4)},
    "adamh": {"rule": "adamh", "lr": 0.018, "decay": 0, "rates": (0.3, 1 / 320, 0.01), "aux_decay": 0, "fall": (1.0, 0.4),
              "warmup": 250 / 4875},
    "adamw": {"rule": "adamw", "lr": 0.0015, "decay": 0.1, "rates": (0.3, 1 / 320, 0.01), "aux_decay": 0, "fall": (0.7, 0.7)},
}
BETAS, EPS = (0.8, 0.95), 1e-10
HYPERBALL = ("muonh", "adamh")


def model_config(hidden):
    return {
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": hidden, "num_hidden_layers": 2,
        "num_attention_heads": 2, "head_dim": hidden // 2, "intermediate_size": 4 * hidden,
        "max_position_embeddings": SEQUENCE, "rms_norm_eps": 2.0**-23, "embedding_norm": True, "attention_bias": True,
        "mlp_bias": True, "head_bias": True, "qk_norm": "rms", "hidden_act": "relu2", "gated_mlp": False,
        "attention_scale": 0.12, "rope_theta": 1024, "rope_fraction": 0.5, "rope_frequencies": "endpoint",
        "rope_direction": -1, "logit_softcap": 15, "tie_word_embeddings": False}


def initial_weights(c, rule):
    hidden, inner = c["hidden_size"], c["intermediate_size"]
    torch.manual_seed(1)
    weights = {"model.embed_tokens.weight": torch.randn(VOCABULARY, hidden),
               "model.embed_norm.weight": torch.ones(hidden), "model.norm.weight": torch.ones(hidden),
               "lm_head.weight": torch.zeros(VOCABULARY, hidden), "lm_head.bias": torch.zeros(VOCABULARY)}
    for layer in range(c["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{name}{norm}.weight"] = torch.ones(hidden)
        for part, out, fan_in in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", hidden, hidden),
                                  ("self_attn.v_proj", hidden, hidden), ("self_attn.o_proj", hidden, hidden),
                                  ("mlp.up_proj", inner, hidden), ("mlp.down_proj", hidden, inner)):
            written = part.endswith(("o_proj", "down_proj"))  # the output is added to the residual stream
            uniform = (2 * torch.rand(out, fan_in) - 1) / math.sqrt(fan_in)
            scale = {"self_attn.o_proj": 1.25, "mlp.down_proj": 3, "mlp.up_proj": 1.5}.get(part, 1)
            weight = uniform * scale if rule in HYPERBALL else uniform if rule == "adamw" else \
                torch.randn(out, fan_in) * math.sqrt(0.33 / fan_in)
            weights[f"{name}{part}.weight"] = weight * (0 if written and rule not in HYPERBALL else 1)
            biased = rule in (*HYPERBALL, "adamw") and not written
            weights[f"{name}{part}.bias"] = (2 * torch.rand(out) - 1) / math.sqrt(fan_in) if biased else torch.zeros(out)
    return weights


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = array.array("f", tensor.flatten().tolist()).tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def rms_norm(x, gain=None):
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 2.0**-23)
    return x if gain is None else x * gain


def rotated(x):
    """Rotary positions for x [rows, heads, positions, head_dim]: the first half of the pairs (j, j + head_dim / 2)
    rotates by -angle."""
    half, positions = x.shape[-1] // 2, torch.arange(x.shape[-2], dtype=torch.float64)
    turning = half // 2
    frequency = torch.cat([(1 / 1024) ** torch.linspace(0, 1, turning, dtype=torch.float64),
                           torch.zeros(half - turning, dtype=torch.float64)])
    angle = positions[:, None] * frequency
    cos, sin = angle.cos().float(), angle.sin().float()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos + b * sin, b * cos - a * sin], -1)


def loss_of(w, c, inputs, targets):
    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    heads = c["num_attention_heads"]
    x = rms_norm(w["model.embed_tokens.weight"][inputs], w["model.embed_norm.weight"])
    for layer in range(c["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        normed = rms_norm(x, w[f"{name}input_layernorm.weight"])
        q, k, v = (linear(normed, f"{name}self_attn.{p}_proj").unflatten(-1, (heads, -1)).transpose(1, 2)
                   for p in "qkv")
        scores = 0.12 * rotated(rms_norm(q)) @ rotated(rms_norm(k)).transpose(2, 3)
        ahead = torch.ones(SEQUENCE, SEQUENCE, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(ahead, -math.inf).softmax(-1) @ v
        x = x + linear(mixed.transpose(1, 2).flatten(2), f"{name}self_attn.o_proj")
        normed = rms_norm(x, w[f"{name}post_attention_layernorm.weight"])
        x = x + linear(linear(normed, f"{name}mlp.up_proj").relu().square(), f"{name}mlp.down_proj")
    logits = linear(rms_norm(x, w["model.norm.weight"]), "lm_head")
    logits = 15 * logits * torch.rsqrt(logits.square() + 225)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")


def orthogonalized(u):
    x = u / (u.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(12):
        a = x @ x.T
        x = 2 * x - 1.5 * (a @ x) + 0.5 * (a @ (a @ x))
    return (x.T if tall else x) * max(1, u.shape[0] / u.shape[1]) ** 0.5


def adam_direction(matrix, state):
    step = state["step"] = state.get("step", 0) + 1
    first = state.setdefault("first", torch.zeros_like(matrix))
    second = state.setdefault("second", torch.zeros_like(matrix))
    first.mul_(0.9).add_(matrix.grad, alpha=0.1)
    second.mul_(0.95).add_(matrix.grad.square(), alpha=0.05)
    return first / (1 - 0.9**step) / ((second / (1 - 0.95**step)).sqrt() + 1e-8)


def matrix_step(matrix, state, entry, lr):
    if entry["rule"] == "adamh":
        update = adam_direction(matrix, state)
    else:
        momentum = state.setdefault("momentum", torch.zeros_like(matrix))
        momentum.mul_(0.95).add_(matrix.grad, alpha=0.05)
        update = orthogonalized(0.05 * matrix.grad + 0.95 * momentum)
    if entry["rule"] in HYPERBALL:
        radius = matrix.norm()
        matrix.sub_(update * (lr * radius / update.norm().clamp(min=1e-10)))
        matrix.mul_(radius / matrix.norm().clamp(min=1e-10))
        return
    if entry["rule"] == "normuon":
        norm, along = update.norm(), 1 if matrix.shape[0] >= matrix.shape[1] else 0
        second = state.setdefault("second", torch.zeros_like(update.mean(along, keepdim=True)))
        second.mul_(0.95).add_(update.square().mean(along, keepdim=True), alpha=0.05)
        update = update * second.clamp(min=1e-10).rsqrt()
        update = update * (norm / update.norm().clamp(min=1e-10))
    matrix.mul_(1 - lr * entry["decay"]).sub_(update, alpha=lr)


def torch_losses(weights, c, tokens, steps, entry):
    w = {name: value.clone().requires_grad_() for name, value in weights.items()}
    matrices = [v for n, v in w.items() if ".layers." in n and v.dim() == 2]
    of = ([w["model.embed_tokens.weight"]], [w["lm_head.weight"]], [v for v in w.values() if v.dim() == 1])
    others = torch.optim.AdamW([{"params": group, "lr": rate} for group, rate in zip(of, entry["rates"])], betas=BETAS,
                               eps=EPS, weight_decay=entry["aux_decay"])
    blocks = torch.optim.AdamW(matrices, lr=entry["lr"], betas=(0.9, 0.95), eps=EPS, weight_decay=entry["decay"])
    states, losses = [{} for _ in matrices], []

    def factor(step, part):
        return 1.0 if step / steps < 1 - part else (1 - step / steps) / part

    for step in range(steps):
        begin = step * SEQUENCE * SEQUENCES
        window = torch.tensor(tokens[begin:begin + SEQUENCE * SEQUENCES + 1])
        loss = loss_of(w, c, window[:-1].view(SEQUENCES, -1), window[1:].view(SEQUENCES, -1))
        losses.append(loss.item() / (SEQUENCE * SEQUENCES))
        for value in w.values():
            value.grad = None
        loss.backward()
        own, aux = (factor(step, part) for part in entry["fall"])
        warmup = round(entry.get("warmup", 0) * steps)
        if step < warmup:
            own = step / warmup
        for group, rate in zip(others.param_groups, entry["rates"]):
            group["lr"] = rate * aux
        others.step()
        if entry["rule"] == "adamw":
            blocks.param_groups[0]["lr"] = entry["lr"] * own
            blocks.step()
            continue
        with torch.no_grad():
            for matrix, state in zip(matrices, states):
                matrix_step(matrix, state, entry, entry["lr"] * own)
    return losses


def small(value, steps, published_steps, left_out):
    """Adapts a section of the published config to this run: eps to its number of targets, schedules to its number of
    steps."""
    if isinstance(value, list):
        return [small(v, steps, published_steps, left_out) for v in value]
    if not isinstance(value, dict):
        return value
    result = {k: small(v, steps, published_steps, left_out) for k, v in value.items() if k not in left_out}
    for key in ("eps", "ns_eps", "adapt_eps"):
        if key in result:
            result[key] *= PUBLISHED_TARGETS / (SEQUENCE * SEQUENCES)
    for key in ("decay_steps", "warmup_steps"):
        if key in result:
            result[key] = round(result[key] * steps / published_steps)
    return result


def rowan_losses(rowan, weights, c, tokens, steps, published, warms_up, folder):
    write_safetensors(folder / "start.safetensors", weights)
    (folder / "tokens.bin").write_bytes(array.array("H", tokens).tobytes())
    config = {
        "model": c, "init": str(folder / "start.safetensors"),
        "data": {"train": str(folder / "tokens.bin"), "format": "nanogpt", "width": 2, "order": "sequential"},
        "batch": {"sequences": SEQUENCES, "sequence_length": SEQUENCE},
        **{section: small(published[section], steps, published["run"]["steps"],
                          ("ns_precision",) if warms_up else ("ns_precision", "warmup_steps"))
           for section in ("optimizer", "schedule")},
        "device": "cpu", "precision": "fp32", "run": {"dir": str(folder / "run"), "steps": steps, "log_every": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    subprocess.run([rowan, "train", str(folder / "config.json")], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE)
    rows = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entry", default="muon", choices=ENTRIES)
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--text", default=__file__, help="what the models read, byte by byte, over and over")
    options = parser.parse_args()
    global torch  # imported after --help
    try:
        import torch
    except ImportError:
        sys.exit("track3_check: needs torch (pip install torch, or Debian's python3-torch)")
    text = pathlib.Path(options.text).read_bytes()
    wanted = options.steps * SEQUENCE * SEQUENCES + 1
    tokens = list((text * (wanted // len(text) + 1))[:wanted])
    c = model_config(options.hidden)
    entry = ENTRIES[options.entry]
    file = pathlib.Path(__file__).parent.parent / f"configs/papers/track3/track3_162m_{options.entry}.json"
    published = json.loads(file.read_text())
    weights = initial_weights(c, entry["rule"])
    with tempfile.TemporaryDirectory() as folder:
        ours = rowan_losses(options.rowan, weights, c, tokens, options.steps, published, "warmup" in entry,
                            pathlib.Path(folder))
    theirs = torch_losses(weights, c, tokens, options.steps, entry)
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    for step in range(0, options.steps, max(1, options.steps // 10)):
        print(f"step {step:4}  rowan {ours[step]:.6f}  torch {theirs[step]:.6f}")
    print(f"largest difference in {options.steps} steps: {worst:.2e}")
    if len(ours) != options.steps or not worst < 1e-3:
        sys.exit("track3_check: the losses differ")


if __name__ == "__main__":
    main()
