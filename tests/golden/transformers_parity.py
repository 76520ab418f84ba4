#!/usr/bin/env python3
"""Is an exported model the same model in transformers?

  transformers_parity.py RUN [--rowan build/rowan] [--rows 16] [--tolerance 1e-5]

Exports the newest checkpoint of RUN, computes the loss of the first rows of its validation data with transformers in
fp32, and compares it with what `rowan eval` prints. RUN must read its data `packed`, from shards of Rowan or llm.c.
Needs torch, transformers and numpy. Exits with 1 when the two differ by more than the relative tolerance.
"""
import argparse
import glob
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers

WIDTH = {20240520: "<u2", 20240801: "<u4"}  # of a token, by the file's magic number


def tokens_of(pattern):
    patterns = [pattern] if isinstance(pattern, str) else pattern
    for path in sorted(path for p in patterns for path in glob.glob(p)):
        with open(path, "rb") as file:
            header = numpy.frombuffer(file.read(1024), "<i4")
            yield numpy.frombuffer(file.read(), WIDTH[int(header[0])])


def rowan(binary, *arguments):
    return subprocess.run([binary, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    options = parser.parse_args()

    config = json.loads((options.run / "config.json").read_text())
    if config["data"].get("reading", "packed") != "packed":
        sys.exit("the run does not read its data packed")
    length = config["batch"]["sequence_length"]
    stream = numpy.concatenate(list(tokens_of(config["data"]["validation"]))).astype(numpy.int64)
    rows = min(options.rows, (len(stream) - 1) // length)

    printed = rowan(options.rowan, "eval", str(options.run), "--tokens", str(rows * length), "--device", "cpu")
    ours = next(float(line.split()[1]) for line in printed.splitlines() if line.startswith("loss"))

    with tempfile.TemporaryDirectory() as folder:
        rowan(options.rowan, "export", str(options.run), folder)
        model, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            sys.exit(f"{problem}: {sorted(report[problem])}")
    model = model.float().eval()
    total = 0.0
    with torch.no_grad():
        for row in range(rows):
            window = torch.from_numpy(stream[row * length : (row + 1) * length + 1])
            logits = model(window[None, :-1]).logits[0].double()
            total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    theirs = total / (rows * length)

    difference = abs(ours - theirs) / theirs
    print(f"rowan {ours:.6f}  transformers {theirs:.6f}  relative difference {difference:.1e} over {rows * length} targets")
    sys.exit(difference > options.tolerance)


if __name__ == "__main__":
    main()
