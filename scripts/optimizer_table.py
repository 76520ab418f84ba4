#!/usr/bin/env python3
"""Every recipe on the quickstart corpus: learning rates over a grid, three seeds at the best one, one Markdown table.

    python3 scripts/optimizer_table.py [--out runs/optimizer_table] [--recipes rmnp,nora] [--jobs N] [--steps N]
    python3 scripts/optimizer_table.py --timing      # ms per step, one run at a time: wants a quiet machine

The set-up is SETUP below: small enough that the whole table takes half an hour of one core. AdamW is tuned first, and
its best rate is also that of the AdamW half of every other recipe, so that rows differ in the rule for matrices alone.
A recipe's grid is FACTORS times its own rate; while the best of the first seed (by final validation loss) is at an
edge, the grid grows by a factor of 2 on that side. The other seeds run at the best rate only.

Results are kept in OUT, one folder a run; what is complete is not repeated, so a stopped table goes on, and a timing
pass adds its columns to the table that is printed. Only the standard library.
"""
import argparse
import concurrent.futures
import json
import math
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

FACTORS = [0.5, 1, 2]
FARTHEST = 64  # no grid goes beyond this factor of a recipe's rate, or below its inverse
SEEDS = [42, 43, 44]
SETUP = {
    "model": {"model_type": "llama", "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2,
              "num_attention_heads": 4, "vocab_size": 257, "max_position_embeddings": 256,
              "tie_word_embeddings": True},
    "tokenizer": "bytes",
    "batch": {"sequences": 2, "sequence_length": 256},
    "schedule": {"name": "cosine", "warmup_steps": 60, "min_lr_ratio": 0.1},
    "grad_clip": 1.0,
    "device": "cpu",
    "threads": 1,
    "run": {"steps": 600, "eval_tokens": 65536},
}
# Decay multiplies lr * weight_decay, and rates differ a thousandfold between recipes: 0 is the same for all.
DECAY = {"weight_decay": 0}
TIMING_ROUNDS, TIMING_STEPS = 3, 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--out", default="runs/optimizer_table", type=pathlib.Path)
    parser.add_argument("--recipes", default="")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=SETUP["run"]["steps"], help="of a run; others need another --out")
    parser.add_argument("--timing", action="store_true")
    return parser.parse_args()


def rowan_optimizers(rowan, *name):
    return subprocess.run([rowan, "optimizers", *name], check=True, capture_output=True, text=True).stdout


def resolved(rowan, recipe):
    text = rowan_optimizers(rowan, recipe)
    return json.loads(text[text.index("resolved config\n") + len("resolved config\n"):])


class Runs:
    """Training runs of SETUP in one folder."""

    def __init__(self, args):
        self.rowan, self.out = args.rowan, args.out
        corpus = self.out / "tales"
        if not (corpus / "entropy.json").exists():
            subprocess.run([self.rowan, "tales", "--out", corpus], check=True, stderr=subprocess.DEVNULL)
        self.floor = json.loads((corpus / "entropy.json").read_text())["entropy"]
        self.config = self.out / "setup.json"
        self.setup = dict(SETUP, data={part: str(corpus / f"{part}.bin") for part in ("train", "validation")})
        text = json.dumps(self.setup, indent=1) + "\n"
        if self.config.exists() and self.config.read_text() != text:
            sys.exit(f"optimizer_table: {self.out} holds runs of another set-up; choose another --out")
        self.config.write_text(text)

    def optimizer(self, recipe, lr, half_lr):
        section = dict({"name": recipe, "lr": lr}, **DECAY)
        if "adamw" in resolved(self.rowan, recipe):
            section["adamw"] = dict({"lr": half_lr, "vector_weight_decay": 0}, **DECAY)
        return section

    def train(self, folder, optimizer, **run):
        """Runs unless it is complete; the rows of its metrics."""
        steps = run.get("steps", self.setup["run"]["steps"])
        path = folder / "metrics.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        if any(row["step"] == steps and "val_loss" in row for row in rows):
            return rows
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        sets = [f"optimizer={json.dumps(optimizer)}", f"run.dir={folder}"]
        sets += [f"run.{key}={value}" for key, value in run.items()]
        command = [self.rowan, "train", self.config] + [x for s in sets for x in ("--set", s)]
        with open(f"{folder}.log", "w") as log:
            code = subprocess.run(command, stdout=log, stderr=log).returncode
        if code:
            sys.exit(f"optimizer_table: rowan train ended with {code}; see {folder}.log")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return self.train(folder, optimizer, **run)

    def loss(self, recipe, lr, half_lr, seed):
        """Final validation loss; infinite where training diverged."""
        rows = self.train(self.out / f"{recipe}_lr{lr:.6g}_half{half_lr:.6g}_seed{seed}",
                          self.optimizer(recipe, lr, half_lr), seed=seed)
        final = [row["val_loss"] for row in rows if "val_loss" in row][-1]
        return final if final is not None and math.isfinite(final) else math.inf

    def milliseconds(self, recipe, lr, half_lr, number):
        rows = self.train(self.out / "timing" / f"{recipe}_{number}", self.optimizer(recipe, lr, half_lr),
                          steps=TIMING_STEPS)
        seconds = {row["step"]: row["seconds"] for row in rows if "seconds" in row}
        return 1000 * (seconds[TIMING_STEPS] - seconds[10]) / (TIMING_STEPS - 10)


