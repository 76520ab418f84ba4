#!/usr/bin/env bash
# Tests which files scripts/lint.sh checks: with git, the files under version control and new files of code, but no
# ignored file and no new file in data/. Without git, all files. A stand-in for python3 reports no fault. Also tests
# scripts/formatter.sh and scripts/named_places.py.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "lint_test: $*" >&2; cat "$folder/log" >&2; exit 1; }
command -v git >/dev/null || { echo "lint_test: skipped, because git is missing"; exit 0; }
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
mkdir -p "$folder/tree/scripts" "$folder/tree/src/base" "$folder/tree/data/c4/raw" "$folder/bin"
python=$(command -v python3)
printf '#!/bin/sh\n' >"$folder/bin/python3"
chmod +x "$folder/bin/python3"
export PATH=$folder/bin:$PATH
cd "$folder/tree"
cp "$source/scripts/"{lint.sh,formatter.sh,named_places.py} scripts/
cp "$source/.clang-format" .
echo 'int one;' >src/base/one.cpp
echo '/data/*/raw/' >.gitignore
git init -q .
git add .
printf -v open_end '%s' TO DO  # lint does not find the word in this file
lint() { scripts/lint.sh >"$folder/log" 2>&1; }

lint || fail "failed in a clean tree"
echo "$open_end: read" | tee data/c4/raw/notes.md >data/mine.md
lint || fail "checked a user's notes"
echo "// $open_end" >src/base/two.cpp
if lint; then fail "passed a new file of code"; fi
grep -q '^src/base/two.cpp:1:' "$folder/log" || fail "does not name src/base/two.cpp"
git add src/base/two.cpp
if lint; then fail "passed a file under version control"; fi
rm src/base/two.cpp
lint || fail "failed because a file under version control is removed"

# Files of an editor may hold any bytes.
printf 'TO''DO \377' | tee src/base/.one.cpp.swp >src/base/.two.cpp
lint || fail "checked the files of an editor"
echo 'See `one`.' >ARCHITECTURE.md
"$python" scripts/named_places.py >"$folder/log" 2>&1 || fail "named_places reads the files of an editor"
echo 'See `two`.' >ARCHITECTURE.md
if "$python" scripts/named_places.py >"$folder/log" 2>&1; then fail "named_places misses no symbol"; fi
rm src/base/.one.cpp.swp src/base/.two.cpp ARCHITECTURE.md

# Only clang-format 14 formats.
for name in clang-format-14 clang-format; do
  printf '#!/bin/sh\necho "Debian clang-format version ${%s:-18.1.3}"\n' "$(tr - _ <<<"$name")" >"$folder/bin/$name"
  chmod +x "$folder/bin/$name"
done
if scripts/formatter.sh; then fail "formats with version 18"; fi
[ "$(clang_format=14.0.6 scripts/formatter.sh)" = clang-format ] || fail "formatter finds no clang-format of version 14"
[ "$(clang_format_14=14.0.0 scripts/formatter.sh)" = clang-format-14 ] || fail "formatter finds no clang-format-14"
rm "$folder/bin/clang-format-14" "$folder/bin/clang-format"

printf '#!/bin/sh\nexit 1\n' >"$folder/bin/git"
chmod +x "$folder/bin/git"
if lint; then fail "passed a note without git"; fi
grep -q '^data/mine.md:1:' "$folder/log" || fail "does not name data/mine.md"
rm "$folder/bin/git" data/mine.md

# Without python3 there is one message, about python3. bin has the tools that come before it.
rm "$folder/bin/python3"
ln -s "$(command -v dirname)" "$(command -v bash)" "$(command -v env)" "$folder/bin/"
code=0
PATH=$folder/bin lint || code=$?
[ $code -eq 2 ] && [ "$(wc -l <"$folder/log")" = 1 ] && grep -q "found no python3" "$folder/log" || fail "exit code $code without python3"
echo "lint_test: passed"
