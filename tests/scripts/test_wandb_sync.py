#!/usr/bin/env python3
"""Tests scripts/wandb_sync.py offline with the real package wandb. The log must have the rows of metrics.jsonl.

    python3 tests/scripts/test_wandb_sync.py

The test needs `pip install wandb`, but no network. `make test` does not run this test.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from wandb.proto import wandb_internal_pb2

SCRIPT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts" / "wandb_sync.py"


def records(data):
    """The records of a .wandb file: a header of 7 bytes, then LevelDB's log format with blocks of 32,768 bytes."""
    block, header, at, parts = 32768, 7, 7, b""
    while at + header <= len(data):
        if block - at % block < header:
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4:at + 6], "little"), data[at + 6]
        parts += data[at + header:at + header + length]
        at += header + length
        if kind in (1, 4):  # a whole record, or its last part
            yield parts
            parts = b""


def history(folder):
    """The rows of all offline logs below a folder, and the configs."""
    rows, configs = [], []
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda p: p.stat().st_mtime):
        for data in records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("history"):
                rows.append({(item.key or "/".join(item.nested_key)): json.loads(item.value_json)
                             for item in record.history.item})
            if record.HasField("run"):
                configs.append({item.key: json.loads(item.value_json) for item in record.run.config.update})
    return rows, configs


def sync(folder, *runs):
    environment = {**os.environ, "WANDB_MODE": "offline"}
    return subprocess.run([sys.executable, SCRIPT, *runs, "--offline"], cwd=folder, env=environment, capture_output=True,
                          text=True)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run = folder / "run"
        run.mkdir()
        (run / "config.json").write_text(json.dumps({"data": {"validation": "v.bin"}, "run": {"steps": 4}, "lr": 0.1}))
        rows = [{"step": 1, "loss": 3.5, "grad_norm": None}, {"step": 2, "loss": 3.25}, {"step": 2, "val_loss": 3.3},
                {"step": 3, "loss": 3.0, "optimizer": None}]
        rows[3].pop("optimizer")
        rows.insert(3, {"step": 2, "optimizer/mean/alpha": 1.5, "norm/weights/layer_0": 2.5})
        rows.insert(4, {"step": 2, "resume": {"device": "cpu", "world_size": 2}})
        text = "".join(json.dumps(row) + "\n" for row in rows) + "no JSON\n"
        (run / "metrics.jsonl").write_text(text + '{"step": 4, "lo')  # a line that is being written
        (run / "lock").touch()
        done = sync(folder, run)
        assert done.returncode == 0, done.stderr
        assert "left out a line that is not JSON" in done.stderr, done.stderr
        sent, configs = history(folder)
        assert [row["_step"] for row in sent] == [1, 2], sent  # step 3 is the last and may get more rows
        assert sent[0]["train/loss"] == 3.5 and "train/grad_norm" not in sent[0], sent
        assert sent[1]["validation/loss"] == 3.3 and sent[1]["optimizer/mean/alpha"] == 1.5, sent
        assert sent[1]["norm/weights/layer_0"] == 2.5 and not any("resume" in key for key in sent[1]), sent
        assert configs[0]["lr"] == 0.1, configs
        # The run continues to its end.
        (run / "metrics.jsonl").write_text(text + '{"step": 4, "loss": 2.5}\n{"step": 4, "val_loss": 2.75}\n')
        assert sync(folder, run).returncode == 0
        sent, _ = history(folder)
        assert [row["_step"] for row in sent] == [1, 2, 3, 4], sent
        assert sent[3]["validation/loss"] == 2.75, sent
        assert sync(folder, run).returncode == 0
        assert len(history(folder)[0]) == 4, "nothing is sent twice"
        missing = sync(folder, folder / "none")
        assert missing.returncode == 1 and "not the directory of a run" in missing.stderr, missing.stderr
    print("wandb_sync: offline logs hold what metrics.jsonl has")


if __name__ == "__main__":
    main()
