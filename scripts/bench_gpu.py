#!/usr/bin/env python3
"""Compares prepack with transformers on one GPU, and with what the GPU does at best.

  scripts/bench_gpu.py --worker build/prepack_bench_worker --prompts DIR --json bench.json

Every model has random weights of its shape, made on the device. The systems are loaded at the same
time, get the same prompts in the same dtype, and take turns, in an order that rotates from run to run;
each runs once before, to warm up. Times are from token ids to the first token of every prompt of a
batch, and, for decoding, from there on. Only tokens of prompts count, not padding, and of decoding only
new ones. A system that fails is a row that says why.

On a machine without a GPU: --device cpu --dtype float32 --shape tiny tries the script itself.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))  # transformers_worker

from gpu.prompts import DATA, make_prompts  # noqa: E402
from gpu.results import Results  # noqa: E402
from gpu.shapes import SHAPES  # noqa: E402
from gpu.systems import make_systems  # noqa: E402


def main() -> None:
    args = parse_arguments()
    results = Results(args)
    deadline = time.monotonic() + args.seconds
    for number, name in enumerate(args.shape):
        left = deadline - time.monotonic()
        share = left / (len(args.shape) - number)
        if share < 5:
            results.skip(name, "out of time")
            continue
        try:
            measure_shape(args, name, time.monotonic() + share, results)
        except Exception as error:  # one shape's end is not that of the others
            results.skip(name, f"{type(error).__name__}: {error}")
        results.write()
    results.write()
    print(results.table())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", type=Path, default=Path("build/prepack_bench_worker"),
                        help="prepack_bench_worker")
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), metavar="NAME",
                        default=[name for name in SHAPES if name != "tiny"],
                        help=f"of {', '.join(SHAPES)} [default: all but tiny]")
    parser.add_argument("--prompts", type=Path, metavar="DIR",
                        help="folder of DATA.jsonl, whose prompts' lengths are used "
                        "[default: lengths drawn at random, as skewed as theirs]")
    parser.add_argument("--data", nargs="+", default=DATA[:1], choices=DATA, metavar="NAME",
                        help=f"of {', '.join(DATA)} [default: mmlu]")
    parser.add_argument("--batch-size", nargs="+", type=int, default=[16, 128, 1024], metavar="N")
    parser.add_argument("--decode", nargs="*", type=int, default=[1, 16, 128], metavar="N",
                        help="batch sizes to decode with")
    parser.add_argument("--new-tokens", type=int, default=64, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="at most")
    parser.add_argument("--token-budget", type=int, default=8192, metavar="N",
                        help="of one forward of prepack, and of continuous batching")
    parser.add_argument("--quantized", nargs="+", default=[], metavar="WEIGHTS[+ACTIVATIONS]",
                        choices=["int8", "int8+int8", "int4"],
                        help="prepack with quantized weights too: of int8, int8+int8, int4")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=300, metavar="S",
                        help="shared among the shapes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if min([*args.batch_size, *args.decode, args.runs, args.new_tokens]) < 1:
        parser.error("batch sizes, runs and tokens: expected 1 or more")
    if args.new_tokens < 2 and args.decode:
        parser.error("--new-tokens: expected 2 or more, to decode")
    return args


def measure_shape(args, name: str, deadline: float, results: Results) -> None:
    config = SHAPES[name]
    results.measure_ceilings(args)
    with tempfile.TemporaryDirectory(prefix="bench_gpu-") as scratch:
        (Path(scratch) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        systems, closers = {}, []
        for system, make in make_systems(args, Path(scratch), closers).items():
            try:
                systems[system] = make()
            except Exception as error:
                results.fail(name, system, "load", error)
        try:
            for data, size in itertools.product(args.data, args.batch_size):
                prompts = make_prompts(args, data, size, config)
                take_turns(args, systems, deadline, lambda system: system.prefill(prompts),
                           results.row(name, f"prefill {data}", prompts, sum(map(len, prompts))))
            for size in args.decode:
                prompts = make_prompts(args, args.data[0], size, config)
                able = {key: system for key, system in systems.items() if system.decode}
                new_tokens = args.new_tokens
                take_turns(args, able, deadline,
                           lambda system: system.decode(prompts, new_tokens),
                           results.row(name, "decode", prompts, size * (new_tokens - 1)))
        finally:
            for close in closers:
                close()
    free_memory()


def take_turns(args, systems: dict, deadline: float, run, row) -> None:
    """Once to warm up, then in turns, as often as there is time for, at least once."""
    names = []
    for name, system in systems.items():
        if time.monotonic() > deadline:
            row(name, [], 0, "out of time")
            continue
        try:
            run(system)
            names.append(name)
        except Exception as error:
            free_memory()
            row(name, [], 0, f"{type(error).__name__}: {error}")
    seconds = {name: [] for name in names}
    peaks = dict.fromkeys(names, 0)
    errors = dict.fromkeys(names)
    for turn in range(args.runs if names else 0):
        if turn > 0 and time.monotonic() > deadline:
            break
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if errors[name] is not None:
                continue  # it would fail again
            try:
                took, peaks[name] = run(systems[name])
                seconds[name].append(took)
            except Exception as error:
                free_memory()
                errors[name] = f"{type(error).__name__}: {error}"
    for name in names:
        row(name, seconds[name], peaks[name], errors[name])


def free_memory() -> None:
    import gc

    import torch
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
