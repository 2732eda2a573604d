"""Measures a system once, in a fresh process."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from peers import prepare
from peers.prepare import BenchError, run
from peers.systems import System


@dataclass
class Job:
    """What every system is given."""

    prompts: list[list[int]]  # token ids
    batch_size: int
    decode: int  # tokens per prompt
    dtype: str
    threads: int
    timeout_s: float
    prepack: Path  # the program
    model: Path  # Hugging Face folder
    root: Path  # of the peers' environments and models
    scratch: Path

    @property
    def num_batches(self) -> int:
        return -(-len(self.prompts) // self.batch_size)

    @property
    def num_tokens(self) -> int:
        return sum(len(prompt) for prompt in self.prompts)


def measure(system: System, job: Job) -> dict:
    """@returns total_s, of all batches; first_tokens; peak_rss_bytes; decode_s or None; and others
    @throws BenchError if the system is missing, fails, or does not support what is asked"""
    if system.peer == "prepack":
        return measure_prepack(job, system.options, job.dtype)
    python = prepare.python_for(system, job.root)
    model = prepare.model_for(system, job.model, job.dtype, job.root)
    report = job.scratch / "report.json"
    report.unlink(missing_ok=True)
    job_file = job.scratch / "job.json"
    job_file.write_text(
        json.dumps({
            "peer": system.peer,
            "options": system.options,
            "model": str(model),
            "dtype": job.dtype,
            "weights": system.weights or job.dtype,
            "threads": job.threads,
            "batch_size": job.batch_size,
            "decode": job.decode,
            "prompts": job.prompts,
            "report": str(report),
        }),
        encoding="utf-8",
    )
    run(
        [python, prepare.HERE / "worker.py", job_file],
        timeout_s=job.timeout_s,
        env=environment(job, system.environment),
    )
    result = json.loads(report.read_text(encoding="utf-8"))
    if "error" in result:
        raise BenchError(result["error"])
    return result


def environment(job: Job, extra: dict) -> dict:
    threads = str(job.threads)
    return {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **extra,
    }


# --- prepack -------------------------------------------------------------------------------------


def measure_prepack(job: Job, options: dict, dtype: str, decodes: bool = True) -> dict:
    """Its second repetition counts, the first warms up, as with the others.

    @param options  "method", and "arguments" where there are more"""
    logits = job.scratch / "logits.safetensors"
    done = run_prepack(
        job, ["prefill", "--json", "--repeat", 2, "--save-logits", logits], options, dtype
    )
    measured = json.loads(done.stdout)
    tokens, margins = first_tokens(logits)
    decode_s = decode_seconds(job, options, dtype) if decodes and job.decode > 1 else None
    return {
        "load_s": measured["load_s"],
        "batch_s": None,  # it tells the time of all batches together
        "total_s": measured["ttft_s"][1],
        "first_tokens": tokens,
        "margins": margins,
        "peak_rss_bytes": measured["peak_rss_bytes"],
        "decode_s": decode_s,
        "versions": {},
    }


def decode_seconds(job: Job, options: dict, dtype: str) -> float:
    """In a process of its own: prefill does not decode."""
    output = job.scratch / "generated.jsonl"
    arguments = ["generate", "--ignore-eos", "--max-new-tokens", job.decode]
    done = run_prepack(job, [*arguments, "--output", output, "--overwrite"], options, dtype)
    found = re.search(r"tokens generated in ([0-9.]+) s", done.stderr)
    if found is None:
        raise BenchError("prepack generate: its summary has no time")
    return float(found[1])


def run_prepack(job: Job, arguments: list, options: dict, dtype: str):
    prompts = job.scratch / "ids.jsonl"
    prompts.write_text(
        "".join(json.dumps({"prompt_ids": ids}) + "\n" for ids in job.prompts), encoding="utf-8"
    )
    return run(
        [
            job.prepack,
            *arguments,
            *("--model", job.model, "--prompts", prompts, "--dtype", dtype, "--device", "cpu"),
            *("--threads", job.threads, "--batch-size", job.batch_size),
            *("--method", options["method"], *options.get("arguments", [])),
        ],
        timeout_s=job.timeout_s,
        env=environment(job, {}),
    )


def first_tokens(logits_file: Path) -> tuple[list[int], list[float]]:
    """Of each prompt: the likeliest first token, and by how much its logit exceeds all others."""
    tokens, margins = [], []
    with safe_open(logits_file, framework="numpy") as file:
        logits = file.get_slice("logits")  # (prompt, vocab); row by row, to keep this process small
        for row in range(logits.get_shape()[0]):
            values = logits[row : row + 1][0]
            token = int(values.argmax())
            largest = float(values[token])
            values[token] = float("-inf")
            tokens.append(token)
            margins.append(largest - float(values.max()))
    return tokens, margins
