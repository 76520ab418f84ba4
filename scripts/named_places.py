#!/usr/bin/env python3
"""Prints the files and symbols that ARCHITECTURE.md names and that the tree does not have."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
ENDINGS = {".h", ".cpp", ".cu", ".cuh", ".inc", ".md"}
# An editor's own files begin with a dot.
sources = [path for folder in ("src", "kernels") for path in (root / folder).rglob("*")
           if path.suffix in ENDINGS and not path.name.startswith(".")]
words = set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in sources)))
missing = []
for name in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", (root / "ARCHITECTURE.md").read_text(encoding="utf-8"), flags=re.S)):
    if "NAME" in name or " " in name or name.startswith("-"):
        continue
    if "/" in name or re.search(r"\.\w+$", name):
        found = any((root / top / name).exists() for top in ("", "src", "tests"))
    else:
        found = all(word in words for word in re.findall(r"\w+", name))
    if not found:
        missing.append(name)
print("\n".join(missing), end="\n" if missing else "")
sys.exit(bool(missing))
