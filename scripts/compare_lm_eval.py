#!/usr/bin/env python3
"""Compares prepack score with lm-evaluation-harness: the same model, in float32 on the CPU.

    python scripts/compare_lm_eval.py MODEL --prompts mmlu_choices.jsonl [--program build/prepack]

Log-likelihoods of the letters and texts of the choices of each prompt, of continuations that begin
with a space, end a word, or follow a space; and the rolling log-likelihood of the prompts as one
text, in windows. Exit code 0: all within 1e-4 for each token, and greedy or not alike; 1: something
differs.

Needs lm_eval with its extra hf, which scripts/setup.sh does not install. MODEL is a folder.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4  # for each token
CONTEXT = 256  # tokens of a window
CHOICE = re.compile(r"^([A-D])\. (.+)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompts", type=Path, required=True, metavar="FILE.jsonl")
    parser.add_argument("--num-prompts", type=int, default=40)
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "prepack")
    args = parser.parse_args()
    with args.prompts.open(encoding="utf-8") as lines:  # splitlines() cuts texts at U+2028 too
        prompts = [json.loads(line)["prompt"] for line in itertools.islice(lines, args.num_prompts)]
    model = HFLM(
        pretrained=str(args.model), dtype="float32", device="cpu", batch_size=1, max_length=CONTEXT
    )
    is_alike = compare_continuations(model, args, prompts)
    is_alike &= compare_text(model, args, "\n\n".join(prompts))
    sys.exit(0 if is_alike else 1)


def pairs_of(prompts: list) -> list:
    pairs = [("", prompts[0])]
    for prompt in prompts:
        for letter, text in CHOICE.findall(prompt):
            pairs += [(prompt, f" {letter}"), (f"{prompt} ", text)]
        head, _, tail = prompt.rpartition("\n")
        pairs.append((head[:-3], head[-3:] + "\n" + tail))
    return pairs


def compare_continuations(model: HFLM, args: argparse.Namespace, prompts: list) -> bool:
    fits = lambda pair: len(model.tok_encode("".join(pair))) <= CONTEXT  # noqa: E731
    pairs = list(filter(fits, pairs_of(prompts)))
    theirs = model.loglikelihood(requests("loglikelihood", pairs), disable_tqdm=True)
    lines = [json.dumps({"prompt": p, "continuation": c}) + "\n" for p, c in pairs]
    ours = score(args, "".join(lines), "--continuations")
    differences = [
        abs(a["log_likelihood"] - b[0]) / a["num_tokens"] for a, b in zip(ours, theirs, strict=True)
    ]
    num_unlike = sum(a["is_greedy"] != b[1] for a, b in zip(ours, theirs, strict=True))
    worst = max(range(len(pairs)), key=differences.__getitem__)
    print(
        f"{len(pairs)} continuations: log-likelihoods differ by at most {differences[worst]:.2g} "
        f"for each token (of {theirs[worst][0]:.2f}), is_greedy of {num_unlike}; "
        f"{sum(b[1] for b in theirs)} are greedy"
    )
    return differences[worst] <= TOLERANCE and num_unlike == 0


def compare_text(model: HFLM, args: argparse.Namespace, text: str) -> bool:
    # The harness puts a token in front of the text, and scores the text's first token too.
    prefix = model.tokenizer.decode([model.prefix_token_id])
    theirs = model.loglikelihood_rolling(
        requests("loglikelihood_rolling", [(text,)]), disable_tqdm=True
    )[0]
    (ours,) = score(args, prefix + text, "--json", "--context", str(CONTEXT), "--text")
    num_tokens = len(model.tok_encode(text))
    mean = abs(ours["log_likelihood"] - theirs) / num_tokens
    print(
        f"a text of {num_tokens} tokens (ours: {ours['num_tokens']}): log-likelihood "
        f"{ours['log_likelihood']:.4f}, theirs {theirs:.4f}: {mean:.2g} for each token"
    )
    return ours["num_tokens"] == num_tokens and mean <= TOLERANCE


def requests(kind: str, arguments: list) -> list:
    return [
        Instance(request_type=kind, doc={}, arguments=arg, idx=i) for i, arg in enumerate(arguments)
    ]


def score(args: argparse.Namespace, text: str, *options: str) -> list:
    """The lines that prepack score prints. @param options  the last takes the text's file"""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        program = [args.program, "score", "--model", args.model, "--dtype", "float32"]
        run = subprocess.run(
            [*program, *options, file.name], stdout=subprocess.PIPE, check=True, text=True
        )
    return [json.loads(line) for line in run.stdout.split("\n") if line]


if __name__ == "__main__":
    main()
