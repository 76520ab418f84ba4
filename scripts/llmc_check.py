#!/usr/bin/env python3
"""Repeats two training runs of llm.c from OpenAI's GPT-2 124M with Rowan, and compares the losses with llm.c's.

    python3 scripts/llmc_check.py GPT2 SHARDS [--rowan build/rowan] [--out runs/llmc_check] [--device cpu]

GPT2 is a folder with the published weights in Hugging Face's format (config.json, model.safetensors). SHARDS is a
folder with tinyshakespeare in GPT-2 tokens, split into training and validation as in llm.c:

    build/rowan tokenize --tokenizer gpt2:data/tokenizers/gpt2.tiktoken --split blank --validation tokens:32768 \\
      --out data/tinyshakespeare input.txt

There are two checks. The first compares the ten losses of test_gpt2.c (one batch, ten updates; tolerance 0.01, as in
test_gpt2.c). The second compares the validation and training losses that llm.c's README.md printed in April 2024 (41
steps; same tolerance). The checks take about 5 and 20 minutes on two cores. Uses only the standard library.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys

TOLERANCE = 0.01
ROWS, LENGTH = 4, 64
# llm.c's test_gpt2.c at f1e2ace: the loss before each of ten updates.
TEST_LOSSES = [5.270007133, 4.059706688, 3.375123024, 2.800782681, 2.315382242, 1.849028587, 1.394656420, 0.999146521,
               0.624080420, 0.376510978]
# llm.c's README.md at e8e1628: training losses by 0-based step, validation losses by number of finished updates.
README_TRAIN = {0: 5.356189, 1: 4.301069, 2: 4.623322, 3: 4.600470, 39: 3.970751, 40: 4.377757}
README_VALIDATION = {0: 5.252026, 40: 4.107781}
MAGIC, VERSION, HEADER_WORDS = 20240520, 1, 256


def read_tokens(path, count):
    data = path.read_bytes()
    magic, version, tokens = struct.unpack_from("<3i", data)
    if (magic, version) != (MAGIC, VERSION) or tokens < count:
        sys.exit(f"llmc_check: {path}: no llm.c shard of {count} tokens or more")
    return data[4 * HEADER_WORDS:4 * HEADER_WORDS + 2 * count]


def write_shard(path, tokens):
    header = struct.pack("<3i", MAGIC, VERSION, len(tokens) // 2) + bytes(4 * (HEADER_WORDS - 3))
    path.write_bytes(header + tokens)


def config(args, name, train, validation, steps, decay):
    return {
        "model": json.loads((args.gpt2 / "config.json").read_text()) | {"attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0},
        "init": str(args.gpt2),
        "data": {"train": str(train), "validation": str(validation), "order": "sequential"},
        "batch": {"sequences": ROWS, "sequence_length": LENGTH},
        "optimizer": {"name": "adamw", "lr": 1e-4, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": decay,
                      "vector_weight_decay": decay},
        "schedule": {"name": "constant"},
        "device": args.device, "precision": "fp32",
        "run": {"dir": str(args.out / name), "steps": steps, "log_every": 1, "eval_every": 10,
                "eval_tokens": 10 * ROWS * LENGTH, "keep": 1},
    }


def run(args, name, settings):
    """Trains, or continues a run. Returns the rows of metrics.jsonl."""
    file = args.out / f"{name}.json"
    file.write_text(json.dumps(settings, indent=1) + "\n")
    if code := subprocess.run([args.rowan, "train", str(file)]).returncode:
        sys.exit(f"llmc_check: rowan train {file} ended with {code}")
    return [json.loads(line) for line in (args.out / name / "metrics.jsonl").read_text().splitlines()]


def verdict(title, pairs):
    """Prints Rowan's losses beside llm.c's. Returns whether all differences are within the tolerance."""
    print(f"\n{title}\n{'':>16}{'llm.c':>12}{'rowan':>12}{'difference':>12}")
    good = True
    for name, want, got in pairs:
        close = got is not None and abs(got - want) <= TOLERANCE
        good &= close
        shown = "absent" if got is None else f"{got:.6f}"
        print(f"{name:>16}{want:>12.6f}{shown:>12}{'' if got is None else f'{got - want:+.6f}':>12}{'' if close else '  differs'}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gpt2", type=pathlib.Path)
    parser.add_argument("shards", type=pathlib.Path)
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/llmc_check"))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    train, validation = (next(iter(sorted(args.shards.glob(f"{part}*.bin"))), None) for part in ("train", "val"))
    if not train or not validation:
        sys.exit(f"llmc_check: {args.shards}: no train*.bin and val*.bin")
    args.out.mkdir(parents=True, exist_ok=True)
    batch = args.out / "batch.bin"
    write_shard(batch, read_tokens(validation, ROWS * LENGTH + 1))

    rows = run(args, "test_gpt2", config(args, "test_gpt2", batch, batch, 10, 0.01))
    losses = {row["step"]: row["loss"] for row in rows if "loss" in row}
    good = verdict("test_gpt2: one batch, ten updates",
                   [(f"step {i}", want, losses.get(i + 1)) for i, want in enumerate(TEST_LOSSES)])

    start = run(args, "readme_start", config(args, "readme_start", train, validation, 0, 0))
    rows = run(args, "readme", config(args, "readme", train, validation, 41, 0))
    losses = {row["step"]: row["loss"] for row in rows if "loss" in row}
    measured = {row["step"]: row["val_loss"] for row in start + rows if "val_loss" in row}
    pairs = [(f"train {step}", want, losses.get(step + 1)) for step, want in README_TRAIN.items()]
    pairs += [(f"validation {step}", want, measured.get(step)) for step, want in README_VALIDATION.items()]
    good &= verdict("README: 41 steps of tinyshakespeare", pairs)
    print(f"\n{'all within' if good else 'NOT all within'} {TOLERANCE} of llm.c")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
