#!/usr/bin/env python3
"""Compares the training speed of Rowan and PyTorch on this CPU: same models, batch sizes, clipping and AdamW.

Needs PyTorch 2.5 or later (`pip install torch`) and a built `rowan`. PyTorch and Rowan take turns. Prints the tokens/s
of both, and the ratio of each turn of Rowan to the turn of PyTorch before it, as median (lowest to highest). --isa
limits the instructions of Rowan (ROWAN_ISA) and those of PyTorch, oneDNN and MKL; v4 limits only Rowan. --llmc DIR adds
a row for llm.c with GPT-2, B=4, T=64. DIR is a checkout of llm.c with its starter files and the built program
train_gpt2.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {
    "v2": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "v3": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "v4": {},
}
WORK = {  # model, sequences, tokens per sequence
    "quickstart": ("quickstart", 8, 256),
    "gpt2-t64": ("gpt2_124m", 4, 64),
    "gpt2-t256": ("gpt2_124m", 4, 256),
    "gpt2-t1024": ("gpt2_124m", 1, 1024),
    "llama-t256": ("llama_130m", 4, 256),
}


def model_config(name):
    if name == "quickstart":
        return json.loads((ROOT / "configs/quickstart.json").read_text())["model"]
    return json.loads((ROOT / f"configs/models/{name}.json").read_text())


def build(config):
    """The model of a Hugging Face config, as a PyTorch user would write it."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    gpt2 = config["model_type"] == "gpt2"
    width = config["n_embd" if gpt2 else "hidden_size"]
    heads = config["n_head" if gpt2 else "num_attention_heads"]
    kv_heads = heads if gpt2 else config.get("num_key_value_heads", heads)
    layers = config["n_layer" if gpt2 else "num_hidden_layers"]
    inner = config.get("n_inner") or 4 * width if gpt2 else config["intermediate_size"]
    positions = config["n_positions" if gpt2 else "max_position_embeddings"]
    bias = gpt2 and config.get("bias", True)
    size = width // heads

    def norm():
        return nn.LayerNorm(width, bias=bias) if gpt2 else nn.RMSNorm(width, eps=config.get("rms_norm_eps", 1e-6))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = norm(), norm()
            self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * size, bias=bias)
            self.out = nn.Linear(width, width, bias=bias)
            self.up = nn.Linear(width, inner if gpt2 else 2 * inner, bias=bias)
            self.down = nn.Linear(inner, width, bias=bias)

        def forward(self, x, rotation):
            batch, seq, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).split([heads * size, kv_heads * size, kv_heads * size], dim=2)
            q = q.view(batch, seq, heads, size).transpose(1, 2)
            k = k.view(batch, seq, kv_heads, size).transpose(1, 2)
            v = v.view(batch, seq, kv_heads, size).transpose(1, 2)
            if rotation is not None:
                q, k = rotate(q, *rotation), rotate(k, *rotation)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=kv_heads != heads)
            x = x + self.out(y.transpose(1, 2).reshape(batch, seq, width))
            h = self.up(self.norm2(x))
            if gpt2:
                return x + self.down(F.gelu(h, approximate="tanh"))
            gate, up = h.chunk(2, dim=2)
            return x + self.down(F.silu(gate) * up)

    def rotate(x, cosine, sine):
        a, b = x.chunk(2, dim=3)
        cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
        return torch.cat([a * cosine - b * sine, b * cosine + a * sine], dim=3)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(config["vocab_size"], width)
            self.positions = nn.Embedding(positions, width) if gpt2 else None
            self.blocks = nn.ModuleList(Block() for _ in range(layers))
            self.norm = norm()
            self.head = nn.Linear(width, config["vocab_size"], bias=False)
            if gpt2 or config.get("tie_word_embeddings", False):
                self.head.weight = self.tokens.weight
            if not gpt2:
                theta = config.get("rope_theta", 10000.0)
                angles = torch.arange(positions)[:, None] * theta ** (-torch.arange(0, size, 2) / size)
                self.register_buffer("cosine", angles.cos(), persistent=False)
                self.register_buffer("sine", angles.sin(), persistent=False)
            for p in self.parameters():
                if p.dim() == 2:
                    nn.init.normal_(p, std=0.02)

        def forward(self, ids, targets):
            seq = ids.shape[1]
            x = self.tokens(ids)
            if gpt2:
                x = x + self.positions(torch.arange(seq))
            rotation = None if gpt2 else (self.cosine[:seq], self.sine[:seq])
            for block in self.blocks:
                x = block(x, rotation)
            logits = self.head(self.norm(x))
            return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    return Model()


