#!/usr/bin/env bash
# C4, the English part: see README.md.
. "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
repository=allenai/c4 folder=en
train='c4-train.*.json.gz' validation='c4-validation.*.json.gz' rule=
tokenizer=sentencepiece:$data/tokenizers/t5.model
recipe "$@"
