#!/usr/bin/env bash
# Downloads the vocabularies of GPT-2 and T5, and checks their SHA-256.
#
#   data/tokenizers/get.sh [FILE...]        FILE: gpt2.tiktoken or t5.model (default: both)
#
# t5.model comes from the Hugging Face hub. HF_ENDPOINT is the URL of a mirror, HF_TOKEN is sent if it is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
die() { echo "tokenizers: $*" >&2; exit 2; }

get() {  # FILE URL SHA256 [HEADER]
  local file=$1 url=$2 sha256=$3 header=${4:-}
  [ -f "$file" ] && return
  command -v curl >/dev/null || die "found no curl, which downloads $file; install curl and ca-certificates"
  echo "tokenizers: downloading $file" >&2
  # Standard input gives the header, which has a token, because other users see the arguments of a process.
  curl -fL --retry 5 ${header:+-H @-} -o "$file.part" "$url" <<<"$header" ||
    die "$url: the download of $file failed; run again"
  if ! echo "$sha256  $file.part" | sha256sum --status -c -; then
    rm -f "$file.part"
    die "$url: the SHA-256 of $file is not $sha256; the download was removed, run again"
  fi
  mv "$file.part" "$file"
}

[ $# -gt 0 ] || set -- gpt2.tiktoken t5.model
for file; do
  case $file in
    gpt2.tiktoken)
      get "$file" https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken \
        306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930 ;;
    t5.model)
      get "$file" "${HF_ENDPOINT:-https://huggingface.co}/google-t5/t5-base/resolve/main/spiece.model" \
        d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86 \
        ${HF_TOKEN:+"Authorization: Bearer $HF_TOKEN"} ;;
    *) die "found $file, expected gpt2.tiktoken or t5.model" ;;
  esac
done
