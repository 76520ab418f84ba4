#!/usr/bin/env bash
# FineWeb, the sample of 100 billion tokens: see README.md.
. "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
repository=HuggingFaceFW/fineweb folder=sample/100BT
train='*.parquet' validation= rule=tokens:100000000
tokenizer=gpt2:$data/tokenizers/gpt2.tiktoken
recipe "$@"
