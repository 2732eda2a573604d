"""Converts a Hugging Face folder for CTranslate2, with its own converter.

  .venv/bin/python scripts/peers/make_ctranslate2.py FOLDER --packages DIR --type int8 --output DIR

The converter wants transformers and torch beside ctranslate2, which has its own environment.
"""

import argparse
import sys


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--packages", required=True, metavar="DIR", help="ctranslate2's")
    parser.add_argument("--type", choices=["float32", "bfloat16", "int8"], default="float32")
    parser.add_argument("--output", required=True, metavar="DIR")
    args = parser.parse_args()
    sys.path.append(args.packages)  # after this environment's own
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(args.folder).convert(args.output, quantization=args.type, force=True)


if __name__ == "__main__":
    main()
