#!/usr/bin/env python3
"""Draws the losses of runs from their metrics.jsonl into one picture.

    scripts/plot.py runs/adamw runs/muon -o losses.png [--x tokens|seconds|step] [--floor 0.108] [--log]

A run is its directory or its metrics.jsonl. Needs matplotlib (apt install python3-matplotlib, or pip).
"""

import argparse
import json
import pathlib
import sys


def read_run(path, x):
    """(name, training points, validation points); a step that a resumed run repeated counts as it was the last time."""
    file = path / "metrics.jsonl" if path.is_dir() else path
    train, validation, position = {}, {}, {}
    for number, line in enumerate(file.read_text(errors="replace").split("\n")[:-1], 1):
        try:
            row = json.loads(line)
            row["step"] + 0
        except (json.JSONDecodeError, KeyError, TypeError):
            print(f"{file}:{number}: not a row of metrics; left out", file=sys.stderr)
            continue
        step = row.get("step")
        if x in row:
            position[step] = row[x]
        if row.get("loss") is not None:
            train[step] = row["loss"]
        if row.get("val_loss") is not None:
            validation[step] = row["val_loss"]
    if not train and not validation:
        sys.exit(f"{file}: no row has loss or val_loss")

    def points(losses):
        return [(position[step], losses[step]) for step in sorted(losses) if step in position]

    return file.parent.name, points(train), points(validation)


def smooth(values, window):
    """Mean over the `window` values up to each."""
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    return means


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("-o", "--out", default="losses.png", help="png, svg or pdf")
    parser.add_argument("--x", choices=["step", "tokens", "seconds"], default="step")
    parser.add_argument("--floor", type=float, help="a known entropy, drawn as a line")
    parser.add_argument("--smooth", type=int, default=1, help="mean over so many logged points of the training loss")
    parser.add_argument("--log", action="store_true", help="logarithmic loss axis")
    args = parser.parse_args()
    try:
        import matplotlib
    except ImportError:
        sys.exit("plot.py needs matplotlib: apt install python3-matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    for index, path in enumerate(args.runs):
        name, train, validation = read_run(path, args.x)
        color = f"C{index % 10}"
        if train:
            x, losses = zip(*train)
            axes.plot(x, smooth(losses, args.smooth), color=color, alpha=0.4 if validation else 1.0, linewidth=1,
                      label=None if validation else name)
        if validation:
            axes.plot(*zip(*validation), color=color, marker="o", markersize=3, label=f"{name} (validation)")
    if args.floor is not None:
        axes.axhline(args.floor, color="black", linestyle="--", linewidth=1, label=f"entropy {args.floor:.4f}")
    axes.set_xlabel(args.x)
    axes.set_ylabel("loss (nats per token)")
    if args.log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(args.out, dpi=150)
    print(args.out)


if __name__ == "__main__":
    main()
