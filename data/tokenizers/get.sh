#!/usr/bin/env bash
# Downloads the vocabularies of GPT-2 and T5, data/tokenizers/gpt2.tiktoken and t5.model, and checks their SHA-256.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

get() {
  [ -f "$1" ] && return
  curl -fL --retry 5 -o "$1.part" "$2"
  echo "$3  $1.part" | sha256sum --quiet -c -
  mv "$1.part" "$1"
}

get gpt2.tiktoken https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken \
  306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930
get t5.model https://huggingface.co/google-t5/t5-base/resolve/main/spiece.model \
  d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86
