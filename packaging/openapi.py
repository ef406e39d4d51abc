#!/usr/bin/env python3
"""Writes docs/openapi.yaml as the JSON that becomes part of the program; needs PyYAML.

    packaging/openapi.py
"""

import json
import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCE = ROOT / "docs/openapi.yaml"
TARGET = ROOT / "Sources/CEmbedded/openapi.json"

if __name__ == "__main__":
    document = yaml.safe_load(SOURCE.read_text())
    TARGET.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
