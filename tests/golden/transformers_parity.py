#!/usr/bin/env python3
"""Checks that Rowan and transformers compute the same loss, for a model exported by Rowan and for one that transformers
saved.

  transformers_parity.py RUN [--rowan build/rowan] [--rows 16] [--tolerance 1e-5]

Export: exports the newest checkpoint of RUN, computes the loss of the first rows of its validation data with
transformers in fp32, and compares it with the loss that `rowan eval` prints. Import: draws other weights for that
model, saves them with save_pretrained, starts a run of 0 steps from them (`init`), and compares again. RUN must read
its data `packed`, from shards of Rowan or llm.c. Needs torch, transformers and numpy. Exits with 1 if the losses differ
by more than the relative tolerance.
"""
import argparse
import glob
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers

WIDTH = {20240520: "<u2", 20240801: "<u4"}  # the type of a token, by the file's magic number


def tokens_of(pattern):
    patterns = [pattern] if isinstance(pattern, str) else pattern
    for path in sorted(path for p in patterns for path in glob.glob(p)):
        with open(path, "rb") as file:
            header = numpy.frombuffer(file.read(1024), "<i4")
            yield numpy.frombuffer(file.read(), WIDTH[int(header[0])])


def rowan(binary, *arguments):
    return subprocess.run([binary, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def loss_in_rowan(binary, run, targets):
    printed = rowan(binary, "eval", run, "--tokens", targets, "--device", "cpu")
    return next(float(line.split()[1]) for line in printed.splitlines() if line.startswith("loss"))


def loss_in_transformers(model, windows):
    with torch.no_grad():
        total = sum(
            torch.nn.functional.cross_entropy(model(w[None, :-1]).logits[0].double(), w[1:], reduction="sum").item()
            for w in windows
        )
    return total / sum(len(w) - 1 for w in windows)


def draw_other_weights(model, biased):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            bias = name.endswith(".bias")
            if biased or not bias:
                parameter.normal_(1.0 if parameter.dim() == 1 and not bias else 0.0, 0.2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    options = parser.parse_args()

    config = json.loads((options.run / "config.json").read_text())
    if config["data"].get("reading", "packed") != "packed":
        sys.exit(f"data.reading: found '{config['data']['reading']}', expected 'packed'")
    length = config["batch"]["sequence_length"]
    stream = torch.from_numpy(numpy.concatenate(list(tokens_of(config["data"]["validation"]))).astype(numpy.int64))
    rows = min(options.rows, (len(stream) - 1) // length)
    windows = [stream[row * length : (row + 1) * length + 1] for row in range(rows)]
    worst = 0.0

    def compare(what, ours, theirs):
        nonlocal worst
        difference = abs(ours - theirs) / theirs
        worst = max(worst, math.inf if math.isnan(difference) else difference)  # max(x, nan) is x
        print(
            f"{what}: rowan {ours:.6f}  transformers {theirs:.6f}  "
            f"relative difference {difference:.1e} over {rows * length} targets"
        )

    with tempfile.TemporaryDirectory() as folder:
        rowan(options.rowan, "export", options.run, f"{folder}/there")
        model, report = transformers.AutoModelForCausalLM.from_pretrained(f"{folder}/there", output_loading_info=True)
        for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if report[problem]:
                sys.exit(f"{problem}: {sorted(report[problem])}")
        model = model.float().eval()
        ours = loss_in_rowan(options.rowan, options.run, rows * length)
        compare("exported", ours, loss_in_transformers(model, windows))

        draw_other_weights(model, config["model"].get("bias", True))
        # A tied model is saved as GPT-2 is published: without a head, and without a prefix in the tensor names. The
        # small max_shard_size splits the weights into several files.
        tied = model.config.tie_word_embeddings
        (model.base_model if tied else model).save_pretrained(f"{folder}/back", max_shard_size="300KB")
        config["init"] = f"{folder}/back"
        config |= {"device": "cpu", "precision": "fp32"}
        config["run"] = {"dir": f"{folder}/run", "steps": 0, "eval_tokens": length}
        pathlib.Path(f"{folder}/config.json").write_text(json.dumps(config))
        rowan(options.rowan, "train", f"{folder}/config.json")
        ours = loss_in_rowan(options.rowan, f"{folder}/run", rows * length)
        compare("started from", ours, loss_in_transformers(model, windows))
    sys.exit(worst > options.tolerance)


if __name__ == "__main__":
    main()
