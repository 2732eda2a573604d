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
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

COMMON = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2, "attention_bias": False,
    "mlp_bias": False, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}


def shape(hidden, intermediate, layers, heads, kv_heads, vocab, **more):
    return {
        **COMMON, "hidden_size": hidden, "intermediate_size": intermediate,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads, "vocab_size": vocab, "max_position_embeddings": 4096,
        "rope_theta": 1e4, **more,
    }


def llama3(factor, **more):
    scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    return {"rope_theta": 5e5, "rope_scaling": scaling, "max_position_embeddings": 131072, **more}


SHAPES = {
    "llama-3.2-1b": shape(2048, 8192, 16, 32, 8, 128256, **llama3(32.0, tie_word_embeddings=True)),
    "llama-3.1-8b": shape(4096, 14336, 32, 32, 8, 128256, **llama3(8.0)),
    "sheared-llama-1.3b": shape(2048, 5504, 24, 16, 16, 32000),
    "llama-2-7b": shape(4096, 11008, 32, 32, 32, 32000),
    "mistral-7b": shape(4096, 14336, 32, 32, 8, 32000, model_type="mistral",
                        architectures=["MistralForCausalLM"], sliding_window=4096,
                        max_position_embeddings=32768),
    "tiny": shape(64, 96, 2, 4, 2, 256),
}
DATA = ["mmlu", "wikitext512", "rlhf", "alpaca", "samsum"]
PEAK_TFLOPS = 989.0  # dense bfloat16 of the H200's data sheet; and its TB/s
PEAK_TBS = 4.8


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


# --- prompts ------------------------------------------------------------------------------------------


def prompt_lengths(args, data: str, count: int) -> list[int]:
    """Of `count` prompts of a data set, in random order."""
    source = random.Random(args.seed)
    if args.prompts is None:
        lengths = [int(min(2048, 1 + source.lognormvariate(4.2, 0.8))) for _ in range(count)]
    else:
        lines = (args.prompts / f"{data}.jsonl").read_text(encoding="utf-8").splitlines()
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


# --- systems ------------------------------------------------------------------------------------------


