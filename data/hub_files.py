#!/usr/bin/env python3
"""Prints SHA-256 (or -), size and path of each file of a dataset on the Hugging Face hub, sorted.

    python3 data/hub_files.py REPOSITORY FOLDER PATTERN

HF_ENDPOINT is the URL of a mirror. HF_TOKEN is sent if it is set.
"""
import fnmatch
import json
import os
import re
import sys
import urllib.error
import urllib.request


def pages(url):
    while url:
        request = urllib.request.Request(url)
        if os.environ.get("HF_TOKEN"):
            request.add_header("Authorization", "Bearer " + os.environ["HF_TOKEN"])
        with urllib.request.urlopen(request, timeout=30) as answer:
            yield json.load(answer)
            following = re.search(r'<([^>]+)>;\s*rel="next"', answer.headers.get("Link") or "")
        url = following and following.group(1)


def main(repository, folder, pattern):
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    files = []
    for page in pages(f"{endpoint}/api/datasets/{repository}/tree/main/{folder}"):
        for entry in page:
            name = entry["path"].rsplit("/", 1)[-1]
            if entry["type"] == "file" and fnmatch.fnmatchcase(name, pattern):
                files.append((entry["path"], entry["size"], entry.get("lfs", {}).get("oid", "-")))
    for path, size, sha256 in sorted(files):
        print(sha256, size, path)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: hub_files.py REPOSITORY FOLDER PATTERN")
    try:
        main(*sys.argv[1:])
    except (urllib.error.URLError, OSError, ValueError) as error:
        sys.exit(f"hub_files: {sys.argv[1]}: {error}")
