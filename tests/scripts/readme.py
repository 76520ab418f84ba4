#!/usr/bin/env python3
"""Runs the commands of README.md and of the READMEs in configs/examples and configs/papers as printed, but with shorter
training.

  readme.py ROWAN

Makes a folder with links to the files that the pages name, or with copies of these files. Runs there, in order, every
line of every command block (```sh, or ``` alone). build/rowan is a stand-in that cuts training to a few steps. mpirun
is a stand-in that allows any number of processes. A ```text block after the commands shows their output. For each line
of the block, one line of the output must contain the words of the line in the same order. Commands that build, download
or need a cluster, and lines with patterns such as CONFIG, are not run, but the files that they name must exist.
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", "configs/examples/README.md", "configs/papers/README.md"]

# Training is cut to 4 steps unless the page gives --steps. A sweep of a paper is only listed, because its data is
# missing, unless the page names other data.
STAND_IN = """#!/bin/sh
command=$1
case "$command $*" in
  train*--steps*) set -- "$@" --set run.sample_tokens=4 --set run.eval_tokens=512 ;;
  train*) set -- "$@" --steps 4 --set run.sample_tokens=4 --set run.eval_tokens=512 ;;
  sweep*configs/papers*--set\ set.data.train=*) ;;
  sweep*configs/papers*) set -- "$@" --list ;;
  sweep*) set -- "$@" --set set.run.steps=4 --set set.run.eval_tokens=512 --set seeds=[1] ;;
esac
exec {rowan} "$@"
"""
MPIRUN = """#!/bin/sh
exec {mpirun} --allow-run-as-root --oversubscribe --bind-to none "$@"
"""
# Patterns of lines that are not run, and the reason.
SKIPPED = [
    (re.compile(r"^(make|sbatch|data/\w+/get\.sh)\b"), "builds, downloads or needs a cluster"),
    (re.compile(r"\b[A-Z]{3,}\b(?!\.md)"), "a pattern"),
    (re.compile(r"\bruns/nora/"), "its runs are not here"),
]


def blocks(page):
    """Yields (language, lines) of every fenced block."""
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.M | re.S):
        yield language, text.rstrip("\n").split("\n")


def make_workplace(folder, rowan):
    for name in ["configs", "scripts", "src", "tests", "Makefile"]:
        (folder / name).symlink_to(ROOT / name)
    for page in ROOT.glob("[!.]*.md"):
        shutil.copy(page, folder)
    (folder / "data" / "tales").mkdir(parents=True)
    for entry in (ROOT / "data").iterdir():
        if entry.name != "tales":
            (folder / "data" / entry.name).symlink_to(entry)
    shutil.copy(ROOT / "data/tales/grammar.txt", folder / "data/tales")
    (folder / "build").mkdir()
    (folder / "bin").mkdir()
    scripts = {"build/rowan": STAND_IN.format(rowan=shlex.quote(str(rowan)))}
    if mpirun := shutil.which("mpirun"):
        scripts["bin/mpirun"] = MPIRUN.format(mpirun=shlex.quote(mpirun))
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def run(line, folder):
    environment = dict(os.environ, PATH=f"{folder / 'bin'}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120)
    return done.returncode, done.stdout


def shows(output, expected):
    words = re.findall(r"[A-Za-z][A-Za-z-]+", expected)
    pattern = re.compile(".*".join(map(re.escape, words)))
    return any(pattern.search(line) for line in output.split("\n"))


def main():
    rowan = pathlib.Path(sys.argv[1]).resolve()
    mistakes, ran, skipped = [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_workplace(folder, rowan)
        for page in PAGES:
            output = ""
            for language, lines in blocks((ROOT / page).read_text(encoding="utf-8")):
                if language == "text":
                    mistakes += [f"{page}: not printed: {line}" for line in lines if not shows(output, line)]
                if language not in ("", "sh"):
                    continue
                output = ""
                for line in lines:
                    command = line.split(" #")[0].strip()
                    if not command:
                        continue
                    if any(rule.search(command) for rule, _ in SKIPPED) or \
                            ("mpirun" in command.split() and not shutil.which("mpirun")):
                        skipped += 1
                        for path in re.findall(r"[\w./-]+\.(?:sh|sbatch|json)\b", command):
                            if not (folder / path).exists():
                                mistakes.append(f"{page}: {command}: there is no {path}")
                        continue
                    code, printed = run(command, folder)
                    output += printed
                    ran += 1
                    if code:
                        mistakes.append(f"{page}: {command}: exit code {code}:\n{printed[-1500:]}")
    for mistake in mistakes:
        print(mistake)
    print(f"readme: {ran} commands ran, {skipped} did not apply, {len(mistakes)} mistakes")
    return 1 if mistakes or ran < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