class Worker:
    """prepack's process, which keeps its model and is told line by line what to do."""

    def __init__(self, args, folder: Path):
        self._process = subprocess.Popen(
            [str(args.worker.resolve()), str(folder), args.dtype, args.device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._read()

    def ask(self, what: dict) -> dict:
        self._process.stdin.write(json.dumps(what) + "\n")
        return self._read()

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with status {self._process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


class Prepack:
    """prepack with some options."""

    def __init__(self, args, worker: Worker, **options):
        self._worker = worker
        self._options = {"token_budget": args.token_budget, **options}

    def _ask(self, what: dict) -> dict:
        return self._worker.ask({**self._options, **what})

    def prefill(self, prompts) -> tuple[float, int]:
        reply = self._ask({"do": "prefill", "batches": [prompts]})
        return reply["seconds"][0], reply["peak_bytes"]

    def decode(self, prompts, new_tokens: int) -> tuple[float, int]:
        reply = self._ask({"do": "decode", "prompts": prompts, "new_tokens": new_tokens})
        return reply["seconds"][0], reply["peak_bytes"]


class Transformers:
    """One way to run the model that they all share."""

    def __init__(self, args, model, attention: str, order: str | None = None, batch_size: int = 0):
        from transformers_worker import Batches
        self._args, self._model, self._attention = args, model, attention
        self._batches = Batches(model, attention_is_flattened=attention in ("varlen", "per_prompt"))
        self._order, self._batch_size = order, batch_size
        if order or not hasattr(self._batches, "decode"):
            self.decode = None

    def _timed(self, run) -> tuple[float, int]:
        import torch
        from transformers_worker import synchronize
        self._model.set_attn_implementation(self._attention)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        synchronize()
        start = time.perf_counter()
        seconds = run()
        synchronize()
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return (time.perf_counter() - start if seconds is None else seconds), peak

    def prefill(self, prompts) -> tuple[float, int]:
        if self._order == "length":  # batches of prompts of about one length
            prompts = sorted(prompts, key=len)
        size = self._batch_size or len(prompts)

        def run():
            for first in range(0, len(prompts), size):
                self._batches.prefill(prompts[first : first + size])

        return self._timed(run)

    def decode(self, prompts, new_tokens: int) -> tuple[float, int]:
        return self._timed(lambda: self._batches.decode(prompts, new_tokens))


class ContinuousBatching(Transformers):
    """transformers' own: generate_batch, whose manager and cache stay from call to call. Its decoding
    cannot be told from its prefill."""

    def __init__(self, args, model):
        super().__init__(args, model, "paged|sdpa")
        self.decode = None
        self._prompts = None

    def prefill(self, prompts) -> tuple[float, int]:
        from transformers import ContinuousBatchingConfig, GenerationConfig
        # A part of the free memory, which is all that it would otherwise take from the others.
        batching = ContinuousBatchingConfig(
            max_batch_tokens=self._args.token_budget, max_memory_percent=0.3,
            num_blocks=256 if self._args.device == "cpu" else None)
        config = GenerationConfig(
            max_new_tokens=1, do_sample=False, eos_token_id=-1, pad_token_id=0)
        if prompts is not self._prompts:  # the manager is made for the prompts that it sees first
            self._model.destroy_cached_continuous_batching_manager()
            self._prompts = prompts
        return self._timed(lambda: self._generate(prompts, config, batching))

    def _generate(self, prompts, config, batching) -> None:
        outputs = self._model.generate_batch(
            inputs=prompts, generation_config=config, continuous_batching_config=batching,
            persistent_manager=True)
        if len(outputs) != len(prompts):
            raise RuntimeError(f"{len(outputs)} answers to {len(prompts)} prompts")


def make_systems(args, folder: Path, closers: list) -> dict:
    """By name: functions, so that one that fails is a row. What is to be called at the end is added to
    `closers`."""
    state = {}

    def model():
        import torch
        import transformers
        if "model" not in state:
            read = transformers.AutoConfig.from_pretrained(folder)
            with torch.device(args.device):
                made = transformers.AutoModelForCausalLM.from_config(
                    read, dtype=getattr(torch, args.dtype))
            state["model"] = made.eval()
        return state["model"]

    def worker():
        if "worker" not in state:
            state["worker"] = Worker(args, folder)
            closers.append(state["worker"].close)
        return state["worker"]

    flattened = "varlen" if args.device != "cpu" and args.dtype != "float32" else "per_prompt"
    return {
        "prepack": lambda: Prepack(args, worker()),
        "prepack, no graphs": lambda: Prepack(args, worker(), graphs=False),
        "transformers, padded": lambda: Transformers(args, model(), "sdpa"),
        "transformers, length-ordered":
            lambda: Transformers(args, model(), "sdpa", order="length", batch_size=16),
        "transformers, flattened": lambda: Transformers(args, model(), flattened),
        "transformers, continuous batching": lambda: ContinuousBatching(args, model()),
    }


# --- measuring ----------------------------------------------------------------------------------------


def measure_shape(args, name: str, deadline: float, results: "Results") -> None:
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


class Results:
    def __init__(self, args):
        self._args = args
        self._rows = []
        self._ceilings = []

    def measure_ceilings(self, args) -> None:
        """A large product in the dtype, and a copy; beside each shape, because clocks change."""
        import torch
        on_gpu = torch.cuda.is_available() and args.device != "cpu"
        size, length = (8192, 1 << 31) if on_gpu else (256, 1 << 20)
        a, b = (torch.randn(size, size, device=args.device, dtype=getattr(torch, args.dtype))
                for _ in range(2))
        out = torch.empty_like(a)
        product_s = fastest(lambda: torch.mm(a, b, out=out))
        source = torch.zeros(length, dtype=torch.uint8, device=args.device)
        target = torch.empty_like(source)
        copy_s = fastest(lambda: target.copy_(source))
        self._ceilings.append({"tflops": 2 * size**3 / product_s / 1e12,
                               "gb_per_s": 2 * length / copy_s / 1e9})

    def row(self, name: str, what: str, prompts: list, tokens: int):
        def add(system: str, seconds: list, peak: int, error: str | None) -> None:
            median = statistics.median(seconds) if seconds else None
            row = {"shape": name, "what": what, "batch_size": len(prompts), "system": system,
                   "useful_tokens": tokens, "seconds": seconds, "peak_bytes": peak, "error": error}
            if median:
                config = SHAPES[name]
                row["tokens_per_s"] = tokens / median
                if what == "decode":
                    steps = tokens / len(prompts)
                    row["tb_per_s"] = steps * weight_bytes(config, self._args.dtype) / median / 1e12
                else:
                    row["tflops"] = operations(config, prompts) / median / 1e12
            self._rows.append(row)
            self.write()  # what is measured should outlive an interruption
        return add

    def fail(self, name: str, system: str, what: str, error: Exception) -> None:
        self._rows.append({"shape": name, "what": what, "batch_size": 0, "system": system,
                           "error": f"{type(error).__name__}: {error}"})

    def skip(self, name: str, why: str) -> None:
        self._rows.append({"shape": name, "what": "", "batch_size": 0, "system": "", "error": why})

    def write(self) -> None:
        if self._args.json is None:
            return
        report = {"arguments": {key: str(value) for key, value in vars(self._args).items()},
                  "versions": versions(), "ceilings": self._ceilings, "rows": self._rows,
                  "table": self.table()}
        self._args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")

    def table(self) -> str:
        lines = []
        if self._ceilings:
            best = {key: max(found[key] for found in self._ceilings) for key in self._ceilings[0]}
            lines += [f"At best: a product of {best['tflops']:.0f} TFLOP/s, a copy of "
                      f"{best['gb_per_s']:,.0f} GB/s (read and written).", ""]
        lines += ["| shape | batch | system | useful tokens/s | TFLOP/s or TB/s | of data sheet "
                  "| peak GB | spread |", "|---|---|---|--:|--:|--:|--:|--:|"]
        for row in self._rows:
            where = f"| {row['shape']} | {row['what']}, {row['batch_size']} | {row['system']} |"
            if "tokens_per_s" not in row:
                lines.append(f"{where} {row['error']} | | | | |")
                continue
            of_work = row.get("tflops", row.get("tb_per_s"))
            peak = PEAK_TFLOPS if "tflops" in row else PEAK_TBS
            spread = (max(row["seconds"]) - min(row["seconds"])) / min(row["seconds"])
            lines.append(f"{where} {row['tokens_per_s']:,.0f} | {of_work:.2f} | "
                         f"{of_work / peak:.1%} | {row['peak_bytes'] / 1e9:.1f} | {spread:.1%} |")
        return "\n".join(lines)


def fastest(run) -> float:
    from transformers_worker import synchronize
    times = []
    for _ in range(8):
        synchronize()
        start = time.perf_counter()
        run()
        synchronize()
        times.append(time.perf_counter() - start)
    return min(times[2:])


def layer_parameters(config: dict) -> int:
    hidden, head_dim = config["hidden_size"], config["head_dim"]
    query = config["num_attention_heads"] * head_dim
    key = config["num_key_value_heads"] * head_dim
    return hidden * (2 * query + 2 * key) + 3 * hidden * config["intermediate_size"]


def operations(config: dict, prompts: list) -> float:
    """That the prompts need: products, causal attention, and the last tokens' logits."""
    layers = config["num_hidden_layers"]
    query = config["num_attention_heads"] * config["head_dim"]
    tokens = sum(map(len, prompts))
    attention = sum(2 * layers * query * len(prompt) ** 2 for prompt in prompts)
    vocabulary = 2 * config["hidden_size"] * config["vocab_size"] * len(prompts)
    return 2 * layers * layer_parameters(config) * tokens + attention + vocabulary


def weight_bytes(config: dict, dtype: str) -> int:
    """That a decode step reads."""
    vocabulary = config["hidden_size"] * config["vocab_size"]
    size = 4 if dtype == "float32" else 2
    return size * (config["num_hidden_layers"] * layer_parameters(config) + vocabulary)


def versions() -> dict:
    import torch
    import transformers
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"torch": torch.__version__, "transformers": transformers.__version__, "device": name}


if __name__ == "__main__":
    main()
