#!/usr/bin/env python3
"""Compares prepack's token ids and decoded texts, prompt by prompt, with Hugging Face's tokenizers and the
SentencePiece library.

    .venv/bin/python scripts/check_tokenizers.py BENCH [--shared DIR]

BENCH is the program prepack_tokenizer_bench. DIR (PREPACK_SHARED_DIR, or ../shared) holds tokenizers/*/ and
prompts/*.jsonl; the default model is compared too, where it was fetched. Exit code 0: all equal; 1: something differs; 2: there was nothing to compare with.

A tokenizer.json is compared with tokenizers.Tokenizer, ids and decode. A tokenizer.model is compared with
SentencePieceProcessor: BOS and its ids; and its decode of those.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def bench(program, folder, files, *options):
    result = subprocess.run([program, folder, *files, *options], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{folder}: {result.stderr.strip()}")
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def reference(folder, prompts):
    """Name of the reference, its ids, and its text of those ids."""
    if (folder / "tokenizer.json").exists():
        import tokenizers
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = [encoding.ids for encoding in tokenizer.encode_batch(prompts)]
        return f"tokenizers {tokenizers.__version__}", ids, tokenizer.decode_batch(ids, skip_special_tokens=True)
    import sentencepiece
    processor = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    ids = [[processor.bos_id()] + i for i in processor.encode(prompts)]
    return f"sentencepiece {sentencepiece.__version__}", ids, processor.decode(ids)


def compare(what, folder, name, ours, expected, prompts):
    different = [i for i, (a, b) in enumerate(zip(ours, expected)) if a != b]
    if len(ours) != len(expected):
        different.append(min(len(ours), len(expected)))
    print(f"{folder.name}: {what} of {len(expected)} prompts compared with {name}: {len(different)} differ")
    for i in different[:3]:
        print(f"  prompt {i}: {prompts[i][:200]!r}\n    ours      {ours[i]}\n    reference {expected[i]}")
    return len(different)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("PREPACK_SHARED_DIR", ROOT.parent / "shared")))
    args = parser.parse_args()

    files = sorted(args.shared.glob("prompts/*.jsonl"))
    folders = sorted(p.parent for p in [*args.shared.glob("tokenizers/*/tokenizer.*"),
                                        *args.shared.glob("models/*/tokenizer.*"),
                                        *ROOT.glob("models/*/tokenizer.*")]
                     if p.name in ("tokenizer.json", "tokenizer.model"))
    if not files or not folders:
        print(f"nothing compared: {args.shared} has {len(files)} prompt files and {len(folders)} tokenizers")
        return 2
    prompts = [json.loads(line)["prompt"] for path in files for line in path.open(encoding="utf-8")]
    num_different = 0
    for folder in folders:
        name, ids, texts = reference(folder, prompts)
        num_different += compare("ids", folder, name, bench(args.bench, folder, files, "--ids"), ids, prompts)
        num_different += compare("text", folder, name, bench(args.bench, folder, files, "--decode"), texts, prompts)
    return 1 if num_different else 0


if __name__ == "__main__":
    sys.exit(main())
