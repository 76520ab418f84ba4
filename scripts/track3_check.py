#!/usr/bin/env python3
"""Trains a small model of modded-nanogpt's Track 3 with rowan and with PyTorch, from the same weights on the same rows.

    python3 scripts/track3_check.py [--rowan build/rowan] [--steps 50] [--hidden 64] [--text FILE]

The PyTorch program is written from the formulas in configs/papers/track3/README.md. Both take Muon for the matrices of
the blocks and AdamW for the rest, in fp32 on the CPU. Fails when the losses of a step differ by more than 1e-3. Needs
torch; not part of `make test`.
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

try:
    import torch
except ImportError:
    sys.exit("track3_check: needs torch (pip install torch, or Debian's python3-torch)")

SEQUENCE, SEQUENCES, VOCABULARY = 64, 8, 256
MUON = {"lr": 0.02, "weight_decay": 0.05, "momentum": 0.95, "ns_steps": 12, "ns_eps": 1e-7}
# Role: rate. Betas, eps and decay are those of all of AdamW.
RATES = {"embedding": 0.05, "head": 0.004, "vector": 0.015}
BETAS, EPS, DECAY = (0.8, 0.95), 1e-10, 0.001


def model_config(hidden):
    return {
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": hidden, "num_hidden_layers": 2,
        "num_attention_heads": 2, "head_dim": hidden // 2, "intermediate_size": 4 * hidden,
        "max_position_embeddings": SEQUENCE, "rms_norm_eps": 2.0**-23, "embedding_norm": True, "attention_bias": True,
        "mlp_bias": True, "head_bias": True, "qk_norm": "rms", "hidden_act": "relu2", "gated_mlp": False,
        "attention_scale": 0.12, "rope_theta": 1024, "rope_fraction": 0.5, "rope_frequencies": "endpoint",
        "rope_direction": -1, "logit_softcap": 15, "tie_word_embeddings": False}


def initial_weights(c):
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
            zero = part.endswith(("o_proj", "down_proj"))
            weights[f"{name}{part}.weight"] = torch.randn(out, fan_in) * (0 if zero else math.sqrt(0.33 / fan_in))
            weights[f"{name}{part}.bias"] = torch.zeros(out)
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
    """x [rows, heads, positions, head_dim]: the first half of the pairs (j, j + head_dim / 2) turns by -angle."""
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
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def orthogonalized(u):
    x = u / (u.norm() + MUON["ns_eps"])
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(MUON["ns_steps"]):
        a = x @ x.T
        x = 2 * x - 1.5 * (a @ x) + 0.5 * (a @ (a @ x))
    return (x.T if tall else x) * max(1, u.shape[0] / u.shape[1]) ** 0.5


def torch_losses(weights, c, tokens, steps):
    w = {name: value.clone().requires_grad_() for name, value in weights.items()}
    matrices = [v for n, v in w.items() if ".layers." in n and v.dim() == 2]
    of = {"embedding": [w["model.embed_tokens.weight"]], "head": [w["lm_head.weight"]],
          "vector": [v for v in w.values() if v.dim() == 1]}
    adamw = torch.optim.AdamW([{"params": of[role], "lr": rate} for role, rate in RATES.items()], betas=BETAS, eps=EPS,
                              weight_decay=DECAY)
    momenta, losses = [torch.zeros_like(m) for m in matrices], []
    for step in range(steps):
        begin = step * SEQUENCE * SEQUENCES
        window = torch.tensor(tokens[begin:begin + SEQUENCE * SEQUENCES + 1])
        loss = loss_of(w, c, window[:-1].view(SEQUENCES, -1), window[1:].view(SEQUENCES, -1))
        losses.append(loss.item())
        for value in w.values():
            value.grad = None
        loss.backward()
        adamw.step()
        with torch.no_grad():
            for matrix, momentum in zip(matrices, momenta):
                mu = MUON["momentum"]
                momentum.mul_(mu).add_(matrix.grad, alpha=1 - mu)
                update = (1 - mu) * matrix.grad + mu * momentum
                matrix.mul_(1 - MUON["lr"] * MUON["weight_decay"]).sub_(orthogonalized(update), alpha=MUON["lr"])
    return losses


def rowan_losses(rowan, weights, c, tokens, steps, folder):
    write_safetensors(folder / "start.safetensors", weights)
    (folder / "tokens.bin").write_bytes(array.array("H", tokens).tobytes())
    adamw = {"name": "adamw", "betas": BETAS, "eps": EPS, "weight_decay": DECAY}
    config = {
        "model": c, "init": str(folder / "start.safetensors"),
        "data": {"train": str(folder / "tokens.bin"), "format": "nanogpt", "width": 2, "order": "sequential"},
        "batch": {"sequences": SEQUENCES, "sequence_length": SEQUENCE},
        "optimizer": {"name": "muon", **MUON, "ns_coefficients": [[2, -1.5, 0.5]],
                      "groups": [{"roles": roles, "lr": RATES[role], **adamw}
                                 for role, roles in (("embedding", ["embedding"]), ("head", ["head"]),
                                                     ("vector", ["norm", "bias"]))]},
        "schedule": {"name": "constant"}, "device": "cpu", "precision": "fp32",
        "run": {"dir": str(folder / "run"), "steps": steps, "log_every": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    subprocess.run([rowan, "train", str(folder / "config.json")], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE)
    rows = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--text", default=__file__, help="what the models read, byte by byte, over and over")
    options = parser.parse_args()
    text = pathlib.Path(options.text).read_bytes()
    wanted = options.steps * SEQUENCE * SEQUENCES + 1
    tokens = list((text * (wanted // len(text) + 1))[:wanted])
    c = model_config(options.hidden)
    weights = initial_weights(c)
    with tempfile.TemporaryDirectory() as folder:
        ours = rowan_losses(options.rowan, weights, c, tokens, options.steps, pathlib.Path(folder))
    theirs = torch_losses(weights, c, tokens, options.steps)
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    for step in range(0, options.steps, max(1, options.steps // 10)):
        print(f"step {step:4}  rowan {ours[step]:.6f}  torch {theirs[step]:.6f}")
    print(f"largest difference in {options.steps} steps: {worst:.2e}")
    if len(ours) != options.steps or not worst < 1e-3:
        sys.exit("track3_check: the losses differ")


if __name__ == "__main__":
    main()
