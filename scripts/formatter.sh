#!/usr/bin/env bash
# Prints the name of clang-format 14, the version in Debian 12; other versions format some code differently. The exit
# code is 1 if it is not installed.
for program in clang-format-14 clang-format; do
  if "$program" --version 2>/dev/null | grep -q "version 14\."; then
    echo "$program"
    exit
  fi
done
exit 1
