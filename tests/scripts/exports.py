#!/usr/bin/env python3
"""Checks that transformers opens what `rowan export` writes, for every kind of tokenizer.

  exports.py [--rowan build/rowan] [--vocabularies FOLDER]

For each kind, exports a small model and opens the export with transformers. The export's tokenizer must give the same
ids as Rowan, must append no id to a text, and must have as many ids as the embedding has rows. The export's model must
continue a prompt with the same text as Rowan. FOLDER (corpora/tokenizers of the shared files) adds GPT-2's and T5's
vocabularies. Needs torch and transformers.
"""
import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import torch
import transformers

TEXTS = [
    "Hello world",
    "it's 1234 don'ts, I'LL  see two  spaces",
    "line one\nline two\n\n\tand a tab ",
    "na\u00efve caf\u00e9 \u4e2d\u6587 \U0001f600 \u00bd",
    " leading and trailing ",
    "the the the cat sat on the mat. " * 20,
]
PROMPT = "The cat"


class Rowan:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, pathlib.Path(folder)

    def __call__(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True)
        if done.returncode:
            sys.exit(f"rowan {' '.join(map(str, arguments))}: {done.stderr.decode()}")
        return done.stdout.decode(errors="replace")

    def ids(self, spec, name):
        """The ids of TEXTS, read from shards. The list of a text is empty if the tokenizer has no ids for the text."""
        lines = self.folder / "texts.jsonl"
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        out = self.folder / f"{name}_ids"
        self("tokenize", "--tokenizer", spec, "--out", out, "--validation", "none", "--end", "none", lines)
        shard = (out / "train-00000.bin").read_bytes()
        width = 2 if int.from_bytes(shard[:4], "little") == 20240520 else 4
        ids = [int.from_bytes(shard[i : i + width], "little") for i in range(1024, len(shard), width)]
        index = (out / "train-00000.bin.documents").read_bytes()[24:]
        starts = [int.from_bytes(index[i : i + 8], "little") for i in range(0, len(index), 8)] + [len(ids)]
        return [ids[a:b] for a, b in zip(starts, starts[1:])]

    def exported(self, spec, name):
        """Exports a model with random weights and this tokenizer. Returns the folder of the export."""
        manifest = json.loads((self.folder / f"{name}_ids" / "manifest.json").read_text())
        config = {
            "model": {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
                      "num_attention_heads": 4, "max_position_embeddings": 64, "initializer_range": 0.2,
                      "vocab_size": manifest["tokenizer"]["vocab_size"]},
            "tokenizer": spec,
            "data": {"train": str(self.folder / f"{name}_ids" / "train-*.bin")},
            "batch": {"sequences": 1, "sequence_length": 16},
            "optimizer": {"name": "adamw", "lr": 0.001},
            "device": "cpu",
            "run": {"dir": str(self.folder / f"{name}_run"), "steps": 0},
        }
        (self.folder / f"{name}.json").write_text(json.dumps(config))
        self("train", self.folder / f"{name}.json")
        self("export", self.folder / f"{name}_run", self.folder / name)
        return self.folder / name


def said(tokenizer, ids):
    """The text of ids, with byte tokens joined as in Rowan. transformers replaces every byte of invalid UTF-8."""
    pieces = tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True)
    if "<0x0A>" not in tokenizer.get_vocab():
        return tokenizer.decode(ids, skip_special_tokens=True)
    whole = b"".join(bytes([int(p[3:5], 16)]) if re.fullmatch("<0x..>", p) else p.replace("\u2581", " ").encode()
                     for p in pieces)
    return whole.decode(errors="replace").removeprefix(" ")


def comparable(text):
    """Random weights generate invalid UTF-8, for which programs print different numbers of replacement characters."""
    return re.sub("\ufffd+", "\ufffd", text).rstrip("\n\ufffd")


def check(rowan, spec, name):
    """Returns a list of messages, one for each difference."""
    expected = rowan.ids(spec, name)
    folder = rowan.exported(spec, name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    wrong = []
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) != rows:
        wrong.append(f"{len(tokenizer)} ids, the embedding has {rows} rows")
    for text, ids in zip(TEXTS, expected):
        found = tokenizer(text)["input_ids"]
        if found != ids:
            wrong.append(f"{text[:30]!r}: {found[:12]}, not {ids[:12]}")
    if tokenizer.eos_token_id != model.generation_config.eos_token_id:
        wrong.append(f"end token: the tokenizer has {tokenizer.eos_token_id}, "
                     f"generation_config.json {model.generation_config.eos_token_id}")
    prompt = torch.tensor([tokenizer(PROMPT)["input_ids"]])
    with torch.no_grad():
        there = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=20)
    there = said(tokenizer, there[0].tolist())
    here = rowan("generate", rowan.folder / f"{name}_run", "--prompt", PROMPT, "--tokens", 20, "--temperature", 0,
                 "--context", 64, "--device", "cpu")
    if comparable(here) != comparable(there):
        wrong.append(f"generates {there!r}, not {here!r}")
    if "Rowan" not in (folder / "README.md").read_text():
        wrong.append("no model card")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rowan", default="build/rowan")
    parser.add_argument("--vocabularies", type=pathlib.Path)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    bad = False
    with tempfile.TemporaryDirectory() as folder:
        rowan = Rowan(arguments.rowan, folder)
        words = pathlib.Path(folder) / "words.txt"
        draw = random.Random(1)
        made = ("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(1, 8))) for _ in range(5000))
        words.write_text("\n".join(TEXTS) * 50 + " ".join(made))
        kinds = {"bytes": "bytes"}
        for kind in ("bpe", "unigram"):
            rowan("tokenizer", "train", "--kind", kind, "--vocabulary", 500, "--out", f"{folder}/{kind}.model", words)
            kinds[f"trained_{kind}"] = f"sentencepiece:{folder}/{kind}.model"
        kinds["huggingface"] = f"huggingface:{folder}/trained_bpe"
        if arguments.vocabularies:
            kinds["gpt2_tiktoken"] = f"gpt2:{arguments.vocabularies}/gpt2/gpt2.tiktoken"
            kinds["gpt2_folder"] = f"gpt2:{arguments.vocabularies}/gpt2"
            kinds["t5"] = f"sentencepiece:{arguments.vocabularies}/t5/spiece.model"
        for name, spec in kinds.items():
            wrong = check(rowan, spec, name)
            print(f"{name}: {'; '.join(wrong) or 'right'}", flush=True)
            bad |= bool(wrong)
    sys.exit(bad)


if __name__ == "__main__":
    main()
