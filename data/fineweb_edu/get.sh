#!/usr/bin/env bash
# FineWeb-Edu, shuffled, 100 billion tokens: see README.md.
. "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
repository=karpathy/fineweb-edu-100b-shuffle folder=
train='*.parquet' validation= rule=every:200
tokenizer=gpt2:$data/tokenizers/gpt2.tiktoken
recipe "$@"