def serve(options):
    """The PyTorch process: trains one step for every line of stdin and prints the step's seconds."""
    import time

    import torch

    if options.isa == "v3":
        import torch._inductor.config as inductor

        inductor.cpp.simdlen = 256
    torch.manual_seed(1)
    name, batch, seq = WORK[options.work[0]]
    config = model_config(name)
    model = build(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    call = torch.compile(model) if options.mode == "compiled" else model
    data = torch.randint(0, config["vocab_size"], (batch, seq + 1))

    def step():
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = call(data[:, :-1], data[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        return time.perf_counter() - start

    step(), step()
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters())}), flush=True)
    for _ in sys.stdin:
        print(step(), flush=True)


class Torch:
    def __init__(self, options, work, precision, mode, environment):
        command = [sys.executable, __file__, "--serve", "--work", work, "--precision", precision, "--mode", mode]
        command += ["--isa", options.isa] if options.isa else []
        self.process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.parameters = json.loads(self.process.stdout.readline() or sys.exit("bench_torch: PyTorch did not start"))

    def seconds(self, steps):
        times = []
        for _ in range(steps):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            times.append(float(self.process.stdout.readline()))
        return statistics.median(times)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rowan(options, work, precision, environment):
    name, batch, seq = WORK[work]
    with tempfile.TemporaryDirectory() as folder:
        model, result = Path(folder, "model.json"), Path(folder, "result.json")
        model.write_text(json.dumps(model_config(name)))
        subprocess.run([options.rowan, "bench", "step", "--device", "cpu", "--model", model, "--batch", str(batch),
                        "--seq", str(seq), "--precision", precision, "--steps", str(options.steps), "--json", result],
                       check=True, env=environment, stdout=subprocess.DEVNULL)
        return json.loads(result.read_text())


def llmc(options, environment):
    """The median seconds of a step of llm.c on 4 x 64 tokens."""
    times = []
    with subprocess.Popen(["./train_gpt2"], cwd=options.llmc, env=environment, text=True,
                          stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if found := re.search(r"took ([\d.]+) ms", line):
                times.append(float(found[1]) / 1e3)
            if len(times) > options.steps:
                process.kill()
    return statistics.median(times[1:])


def spread(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--precision", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--mode", nargs="+", choices=["eager", "compiled"], default=["eager", "compiled"])
    parser.add_argument("--isa", choices=LIMITS, help="limit Rowan and PyTorch to these instructions")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--pairs", type=int, default=3, help="number of turns of Rowan and of PyTorch")
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn; the median of their times counts")
    parser.add_argument("--rowan", default=str(ROOT / "build/rowan"))
    parser.add_argument("--llmc", help="a checkout of llm.c")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        options.precision, options.mode = options.precision[0], options.mode[0]
        return serve(options)

    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    if options.isa:
        environment |= {"ROWAN_ISA": options.isa, **LIMITS[options.isa]}
    asked = subprocess.run([sys.executable, "-c", "import torch; print(torch.__version__)"], text=True,
                           capture_output=True)
    version = asked.stdout.strip()
    if asked.returncode or tuple(map(int, re.findall(r"\d+", version)[:2])) < (2, 5):
        found = f"PyTorch {version}" if version else (asked.stderr.strip() or "nothing").splitlines()[-1]
        sys.exit(f"bench_torch: found {found}, expected PyTorch 2.5 or later (pip install torch)")
    print(f"PyTorch {version}, {options.threads} threads, {options.isa or 'every instruction'}; "
          f"medians of {options.pairs} turns of {options.steps} steps (lowest to highest)\n")
    print("| work | precision | PyTorch | its tokens/s | Rowan tokens/s | ratio of the pairs | Rowan of its products |")
    print("|---|---|---|---|---|---|---|", flush=True)
    device = ""
    for work in options.work:
        name, batch, seq = WORK[work]
        for precision in options.precision:
            for mode in options.mode:
                torch = Torch(options, work, precision, mode, environment)
                pairs = []
                for _ in range(options.pairs):
                    theirs = batch * seq / torch.seconds(options.steps)
                    pairs.append((theirs, rowan(options, work, precision, environment)))
                torch.close()
                device = pairs[0][1]["device"]
                theirs, ours = [p[0] for p in pairs], [p[1]["tokens_per_second"] for p in pairs]
                print(f"| {name} B{batch} T{seq} | {precision} | {mode} | {spread(theirs, ',.0f')} | "
                      f"{spread(ours, ',.0f')} | {spread([b / a for a, b in zip(theirs, ours)], '.2f')} | "
                      f"{spread([p[1]['of_products'] for p in pairs], '.2f')} |", flush=True)
        if options.llmc and work == "gpt2-t64":
            print(f"| {name} B{batch} T{seq} | fp32 | llm.c | {batch * seq / llmc(options, environment):,.0f} | | | |")
    print(f"\n{device}")


if __name__ == "__main__":
    main()
