#!/usr/bin/env python3
"""Tests which steps scripts/wandb_sync.py sends, and when it ends, with a stand-in for the package wandb.

    python3 tests/scripts/wandb_follow.py

test_wandb_sync.py tests the same script with the real package.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

SCRIPT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts" / "wandb_sync.py"

WANDB = """
class Settings:
    def __init__(self, **_): pass

class Run:
    def log(self, figures, step):
        with open("sent", "a") as sent: sent.write(f"{step}\\\\n")
    def finish(self): pass

def init(**_): return Run()
""".replace("\\\\", "\\")


def command(folder, *options):
    (folder / "wandb.py").write_text(WANDB)
    (folder / "sent").touch()
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.Popen([sys.executable, SCRIPT, "run", *options], cwd=folder, env=environment,
                            stderr=subprocess.DEVNULL)


def make_run(folder, rows):
    run = folder / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"data": {"validation": "v.bin"}, "run": {"steps": 9}}))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def sent(folder):
    return [int(line) for line in (folder / "sent").read_text().split()]


ROWS = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 1.0}]


def test_once(folder):
    run = make_run(folder, ROWS)
    (run / "lock").touch()
    assert command(folder).wait() == 0
    assert sent(folder) == [1, 2], "a process may still write rows of step 3"
    os.utime(run / "lock", (time.time() - 1000, time.time() - 1000))
    assert command(folder).wait() == 0
    assert sent(folder) == [1, 2, 3], "the owner of the lock is dead"


def test_stopped(folder):
    make_run(folder, ROWS)
    assert command(folder).wait() == 0
    assert sent(folder) == [1, 2, 3], "no process trains the run"


def following(folder, wait):
    """A process that follows the run and has sent all steps but the last."""
    process = command(folder, "--follow", "--wait", wait)
    while sent(folder) != [1, 2]:
        assert process.poll() is None
        time.sleep(0.05)
    return process


def test_follow(folder):
    """run.patience or run.max_seconds ends a run before its last step."""
    run = make_run(folder, ROWS)
    (run / "lock").touch()
    process = following(folder, "0")
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 3, "val_loss": 1.5}\n')
    (run / "lock").unlink()
    assert process.wait() == 0
    assert sent(folder) == [1, 2, 3]


def test_restart(folder):
    """A run without an owner may be restarted within the time of --wait."""
    run = make_run(folder, ROWS)
    process = following(folder, "1000")
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 9, "loss": 0.5}\n{"step": 9, "val_loss": 0.5}\n')
    assert process.wait() == 0, "the last step ends the run"
    assert sent(folder) == [1, 2, 3, 9]


def test_begins_later(folder):
    """A run that has not begun is waited for."""
    process = command(folder, "--follow", "--wait", "1000")
    time.sleep(0.5)
    make_run(folder, ROWS + [{"step": 9, "loss": 0.5}, {"step": 9, "val_loss": 0.5}])
    assert process.wait() == 0
    assert sent(folder) == [1, 2, 3, 9]


def test_never_begins(folder):
    """A run that does not begin in time ends the following of no other run."""
    make_run(folder, ROWS)
    assert command(folder, "none", "--follow", "--wait", "0").wait() == 1
    assert sent(folder) == [1, 2, 3]


def main():
    for test in (test_once, test_stopped, test_follow, test_restart, test_begins_later, test_never_begins):
        with tempfile.TemporaryDirectory() as name:
            test(pathlib.Path(name))
    print("wandb_sync: sends every step and ends")


if __name__ == "__main__":
    main()
