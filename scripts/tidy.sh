#!/usr/bin/env bash
# tidy.sh [BASE]: runs clang-tidy on the lines of .cpp files in src and kernels that changed since BASE. BASE is by
# default the commit at which the branch left main or, on main itself, the previous commit. The script stops after
# TIDY_SECONDS (600) and prints how many of the changed files were checked.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
refuse() { echo "tidy: $*" >&2; exit 2; }

base=${1:-$(git merge-base HEAD main 2>/dev/null || true)}
if [ -n "$base" ]; then
  commit=$(git rev-parse --verify --quiet "$base^{commit}") || refuse "found '$base', expected a commit"
  base=$commit
fi
[ -n "$base" ] && [ "$base" != "$(git rev-parse HEAD)" ] || base=$(git rev-parse HEAD~1)
command -v clang-tidy >/dev/null || refuse "found no clang-tidy; scripts/setup.sh ci installs it"
changed=$(git diff --name-only --diff-filter=d "$base" -- 'src/*.cpp' 'kernels/*.cpp')
files=()
[ -z "$changed" ] || mapfile -t files <<<"$changed"
[ ${#files[@]} -gt 0 ] || { echo "tidy: no source changed since $base"; exit 0; }

# clang-tidy needs a compile command for every single file, so this build does not use ROWAN_UNITY.
cmake -B build-tidy -DCMAKE_CXX_COMPILER=clang++ -DROWAN_CUDA=OFF >/dev/null
left=${TIDY_SECONDS:-600} bad=0 done=0 began=$SECONDS
for file in "${files[@]}"; do
  lines=$(git diff -U0 "$base" -- "$file" |
    sed -nE 's/^@@ [^+]*\+([0-9]+)(,([0-9]+))? @@.*/\1 \3/p' |
    awk '{ n = $2 == "" ? 1 : $2; if (n > 0) printf "%s[%d,%d]", comma, $1, $1 + n - 1; if (n > 0) comma = "," }')
  [ -n "$lines" ] || continue
  budget=$((left - (SECONDS - began)))
  [ $budget -gt 0 ] || break
  status=0
  timeout $budget clang-tidy -p build-tidy --quiet --warnings-as-errors='*' \
    --line-filter="[{\"name\":\"$file\",\"lines\":[$lines]}]" "$file" 2>/dev/null || status=$?
  [ $status -ne 124 ] || break
  done=$((done + 1))
  [ $status -eq 0 ] || bad=1
done
echo "tidy: $done of ${#files[@]} changed sources checked in $((SECONDS - began)) s (since ${base:0:12})"
exit $bad
