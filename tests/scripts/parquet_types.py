#!/usr/bin/env python3
"""Checks that scripts/parquet_text.py reads every type that parquet files use for text. Needs pyarrow."""
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import pyarrow
import pyarrow.parquet

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "parquet_text.py"
TEXTS = ["alpha", "", None, "gamma \u00e9", "x" * 3000]
TYPES = {
    "text": pyarrow.string(),
    "large text": pyarrow.large_string(),
    "text views": pyarrow.string_view(),
    "bytes": pyarrow.binary(),
    "large bytes": pyarrow.large_binary(),
    "byte views": pyarrow.binary_view(),
    "dictionary": pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    "dictionary of large text": pyarrow.dictionary(pyarrow.int32(), pyarrow.large_string()),
}


def read(column, folder):
    """Returns the texts that the script prints, or its error message."""
    path = pathlib.Path(folder) / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": column, "id": pyarrow.array(range(len(column)))}), path)
    done = subprocess.run([sys.executable, SCRIPT, path], capture_output=True)
    if done.returncode:
        return done.stderr.decode()
    return [json.loads(line)["text"] for line in gzip.decompress(done.stdout).decode().splitlines()]


def read_damaged(folder):
    """Returns the error message for a file in which one letter of a text differs from the page's checksum."""
    path = pathlib.Path(folder) / "damaged.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["hello", "world"]}), path, compression="none",
                                use_dictionary=False, write_statistics=False, write_page_checksum=True)
    path.write_bytes(path.read_bytes().replace(b"world", b"wOrld"))
    return subprocess.run([sys.executable, SCRIPT, path], capture_output=True).stderr.decode()


def main():
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in TYPES.items():
            values = [t.encode() if t is not None and "byte" in name else t for t in TEXTS]
            column = pyarrow.array(values)
            column = column.dictionary_encode().cast(kind) if "dictionary" in name else column.cast(kind)
            right = read(column, folder) == TEXTS
            print(f"{name}: {'right' if right else 'WRONG'}")
            wrong += not right
        broken = pyarrow.array([b"ok", b"\xff\xfe"])
        right = read(broken.view(pyarrow.string()), folder) == ["ok", None] == read(broken, folder)
        message = read(pyarrow.array([1, 2]), folder)
        right &= message.endswith("column 'text' holds int64, expected text or bytes\n") and message.count("\n") == 1
        print(f"what is no text: {'right' if right else 'WRONG'}")
        wrong += not right
        message = read_damaged(folder)
        right = "damaged.parquet: " in message and "checksum" in message.lower() and message.count("\n") == 1
        print(f"a damaged page: {'right' if right else 'WRONG'}")
        wrong += not right
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
