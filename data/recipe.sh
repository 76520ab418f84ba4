# Downloads, tokenizes and verifies a corpus. The get.sh of a corpus sources this file, sets these variables and calls
# `recipe "$@"`:
#   repository, folder  the place of the files on the Hugging Face hub
#   train               pattern of the training files
#   validation          pattern of the validation files, at least one of which must be there, or empty
#   rule                value of --validation, or empty
#   tokenizer           value of --tokenizer
# By default, files are downloaded to data/NAME/raw, and the shards are written to data/NAME.
set -euo pipefail
data=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$data")

say() { echo "$name: $*" >&2; }
die() { say "$@"; exit 2; }

usage() {
  cat >&2 <<END
usage: data/$name/get.sh [--shards N] [--offline] [--raw DIR] [--out DIR] [--tokenizer SPEC] [--validation RULE]
                 [--threads N] [--shard-tokens N]
  --shards N      take the first N training files only (default: all); fewer in the raw folder are an error
  --offline       use the files that are in the raw folder, ask no server
  --raw DIR       folder of the downloaded files (default data/$name/raw)
  --out DIR       folder of the shards (default data/$name)
  --tokenizer     default $tokenizer
  --validation    default ${rule:-the validation files of the corpus}
ROWAN names the program (default build/rowan), PYTHON the interpreter that has pyarrow.
END
}

# fetch FILE URL SHA256 SIZE: downloads one file, or continues an earlier download. A file that exists with this size is
# kept. A SHA256 or SIZE of `-` is not checked.
fetch() {
  local file=$1 url=$2 sha256=$3 size=$4
  [ -f "$file" ] && { [ "$size" = - ] || [ "$(stat -L -c %s "$file")" = "$size" ]; } && return
  command -v curl >/dev/null || die "found no curl, which downloads the files; install curl and ca-certificates"
  say "downloading $(basename "$file")"
  if ! { [ "$size" != - ] && [ "$(stat -c %s "$file.part" 2>/dev/null || echo 0)" = "$size" ]; }; then
    # Standard input gives the token, because other users see the arguments of a process.
    curl -fL --retry 5 --retry-delay 5 -C - ${HF_TOKEN:+-H @-} -o "$file.part" "$url" \
      <<<"Authorization: Bearer ${HF_TOKEN:-}" || die "$url: the download stopped; run again to continue it"
  fi
  if [ "$sha256" != - ] && ! echo "$sha256  $file.part" | sha256sum --quiet -c - 2>/dev/null; then
    rm -f "$file.part"
    die "$url: the SHA-256 is not $sha256; the download was removed, run again"
  fi
  mv "$file.part" "$file"
}

# download PATTERN N: downloads the first N files on the hub that match PATTERN into the raw folder. Fails if the list
# of files cannot be downloaded.
download() {
  local pattern=$1 limit=$2 list sha256 size path
  list=$("${PYTHON:-python3}" "$data/hub_files.py" "$repository" "$folder" "$pattern") || return 1
  [ -n "$list" ] || die "$repository/$folder holds no $pattern"
  while read -r sha256 size path; do
    fetch "$raw/$(basename "$path")" "${HF_ENDPOINT:-https://huggingface.co}/datasets/$repository/resolve/main/$path" \
      "$sha256" "$size"
  done < <(head -n "$limit" <<<"$list")
}

# present PATTERN N: prints the first N files in the raw folder that match PATTERN. -H: the folder may be a symlink.
present() { find -H "$raw" -maxdepth 1 -name "$1" | LC_ALL=C sort | head -n "$2"; }

