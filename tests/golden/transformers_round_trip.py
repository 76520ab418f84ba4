#!/usr/bin/env python3
"""Checks that transformers and Rowan compute the same logits and gradients of small Qwen3 and LLaMA 3 models.

  transformers_round_trip.py [--rowan build/rowan] [--goldens build/tests/golden_tests] [--tolerance 1e-5]

Import: transformers makes config.json and weights. Rowan computes logits and gradients from these files and exports a
run that started from them. transformers opens the export. Export: Rowan trains a model of that config.json and exports
it. transformers opens the export, and its logits and gradients are compared with Rowan's. Rowan's golden tests read the
files and make the comparison. LLaMA 3's config.json is tested in the form that transformers 5 writes and in the form of
the published LLaMA 3.1. Needs torch and transformers. Exits with 1 if anything differs.
"""
import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file

ROWS, LENGTH, VOCABULARY = 3, 96, 320
SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 32}
SIZES = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 256}


def configs():
    qwen3 = {**SIZES, "head_dim": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    llama3 = {**SIZES, "rms_norm_eps": 1e-5, "rope_parameters": {**SCALING, "rope_theta": 5e5}}
    return {"qwen3_tied": transformers.Qwen3Config(**qwen3, tie_word_embeddings=True),
            "qwen3_untied": transformers.Qwen3Config(**qwen3, tie_word_embeddings=False),
            "llama3": transformers.LlamaConfig(**llama3),
            "llama3_as_published": transformers.LlamaConfig(**llama3)}


def make_in(config, as_published, folder):
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.2)
    model.save_pretrained(folder)
    if as_published:
        file = folder / "config.json"
        keys = json.loads(file.read_text())
        parameters = keys.pop("rope_parameters")
        keys |= {"rope_theta": parameters.pop("rope_theta"), "rope_scaling": parameters}
        file.write_text(json.dumps(keys, indent=2))


def open_in_transformers(folder):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                      output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            sys.exit(f"{folder}: {problem}: {sorted(report[problem])}")
    return model.eval()


def batch():
    torch.manual_seed(2)
    return torch.randint(VOCABULARY, (ROWS, LENGTH)), torch.randint(VOCABULARY, (ROWS, LENGTH))


def logits_of(model):
    with torch.no_grad():
        return model(batch()[0]).logits


def write_golden(folder):
    """Writes transformers' results for the model in `folder` beside its config.json and model.safetensors."""
    model = open_in_transformers(folder)
    ids, targets = batch()
    logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    save_file({"input_ids": ids.int(), "targets": targets.int(), "logits": logits.detach().contiguous()},
              folder / "batch.safetensors")
    save_file({name: p.grad.contiguous() for name, p in model.named_parameters()}, folder / "grads.safetensors")
    (folder / "expect.json").write_text(json.dumps({"loss": loss.item()}))


def write_shard(path):
    torch.manual_seed(3)
    tokens = torch.randint(VOCABULARY, (4096,)).tolist()
    path.write_bytes(struct.pack("<256i", 20240520, 1, len(tokens), *[0] * 253) + struct.pack("<4096H", *tokens))


def through_rowan(rowan, folder, shard, steps):
    """Trains the model in `folder` and exports it. Starts from the weights in `folder` if `steps` is 0, otherwise from
    random weights. Returns the export's folder."""
    config = {"model": str(folder / "config.json"), "data": {"train": str(shard)},
              "batch": {"sequences": 4, "sequence_length": 64}, "optimizer": {"name": "muon", "lr": 0.02},
              "device": "cpu", "precision": "fp32", "run": {"dir": f"{folder}_run_{steps}", "steps": steps}}
    if steps == 0:
        config["init"] = str(folder)
    file = pathlib.Path(f"{folder}_{steps}.json")
    file.write_text(json.dumps(config))
    out = pathlib.Path(f"{folder}_out_{steps}")
    for arguments in (["train", file], ["export", config["run"]["dir"], out]):
        subprocess.run([rowan, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return out


def run_goldens(program, folder):
    """Runs the golden tests. Returns, by folder, the errors that the test recorded and whether it passed."""
    report = folder / "report.json"
    subprocess.run([program, "--gtest_filter=*/GoldenModels.Fp32*", f"--gtest_output=json:{report}", "--gtest_brief=1"],
                   env=os.environ | {"ROWAN_GOLDEN": str(folder)}, stdout=subprocess.DEVNULL)
    suites = json.loads(report.read_text())["testsuites"]
    tests = [test for suite in suites for test in suite["testsuite"]]
    return {pathlib.Path(test["value_param"].strip('"')).name: test for test in tests if str(folder) in test["value_param"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--goldens", default="build/tests/golden_tests")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    options = parser.parse_args()
    worst, bad = 0.0, False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_shard(folder / "train.bin")
        for model, config in configs().items():
            make_in(config, model.endswith("as_published"), folder / model)
            write_golden(folder / model)
            again = through_rowan(options.rowan, folder / model, folder / "train.bin", 0)
            before, after = (logits_of(open_in_transformers(f)) for f in (folder / model, again))
            difference = ((after - before).norm() / before.norm()).item()
            worst, bad = max(worst, difference), bad or not difference <= options.tolerance
            print(f"{model}: through Rowan and back, logits differ by {difference:.1e}")
            write_golden(through_rowan(options.rowan, folder / model, folder / "train.bin", 5))
        for model, test in sorted(run_goldens(options.goldens, folder).items()):
            logits = float(test["logit_error"])
            worst, bad = max(worst, logits), bad or "failures" in test or not logits <= options.tolerance
            print(f"{model}: Rowan beside transformers: logits {logits:.1e}, loss {float(test['loss_error']):.1e}, "
                  f"gradients {float(test['gradient_error']):.1e}")
    print(f"largest relative difference of logits: {worst:.1e}")
    sys.exit(bad)


if __name__ == "__main__":
    main()