def tune(runs, recipe, own_lr, half_lr):
    """The table's row: losses of all factors tried with the first seed, and of all seeds at the best."""
    tried = {}

    def loss(factor):
        if factor not in tried:
            tried[factor] = runs.loss(recipe, own_lr * factor, own_lr * factor if half_lr is None else half_lr, SEEDS[0])
        return tried[factor]

    grid = list(FACTORS)
    while True:
        best = min(grid, key=loss)
        if best == min(grid) > 1 / FARTHEST:
            grid.insert(0, best / 2)
        elif best == max(grid) < FARTHEST:
            grid.append(best * 2)
        else:
            break
    lr = own_lr * best
    losses = [runs.loss(recipe, lr, lr if half_lr is None else half_lr, seed) for seed in SEEDS]
    print(f"{recipe}: {statistics.fmean(losses):.4f} at lr {lr:.3g}", file=sys.stderr)
    return {"recipe": recipe, "lr": lr, "losses": losses,
            "tried": {f"{own_lr * factor:.3g}": tried[factor] for factor in sorted(grid)}}


def timing(runs, rows, half_lr):
    """Rounds over all recipes, so that a slow minute of the machine falls on all alike; the median of the rounds."""
    times = {row["recipe"]: [] for row in rows}
    shutil.rmtree(runs.out / "timing", ignore_errors=True)
    for number in range(TIMING_ROUNDS):
        for row in rows:
            times[row["recipe"]].append(runs.milliseconds(row["recipe"], row["lr"], half_lr, number))
    return {recipe: statistics.median(values) for recipe, values in times.items()}


def print_table(runs, rows, half_lr, times):
    model, batch, run = SETUP["model"], SETUP["batch"], SETUP["run"]
    print(f"`scripts/optimizer_table.py`: LLaMA of {model['num_hidden_layers']} layers, {model['hidden_size']} wide, "
          f"bytes of tales; {run['steps']} steps of {batch['sequences']} x {batch['sequence_length']} tokens, "
          f"{SETUP['schedule']['warmup_steps']} of warm-up, cosine to {SETUP['schedule']['min_lr_ratio']:.0%}, clipping "
          f"at {SETUP['grad_clip']}, weight decay 0, fp32; AdamW half of every recipe at {half_lr:.3g}. Learning rates: "
          f"{', '.join(f'{f:g}' for f in FACTORS)} times the recipe's own on seed {SEEDS[0]}, further by factors of 2 "
          f"while the best is at an edge; then seeds {', '.join(map(str, SEEDS))} at the best. Loss in nats on "
          f"{run['eval_tokens']:,} tokens, mean and standard deviation of the seeds; exact entropy of the text "
          f"{runs.floor:.4f}.\n")
    print("| recipe | lr (tried) | validation loss | above the entropy | ms per step |\n|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: statistics.fmean(row["losses"])):
        rates = [float(lr) for lr in row["tried"]]
        mean, spread = statistics.fmean(row["losses"]), statistics.pstdev(row["losses"])
        time = f"{times[row['recipe']]:.2f}" if row["recipe"] in times else ""
        print(f"| {row['recipe']} | {row['lr']:.3g} ({min(rates):.3g} to {max(rates):.3g}) | {mean:.4f} +- {spread:.4f} "
              f"| {mean - runs.floor:.4f} | {time} |")


def main():
    args = arguments()
    SETUP["run"]["steps"] = args.steps
    names = [name for name in re.findall(r"^(\S+)", rowan_optimizers(args.rowan), re.M) if name != "recipe"]
    wanted = args.recipes.split(",") if args.recipes else names
    if unknown := set(wanted) - set(names):
        sys.exit(f"optimizer_table: no recipe is called {', '.join(sorted(unknown))} (allowed: {', '.join(names)})")
    own = {name: resolved(args.rowan, name)["lr"] for name in {"adamw", *wanted}}
    args.out.mkdir(parents=True, exist_ok=True)
    runs = Runs(args)
    adamw = tune(runs, "adamw", own["adamw"], None)
    others = [name for name in wanted if name != "adamw"]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(lambda name: tune(runs, name, own[name], adamw["lr"]), others))
    rows += [adamw] if "adamw" in wanted else []
    stored = args.out / "timing.json"
    if args.timing:
        stored.write_text(json.dumps(timing(runs, rows, adamw["lr"])))
    (args.out / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    print_table(runs, rows, adamw["lr"], json.loads(stored.read_text()) if stored.exists() else {})


if __name__ == "__main__":
    main()
