#!/usr/bin/env python3
"""Sends runs to Weights & Biases: the rows of metrics.jsonl, the config in config.json and the folder's name.

    python3 scripts/wandb_sync.py RUN... [--project NAME] [--follow [--wait SECONDS]] [--offline]

--follow continues while the runs train, until each has reached its last step, or no process has trained it for SECONDS
(default 60): run.patience ended it, or it was stopped, or it has not begun. --offline (or WANDB_MODE=offline) writes to ./wandb, for a later
`wandb sync`. RUN/wandb.json stores the run's id in W&B and the last step that was sent. The next time, the same command
sends only later steps, even if the run was resumed from an earlier step. Needs `pip install wandb`.
"""
import argparse
import json
import pathlib
import sys
import time
import uuid

POLL_SECONDS = 5
STALE_SECONDS = 60  # src/base/folder_lock.h: an owner without a heartbeat for this time counts as dead


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN")
    parser.add_argument("--project", default="rowan")
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--wait", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--offline", action="store_true")
    return parser.parse_args()


def whole_rows(path):
    """The rows of all complete lines. A line that is still being written is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        try:
            rows.append(json.loads(line))
        except ValueError:
            print(f"wandb_sync: {path}: left out a line that is not JSON", file=sys.stderr)
    return rows


def flat(row):
    """The values of a row, under the names that Rowan's TensorBoard files use. Values that are not finite are null in
    the row and are left out."""
    out = {}
    for key, value in row.items():
        if key in ("step", "ended", "evaluation", "resume", "skipped") or value is None:
            continue
        if key == "optimizer":
            out.update({f"optimizer/{name}": v for name, v in value.items()})
        elif key.startswith(("optimizer/", "norm/")):
            out[key] = value
        elif key.startswith("val_") or key.startswith("hellaswag"):
            out["validation/" + key.removeprefix("val_")] = value
        else:
            out["train/" + key] = value
    return out


def has_owner(folder):
    """Whether a process trains the run: it holds RUN/lock, and the modification time is its heartbeat."""
    try:
        return time.time() - (folder / "lock").stat().st_mtime < STALE_SECONDS
    except OSError:
        return False


class Run:
    """A run that is sent. `alive` is the time when a process last trained it, or when this script began to look."""

    def __init__(self, folder):
        self.folder, self.alive, self.absent = folder, time.monotonic(), False

    def left(self, args):
        """Whether the run is over without its last step. With --follow, a short gap may be a restart."""
        if has_owner(self.folder):
            self.alive = time.monotonic()
            return False
        return not args.follow or time.monotonic() - self.alive >= args.wait


def send(run, args):
    """Sends the new steps of a run. Returns whether the run is over."""
    folder = run.folder
    left = run.left(args)  # before the rows are read, so that none can follow
    metrics, config_file, memory = folder / "metrics.jsonl", folder / "config.json", folder / "wandb.json"
    for needed in (metrics, config_file):
        if not needed.exists():
            if not left and args.follow:  # the run may still begin
                return False
            print(f"wandb_sync: {folder}: not the directory of a run: no {needed.name}", file=sys.stderr)
            run.absent = True
            return True
    known = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {"id": uuid.uuid4().hex[:12], "step": -1}
    config = json.loads(config_file.read_text(encoding="utf-8"))
    rows = whole_rows(metrics)
    last = max((row["step"] for row in rows), default=0)
    through = left or any(row["step"] == config["run"]["steps"] and "val_loss" in row for row in rows) or any(
        row["step"] == last and "ended" in row for row in rows) or (
        last == config["run"]["steps"] and "validation" not in config["data"])
    # Only rows of later steps are sent, because W&B accepts steps only in ascending order.
    fresh = {}
    for row in rows:
        if row["step"] > known["step"]:
            fresh.setdefault(row["step"], {}).update(flat(row))
    # Until the run is over, the last step is kept back, because its evaluation may not be written yet.
    if not through and fresh:
        fresh.pop(last, None)
    if fresh:
        sent = wandb.init(project=args.project, id=known["id"], name=folder.name, config=config, resume="allow",
                         mode="offline" if args.offline else None, settings=wandb.Settings(console="off", silent=True))
        for step, figures in sorted(fresh.items()):
            sent.log(figures, step=step)
        sent.finish()
        known["step"] = max(fresh)
        part = memory.with_suffix(".part")
        part.write_text(json.dumps(known) + "\n")
        part.replace(memory)
        print(f"wandb_sync: {folder}: {len(fresh)} steps sent, up to {known['step']}", file=sys.stderr)
    return through


def main():
    args = arguments()
    global wandb  # imported after --help
    try:
        import wandb
    except ImportError:
        sys.exit("wandb_sync: needs the package wandb (pip install wandb)")
    runs = open_runs = [Run(folder) for folder in args.runs]
    while open_runs:
        open_runs = [run for run in open_runs if not send(run, args)]
        if not args.follow:
            break
        if open_runs:
            time.sleep(POLL_SECONDS)
    if any(run.absent for run in runs):
        sys.exit(1)


if __name__ == "__main__":
    main()
