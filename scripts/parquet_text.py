#!/usr/bin/env python3
"""Streams one text column of parquet files to standard output as JSON lines, for `rowan tokenize ... -`.

    python3 scripts/parquet_text.py data/fineweb/raw/*.parquet | rowan tokenize --tokenizer SPEC --out DIR -

The lines are wrapped as gzip without compression: if this program is killed half-way the stream has no proper end, and
the tokenizer stops with an error instead of taking a part for the whole (`... | zcat` shows the lines themselves).
Rows come in the order of the files given; a row without text becomes {"text": null}, which the tokenizer counts as
skipped. Needs pyarrow (pip install pyarrow).
"""
import argparse
import json
import sys
import zlib


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
        try:
            with parquet.ParquetFile(name) as file:
                if arguments.column not in file.schema_arrow.names:
                    sys.exit(f"parquet_text: {name}: no column '{arguments.column}'; "
                             f"it has {', '.join(file.schema_arrow.names)}")
                for batch in file.iter_batches(batch_size=1000, columns=[arguments.column]):
                    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in batch.column(0).to_pylist())
                    out.write(packer.compress("".join(line + "\n" for line in lines).encode("utf-8")))
        except BrokenPipeError:
            sys.exit("parquet_text: the reader has gone")
        except (OSError, UnicodeDecodeError, pyarrow.ArrowInvalid) as error:
            sys.exit(f"parquet_text: {name}: {error}")
    out.write(packer.flush())


if __name__ == "__main__":
    main()