recipe() {
  name=$(basename "$(dirname "$(realpath "$0")")")
  raw=$data/$name/raw out=$data/$name
  local all=1000000 shards=1000000 offline=no more=()
  while [ $# -gt 0 ]; do
    case $1 in
      --offline) offline=yes; shift; continue ;;
      --help | -h) usage; exit 0 ;;
      --shards | --raw | --out | --tokenizer | --validation | --threads | --shard-tokens) ;;
      *) usage; die "no option '$1'" ;;
    esac
    [ $# -ge 2 ] || die "$1 needs a value"
    case $1 in
      --shards) [[ $2 =~ ^[1-9][0-9]*$ ]] || die "--shards: found $2, expected a whole number, at least 1"; shards=$2 ;;
      --raw) raw=$2 ;;
      --out) out=$2 ;;
      --tokenizer) tokenizer=$2 ;;
      --validation) rule=$2 validation= ;;
      *) more+=("$1" "$2") ;;
    esac
    shift 2
  done
  local vocabulary=${tokenizer#*:}
  rowan=${ROWAN:-$root/build/rowan}
  [ -x "$rowan" ] || die "no program at $rowan; build it first (make build), or name it in ROWAN"
  mkdir -p "$raw"

  if [ $offline = no ]; then
    if ! { download "$train" "$shards" && { [ -z "$validation" ] || download "$validation" "$all"; }; }; then
      say "cannot download the list of files; continuing with the files in $raw"
    elif [[ $vocabulary == "$data/tokenizers/"* && ! -f $vocabulary ]]; then
      "$data/tokenizers/get.sh" "$(basename "$vocabulary")"
    fi
  fi
  local train_files validation_files=() common
  mapfile -t train_files < <(present "$train" "$shards")
  [ ${#train_files[@]} -gt 0 ] || die "no $train in $raw"
  [ "$shards" = "$all" ] || [ ${#train_files[@]} = "$shards" ] ||
    die "--shards $shards: found ${#train_files[@]} of $shards files $train in $raw;" \
      "download the others, or take --shards ${#train_files[@]}"
  if [ -n "$validation" ]; then
    mapfile -t validation_files < <(present "$validation" "$all")
    [ ${#validation_files[@]} -gt 0 ] ||
      die "no $validation in $raw; download it, or hold out training text with --validation, such as every:200"
  fi
  [[ $vocabulary != "$data/tokenizers/"* || -f $vocabulary ]] ||
    die "no $vocabulary; with a network, run data/tokenizers/get.sh $(basename "$vocabulary")"
  common=(--tokenizer "$tokenizer" --out "$out" --validation "${rule:-none}" "${more[@]}")

  # `rowan tokenize` reads the text of parquet files from a pipe and does not learn their names. parquet_files.txt keeps
  # the names, because a later call with other files must be refused.
  if [[ $train == *.parquet ]]; then
    mkdir -p "$out"
    local note names=$out/parquet_files.txt
    for note in manifest.json progress.json; do  # an interrupted call leaves progress.json
      if [ -f "$out/$note" ] && [ -f "$names" ] && ! printf '%s\n' "${train_files[@]##*/}" | cmp -s - "$names"; then
        die "$out: found ${#train_files[@]} parquet files, expected the $(wc -l <"$names") of parquet_files.txt;" \
          "remove the shards and $note there to begin anew"
      fi
    done
    printf '%s\n' "${train_files[@]##*/}" >"$names"
  fi

  # The second call finds finished shards and checks each of them against the manifest.
  for pass in tokenize verify; do
    say "$pass: ${#train_files[@]} files"
    if [[ $train == *.parquet ]]; then
      if [ $pass = verify ]; then
        "$rowan" tokenize "${common[@]}" - </dev/null
      else
        "${PYTHON:-python3}" "$root/scripts/parquet_text.py" "${train_files[@]}" | "$rowan" tokenize "${common[@]}" -
      fi
    elif [ ${#validation_files[@]} -gt 0 ]; then
      "$rowan" tokenize "${common[@]}" --validation-input "${validation_files[@]}" -- "${train_files[@]}"
    else
      "$rowan" tokenize "${common[@]}" "${train_files[@]}"
    fi
  done
  compgen -G "$out/train-*.bin" >/dev/null ||
    die "every token became validation data; for so little text, use another --validation, such as every:200, and another --out"
  say "ready: $out/train-*.bin"
}
