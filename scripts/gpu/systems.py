"""What scripts/bench_gpu.py compares: prepack, and the ways that transformers has to run the same."""

import json
import subprocess
import time
from pathlib import Path


class Worker:
    """prepack's process, which keeps its model and is told line by line what to do."""

    def __init__(self, args, folder: Path, *rounding: str):
        self._process = subprocess.Popen(
            [str(args.worker.resolve()), str(folder), args.dtype, args.device, *rounding],
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

    def worker(*rounding: str):
        if rounding not in state:
            state[rounding] = Worker(args, folder, *rounding)
            closers.append(state[rounding].close)
        return state[rounding]

    def quantized(rounding: str):
        return lambda: Prepack(args, worker(*rounding.split("+")))

    flattened = "varlen" if args.device != "cpu" and args.dtype != "float32" else "per_prompt"
    return {
        "prepack": lambda: Prepack(args, worker()),
        "prepack, no graphs": lambda: Prepack(args, worker(), graphs=False),
        **{f"prepack, {rounding}": quantized(rounding) for rounding in args.quantized},
        "transformers, padded": lambda: Transformers(args, model(), "sdpa"),
        "transformers, length-ordered":
            lambda: Transformers(args, model(), "sdpa", order="length", batch_size=16),
        "transformers, flattened": lambda: Transformers(args, model(), flattened),
        "transformers, continuous batching": lambda: ContinuousBatching(args, model()),
    }
