"""Prompts of scripts/bench_gpu.py: random tokens, as many as the data sets' prompts have."""

import itertools
import json
import random

DATA = ["mmlu", "wikitext512", "rlhf", "alpaca", "samsum"]


def prompt_lengths(args, data: str, count: int) -> list[int]:
    """Of `count` prompts of a data set, in random order."""
    source = random.Random(args.seed)
    if args.prompts is None:
        lengths = [int(min(2048, 1 + source.lognormvariate(4.2, 0.8))) for _ in range(count)]
    else:
        lines = (args.prompts / f"{data}.jsonl").read_text(encoding="utf-8").split("\n")
        texts = [json.loads(line)["prompt"] for line in lines if line.strip()]
        # Four characters to a token, as English text has in all of these vocabularies.
        lengths = [max(1, len(text) // 4) for text in texts]
        source.shuffle(lengths)
        lengths = list(itertools.islice(itertools.cycle(lengths), count))
    return lengths


def make_prompts(args, data: str, count: int, config: dict) -> list[list[int]]:
    source = random.Random(args.seed + 1)
    most = config["max_position_embeddings"] - args.new_tokens
    return [
        [source.randrange(3, config["vocab_size"]) for _ in range(min(length, most))]
        for length in prompt_lengths(args, data, count)
    ]
