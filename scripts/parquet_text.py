#!/usr/bin/env python3
"""Streams one text column of parquet files to standard output as JSON lines, for `rowan tokenize ... -`.

    python3 scripts/parquet_text.py data/fineweb/raw/*.parquet | rowan tokenize --tokenizer SPEC --out DIR -

The output is a gzip stream without compression (`... | zcat` shows the lines). If this program is killed, the stream
has no proper end, and the tokenizer stops with an error instead of using an incomplete text. Files and their rows keep
their order. A row without text, or with bytes that are not UTF-8, becomes {"text": null}, which the tokenizer
counts as skipped. The column may have any of Arrow's string and binary types, also dictionary-encoded. Checksums of
pages are compared where a file has them. Needs pyarrow (pip install pyarrow).
"""
import argparse
import json
import os
import sys
import zlib


def is_text(types, kind):
    if types.is_dictionary(kind):
        return is_text(types, kind.value_type)
    names = ("is_string", "is_large_string", "is_string_view", "is_binary", "is_large_binary", "is_binary_view",
             "is_fixed_size_binary", "is_null")
    return any(getattr(types, name)(kind) for name in names if hasattr(types, name))


def as_bytes(pyarrow, column):
    """The column's text as bytes, which are not checked to be UTF-8."""
    types = pyarrow.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_string(column.type):
        return column.view(pyarrow.binary())
    if types.is_large_string(column.type):
        return column.view(pyarrow.large_binary())
    if hasattr(types, "is_string_view") and types.is_string_view(column.type):
        return column.view(pyarrow.binary_view())
    return column


def decoded(value):
    try:
        return value if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--column", default="text")
    arguments = parser.parse_args()
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        sys.exit("parquet_text: needs pyarrow: pip install pyarrow")
    out = sys.stdout.buffer
    packer = zlib.compressobj(level=0, wbits=31)
    for name in arguments.files:
        not_text = 0
        try:
            with parquet.ParquetFile(name, page_checksum_verification=True) as file:
                schema = file.schema_arrow
                if schema.names.count(arguments.column) != 1:
                    found = "two columns" if arguments.column in schema.names else "no column"
                    sys.exit(f"parquet_text: {name}: {found} '{arguments.column}'; it has {', '.join(schema.names)}")
                kind = schema.field(arguments.column).type
                if not is_text(pyarrow.types, kind):
                    sys.exit(f"parquet_text: {name}: column '{arguments.column}' holds {kind}, expected text or bytes")
                for batch in file.iter_batches(batch_size=1000, columns=[arguments.column]):
                    lines = []
                    for value in as_bytes(pyarrow, batch.column(0)).to_pylist():
                        text = decoded(value)
                        not_text += text is None and value is not None
                        lines.append(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                    out.write(packer.compress("".join(lines).encode("utf-8")))
        except BrokenPipeError:
            raise
        except (OSError, pyarrow.ArrowException) as error:
            sys.exit(f"parquet_text: {name}: {error}".replace("\n", " "))
        if not_text:
            print(f"parquet_text: {name}: {not_text} rows are not UTF-8 and became null", file=sys.stderr)
    out.write(packer.flush())
    out.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes stdout again at exit
        sys.exit("parquet_text: the program that reads the output has ended")
