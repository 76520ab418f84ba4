#!/usr/bin/env python3
"""Every recipe on the quickstart corpus: learning rates over a grid, three seeds at the best one, one Markdown table.

    python3 scripts/optimizer_table.py [--config configs/quickstart.json] [--steps 600] [--out runs/optimizer_table]
        [--recipes rmnp,nora] [--grid 0.25,0.5,1,2,4] [--seeds 42,43,44] [--rowan build/rowan]

A grid is in multiples of the recipe's own learning rate; an AdamW half keeps its share of it. The best rate of the
first seed by final validation loss is run with the others. Runs that are already complete are not repeated, so a
stopped table continues. Only the standard library.
"""
import argparse
import json
import math
import pathlib
import re
import statistics
import subprocess
import sys


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/quickstart.json")
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--out", default="runs/optimizer_table", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--recipes", default="")
    parser.add_argument("--grid", default="0.25,0.5,1,2,4")
    parser.add_argument("--seeds", default="42,43,44")
    return parser.parse_args()


def rowan_optimizers(rowan, *name):
    return subprocess.run([rowan, "optimizers", *name], check=True, capture_output=True, text=True).stdout


def resolved(rowan, recipe):
    text = rowan_optimizers(rowan, recipe)
    return json.loads(text[text.index("resolved config\n") + len("resolved config\n"):])


def rows(folder):
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def result(folder, steps):
    """Final validation loss and seconds of training per step, or None while the run is not complete."""
    final, seconds = None, None
    for row in rows(folder):
        if row["step"] == steps and "val_loss" in row:
            final = row["val_loss"] if row["val_loss"] is not None else math.inf
        if row["step"] == steps and "seconds" in row:
            seconds = row["seconds"] / steps
    return (final, seconds) if final is not None else None


def run(args, recipe, optimizer, factor, seed):
    """One training run; a loss that is not finite, or a run that gives up, counts as infinite."""
    lr = optimizer["lr"] * factor
    folder = args.out / f"{recipe}_lr{lr:.6g}_seed{seed}"
    known = result(folder, args.steps)
    if known:
        return known
    section = {"name": recipe, "lr": lr}
    if "adamw" in optimizer:
        section["adamw"] = {"lr": optimizer["adamw"]["lr"] * factor}
    sets = [f"optimizer={json.dumps(section)}", f"run.dir={folder}", f"run.seed={seed}", f"run.steps={args.steps}",
            "run.checkpoint_every=0", f"run.eval_every={args.steps}"]
    command = [args.rowan, "train", args.config] + [x for s in sets for x in ("--set", s)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".log"), "w") as log:
        subprocess.run(command, stdout=log, stderr=log)
    return result(folder, args.steps) or (math.inf, math.nan)


def entropy_floor(config):
    shard = pathlib.Path(json.loads(pathlib.Path(config).read_text())["data"]["validation"])
    facts = shard.parent / "entropy.json"
    return json.loads(facts.read_text()).get("entropy") if facts.exists() else None


def main():
    args = arguments()
    recipes = args.recipes.split(",") if args.recipes else [
        name for name in re.findall(r"^(\S+)", rowan_optimizers(args.rowan), re.M) if name != "recipe"]
    grid = [float(x) for x in args.grid.split(",")]
    seeds = [int(x) for x in args.seeds.split(",")]
    table = []
    for recipe in recipes:
        optimizer = resolved(args.rowan, recipe)
        tried = {factor: run(args, recipe, optimizer, factor, seeds[0]) for factor in grid}
        best = min(tried, key=lambda factor: tried[factor][0])
        results = [tried[best]] + [run(args, recipe, optimizer, best, seed) for seed in seeds[1:]]
        losses = [loss for loss, _ in results]
        spread = statistics.stdev(losses) if len(losses) > 1 and all(map(math.isfinite, losses)) else math.nan
        edge = " (edge of the grid)" if best in (min(grid), max(grid)) and len(grid) > 1 else ""
        table.append((statistics.fmean(losses), spread, recipe, optimizer["lr"] * best, edge,
                      1000 * statistics.median(seconds for _, seconds in results)))
        print(f"{recipe}: {table[-1][0]:.4f} at lr {table[-1][3]:.3g}{edge}", file=sys.stderr)
    floor = entropy_floor(args.config)
    print(f"`{args.config}`, {args.steps} steps, seeds {args.seeds}, learning rates {args.grid} times the recipe's own, "
          "chosen on the first seed.")
    if floor is not None:
        print(f"The corpus's exact entropy is {floor:.4f} nats per token: no model can do better on average.")
    print("\n| optimizer | lr | validation loss | +- | above the floor | ms per step |\n|---|---|---|---|---|---|")
    for loss, spread, recipe, lr, edge, milliseconds in sorted(table):
        above = f"{loss - floor:.4f}" if floor is not None else ""
        print(f"| {recipe} | {lr:.3g}{edge} | {loss:.4f} | {spread:.4f} | {above} | {milliseconds:.0f} |")


if __name__ == "__main__":
    main()
