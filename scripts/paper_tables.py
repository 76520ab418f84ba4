#!/usr/bin/env python3
"""Writes the published values of configs/papers/*/targets.json as tables into the README.md beside it, between two
marker lines.

    python3 scripts/paper_tables.py            # writes the tables
    python3 scripts/paper_tables.py --check    # fails if a README differs from targets.json

Some papers divide a sum over n batches by n + 1. Such a value is shown as printed. The next row shows the sum divided
by n. Uses only the standard library.
"""
import argparse
import json
import math
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "configs" / "papers"
BEGIN, END = "<!-- figures: written by scripts/paper_tables.py -->", "<!-- end of figures -->"


def last_figures(targets):
    """For each config and its settings, the targets of the latest step."""
    latest = {}
    for target in targets:
        key = (target["config"], json.dumps(target.get("set", {})))
        latest[key] = max(latest.get(key, 0), target["step"])
    return [t for t in targets if t["step"] == latest[(t["config"], json.dumps(t.get("set", {})))]]


def place(target):
    """Family, column and row of a target: llama_60m_rmnp.json is in the family llama, column 60m, row rmnp."""
    family, _, rest = target["config"].removesuffix(".json").partition("_")
    size, _, optimizer = rest.partition("_")
    if not optimizer:
        optimizer = "adamw"
    settings = ", ".join(f"{path.split('.')[-1]} {json.dumps(value)}" for path, value in target.get("set", {}).items())
    corpus = ""
    if optimizer.endswith("_owt"):
        optimizer, corpus = optimizer.removesuffix("_owt"), ", OpenWebText"
    return family + corpus, size, optimizer + (f" ({settings})" if settings else "")


def without_n(target):
    n = target["batches"]
    return math.exp(math.log(target["perplexity"]) * (n + 1) / n) if "perplexity" in target else target["nats"] * (n + 1) / n


UNITS = {"perplexity": "perplexity", "nats": "nats", "bits_per_byte": "bits a byte"}


def elsewhere_tables(figures):
    """For each (source, unit), a table with a row per optimizer and a column per trained model."""
    grouped = {}
    for figure in figures:
        unit = next(u for u in UNITS if u in figure)
        row = grouped.setdefault((figure["source"], unit), {}).setdefault(figure["optimizer"], {})
        spread = f" +- {figure['deviation']}" if "deviation" in figure else ""
        row[figure["what"]] = f"{figure[unit]}{spread}"
    return grouped


def tables(targets, elsewhere):
    groups = {}
    for target in last_figures(targets):
        family, size, row = place(target)
        unit = "perplexity" if "perplexity" in target else "nats"
        groups.setdefault((family, target["metric"], unit), {}).setdefault(row, {})[size] = target
    text = []
    for (family, metric, unit), rows in groups.items():
        # All values of a table get as many decimals as the most precise of them, because JSON stores 22.60 as 22.6.
        digits = max(len(f"{t[unit]:.10g}".partition(".")[2]) for row in rows.values() for t in row.values())
        sizes = list(dict.fromkeys(size for row in rows.values() for size in row))
        head = {"gpt2": "GPT-2", "llama": "LLaMA"}.get(family.split(",")[0], family) + family[len(family.split(",")[0]):]
        text.append(f"| {head}: {unit} of `{metric}` | " + " | ".join(sizes) + " | source |")
        text.append("|---" * (len(sizes) + 2) + "|")
        for row, cells in rows.items():
            sources = list(dict.fromkeys(t["source"] for t in cells.values()))
            shown = [f"{cells[s][unit]:.{digits}f}" if s in cells else "" for s in sizes]
            text.append(f"| {row} | " + " | ".join(shown) + " | " + "; ".join(sources) + " |")
            if any("batches" in t for t in cells.values()):
                shown = [f"{without_n(cells[s]):.{2 if unit == 'perplexity' else 4}f}" if s in cells else "" for s in sizes]
                counts = list(dict.fromkeys(str(t["batches"]) for t in cells.values()))
                text.append(f"| {row}, without n + 1 | " + " | ".join(shown) + f" | n = {', '.join(counts)} |")
        text.append("")
    for (source, unit), rows in elsewhere_tables(elsewhere).items():
        whats = list(dict.fromkeys(what for row in rows.values() for what in row))
        text.append(f"| Elsewhere: {UNITS[unit]} | " + " | ".join(whats) + " |")
        text.append("|---" * (len(whats) + 1) + "|")
        for optimizer, cells in rows.items():
            text.append(f"| {optimizer} | " + " | ".join(cells.get(what, "") for what in whats) + " |")
        text.append(f"\n{source}\n")
    curves = sum(1 for t in targets if t not in last_figures(targets))
    if curves:
        text.append(f"`targets.json` has {curves} points of published curves too; `rowan report` draws them over ours.\n")
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare, and fail if a README differs")
    options = parser.parse_args()
    bad = 0
    for file in sorted(FOLDER.glob("*/targets.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        targets, elsewhere = content["targets"], content.get("elsewhere", [])
        readme = file.parent / "README.md"
        text = readme.read_text(encoding="utf-8")
        if not targets:
            continue
        if BEGIN not in text or END not in text:
            sys.exit(f"paper_tables: {readme}: no place for the figures: give it the lines\n{BEGIN}\n{END}")
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        new = f"{before}{BEGIN}\n{tables(targets, elsewhere)}{END}{after}"
        if new == text:
            continue
        if options.check:
            print(f"paper_tables: {readme}: differs from targets.json; run scripts/paper_tables.py", file=sys.stderr)
            bad = 1
        else:
            readme.write_text(new, encoding="utf-8")
    sys.exit(bad)


if __name__ == "__main__":
    main()
