#!/usr/bin/env python3
"""Finds names inside `namespace {` that two files of one folder define, or that a header of the folder also declares.
Such files cannot be compiled as one file (ROWAN_UNITY). Prints a line for each name, and exits with 1 if it prints
any."""
import collections
import pathlib
import re
import sys

ANONYMOUS = re.compile(r"^namespace \{$(.*?)^\}  // namespace$", re.S | re.M)
# These patterns match at the beginning of a line of formatted source. Two files may define the same alias, but a name
# must not be an alias in one file and something else in another.
ALIAS = re.compile(r"using (\w+) =")
DEFINITIONS = [
    re.compile(r"(?:template.*)?(?:struct|class|enum(?: class)?|union) (\w+)"),
    re.compile(r"(?:constexpr|const|static|inline|thread_local)\b.*?(\w+)(?:\[\w*\])?(?: =|;|\{)"),
    re.compile(r"[\w:<>,&* \[\]]+?[ &*](\w+)\("),
]
# The names of these files are not checked, because scripts/cmake/unity.cmake compiles the files separately.
APART = re.compile(r"/optim/stage_|/base/json\.cpp|/commands/command_line\.cpp|/comm/nccl_communicator\.cpp")

rooms = collections.defaultdict(list)
root = pathlib.Path(__file__).resolve().parent.parent
for path in sorted([*root.glob("src/*/*.cpp"), *root.glob("tests/unit/*/*.cpp"), *root.glob("kernels/*.cpp"),
                    *root.glob("kernels/dry/*.cpp")]):
    if path.name.startswith(".") or APART.search(str(path)):  # an editor's own files begin with a dot
        continue
    room = root / "kernels" if path.is_relative_to(root / "kernels") else path.parent
    rooms[room].append(path)

found = 0
for room, files in rooms.items():
    users, aliases = collections.defaultdict(list), collections.defaultdict(list)
    declared = {}
    for path in room.glob("[!.]*.h"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line[:1].isalpha() and (match := DEFINITIONS[-1].match(line)):
                declared[match.group(1)] = path
    for path in files:
        names = set()
        for body in ANONYMOUS.findall(path.read_text(encoding="utf-8")):
            for line in body.splitlines():
                if match := ALIAS.match(line):
                    aliases[match.group(1)].append(path)
                for pattern in DEFINITIONS if line[:1].isalpha() else []:
                    if match := pattern.match(line):
                        names.add(match.group(1))
                        break
        for name in names:
            users[name].append(path)
            if name in declared and declared[name].stem != path.stem:
                users[name].append(declared[name])
    for name, paths in sorted(users.items()):
        paths = paths + aliases[name]
        if len(paths) > 1:
            found = 1
            print(f"{name} is defined in each of {', '.join(str(p.relative_to(root)) for p in paths)}")
sys.exit(found)
