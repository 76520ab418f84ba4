#!/usr/bin/env bash
# Checks file length, unwanted words, paths that exist on one machine only, names and formatting.
# --strict: wrong formatting is an error, not a warning.
set -euo pipefail
cd "$(dirname "$0")/.."

max_lines=500
bad=0
complain() { echo "lint: $*" >&2; bad=1; }

if ! command -v python3 >/dev/null; then
  echo "lint: found no python3, which the checks need; scripts/setup.sh test installs it" >&2
  exit 2
fi

# The files to check. With git, these are the files under version control and new files in folders of code. A user's
# own text, for example in data/, is left out.
files() {
  if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ]; then
    git -c core.quotePath=off ls-files -- Makefile CMakeLists.txt ':(glob)*.md' .ci configs data kernels scripts src tests
    git -c core.quotePath=off ls-files --others --exclude-standard -- kernels scripts src tests
  else
    find Makefile CMakeLists.txt *.md .ci configs data kernels scripts src tests -type f 2>/dev/null
  fi | while IFS= read -r file; do if [ -f "$file" ] && [ ! -L "$file" ]; then echo "$file"; fi; done
}
sources=() texts=()
while IFS= read -r file; do
  case $file in
    */.*) ;;  # an editor's own file
    *.h | *.cpp | *.cu | *.cuh | *.inc) sources+=("$file") texts+=("$file") ;;
    *.py | *.sh | *.txt | *.cmake | *.md | Makefile | .ci/*) texts+=("$file") ;;
  esac
done < <(files | sort -u)

for file in "${sources[@]}"; do
  lines=$(wc -l <"$file")
  [ "$lines" -le $max_lines ] || complain "$file has $lines lines; the limit is $max_lines: split it by job"
done

# A letter of each word is in brackets, so that the pattern does not match this line.
if found=$(grep -nEw 'TO[D]O|FIX[M]E|X[X]X|HA[C]K' "${texts[@]}"); then
  complain "unfinished code, finish it or leave it out:"$'\n'"$found"
fi
if found=$(grep -nE 'print\(stderr|std::cerr' $(printf '%s\n' "${sources[@]}" | grep -E '^(src|kernels)/')); then
  complain "use tell() of base/console.h: a failed write to stderr must not end the program:"$'\n'"$found"
fi
if found=$(grep -nE 'pragma omp (parallel|for|task|sections)' $(printf '%s\n' "${sources[@]}" | grep -E '^(src|kernels)/')); then
  complain "use ThreadPool of kernels/thread_pool.h: idle threads of OpenMP may spin beside ours:"$'\n'"$found"
fi
if found=$(grep -nE '(^|[^A-Za-z0-9_.}/-])/(wor[k]|hom[e]|roo[t]|User[s])/' "${texts[@]}"); then
  complain "paths that exist on one machine only:"$'\n'"$found"
fi

if ! python3 scripts/paper_tables.py --check; then bad=1; fi

if ! same=$(python3 scripts/same_names.py); then
  complain "names in one folder clash, so ROWAN_UNITY does not compile:"$'\n'"$same"
fi

if ! absent=$(python3 scripts/named_places.py); then
  complain "ARCHITECTURE.md names files or symbols that do not exist:"$'\n'"$absent"
fi

if format=$(scripts/formatter.sh); then
  unformatted=$("$format" --dry-run "${sources[@]}" 2>&1 | grep -o '^[^:]*' | grep -E '\.(h|cpp|cu|cuh|inc)$' | sort -u || true)
  if [ -n "$unformatted" ]; then
    echo "lint: formatting differs, run make format:" $unformatted >&2
    [ "${1:-}" != --strict ] || bad=1
  fi
else
  echo "lint: no clang-format 14 here: formatting NOT checked" >&2
fi

[ $bad -eq 0 ] || exit 1
echo "lint: ${#sources[@]} sources checked"
