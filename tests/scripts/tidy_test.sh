#!/usr/bin/env bash
# Tests that scripts/tidy.sh checks nothing silently: not for a base that is no commit, nor without clang-tidy.
set -euo pipefail
export LC_ALL=C  # bash warns about a locale that is not installed
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "tidy_test: $*" >&2; cat "$folder/log" >&2; exit 1; }
command -v git >/dev/null || { echo "tidy_test: skipped, because git is missing"; exit 0; }
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
mkdir -p "$folder/tree/scripts" "$folder/bin"
for tool in bash env dirname git; do ln -s "$(type -P $tool)" "$folder/bin/"; done
cd "$folder/tree"
cp "$source/scripts/tidy.sh" scripts/
git init -q .
git add .
for number in 1 2; do git -c user.name=x -c user.email=x commit -q --allow-empty -m $number; done
expect() {  # CODE TEXT [BASE]
  local code=0
  PATH=$folder/bin scripts/tidy.sh ${3:+"$3"} >"$folder/log" 2>&1 || code=$?
  [ $code -eq "$1" ] && [ "$(wc -l <"$folder/log")" = 1 ] && grep -q "$2" "$folder/log" || fail "exit code $code, expected $1 and '$2'"
}
expect 2 "found no clang-tidy" HEAD~1
printf '#!/bin/sh\n' >"$folder/bin/clang-tidy"
chmod +x "$folder/bin/clang-tidy"
expect 2 "found 'nowhere', expected a commit" nowhere
expect 0 "no source changed since" HEAD~1
echo "tidy_test: passed"
