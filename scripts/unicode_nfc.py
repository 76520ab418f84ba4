#!/usr/bin/env python3
"""Writes src/tokenizer/nfc_tables.inc, the character data for normalization form C (Unicode Standard Annex 15), from
Python's Unicode data. Also prints the checksum that tests/unit/tokenizer/test_nfc.cpp expects."""
import argparse
import pathlib
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Normalization changes no character from U+30000 on.
CODES = [code for code in range(0x30000) if not 0xD800 <= code <= 0xDFFF]
HANGUL = range(0xAC00, 0xAC00 + 11172)


def lines(items):
    line = ""
    for item in items:
        if len(line) + len(item) + 2 > 119:
            yield line
            line = ""
        line += (" " if line else "") + item + ","
    yield line


def ranges(values):
    """Runs (first, last, value) of consecutive characters with the same value. Characters with value 0 are left out."""
    runs = []
    for code, value in values:
        if not value:
            continue
        if runs and runs[-1][1] == code - 1 and runs[-1][2] == value:
            runs[-1][1] = code
        else:
            runs.append([code, code, value])
    return runs


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    singles, pairs = [], []
    for code in CODES:
        mapping = unicodedata.decomposition(chr(code))
        if not mapping or mapping.startswith("<") or code in HANGUL:
            continue
        parts = [int(part, 16) for part in mapping.split()]
        if len(parts) == 1:
            singles.append((code, parts[0]))
        else:
            # 0 marks characters that composition does not produce.
            composes = unicodedata.normalize("NFC", chr(code)) == chr(code)
            pairs.append((code, parts[0], parts[1], int(composes)))
    classes = ranges((code, unicodedata.combining(chr(code))) for code in CODES)
    out = [f"// Written by scripts/unicode_nfc.py from Unicode {unicodedata.unidata_version}.", "// clang-format off"]
    out.append("// Canonical combining classes: first character, last character, class.")
    out.append("constexpr uint32_t class_ranges[][3] = {")
    out += lines(f"{{{first:#x},{last:#x},{value}}}" for first, last, value in classes)
    out += ["};", "// Characters that decompose into one other: character, other.", "constexpr uint32_t same_as[][2] = {"]
    out += lines(f"{{{code:#x},{other:#x}}}" for code, other in singles)
    out += ["};", "// Characters that decompose into two: character, first, second, whether these two compose to it.",
            "constexpr uint32_t made_of[][4] = {"]
    out += lines(f"{{{code:#x},{first:#x},{second:#x},{composes}}}" for code, first, second, composes in pairs)
    out += ["};", "// clang-format on"]
    (ROOT / "src/tokenizer/nfc_tables.inc").write_text("\n".join(out) + "\n")

    # 64-bit FNV-1a of the normalized text. Every character stands between marks and letters with which it may be
    # reordered and composed.
    checksum = 0xCBF29CE484222325
    for code in CODES:
        for byte in unicodedata.normalize("NFC", "e\u0323" + chr(code) + "\u0302\u1161\u0327\u11a8").encode():
            checksum = (checksum ^ byte) * 0x100000001B3 % 2**64
    print(f"{checksum:#x}")


if __name__ == "__main__":
    main()
