#!/usr/bin/env bash
# OpenWebText: see README.md.
. "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
repository=Skylion007/openwebtext folder=plain_text
train='*.parquet' validation= rule=hash:0.0005
tokenizer=gpt2:$data/tokenizers/gpt2.tiktoken
recipe "$@"
