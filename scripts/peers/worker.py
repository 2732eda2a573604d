"""Measures one system in a process of its own: `worker.py JOB.json`, started by bench_peers.py.

Loads the model, runs every batch once to warm up, then runs every batch again and times it, from
token ids to the first token of every prompt. What it found goes to the file that the job names.
"""

import importlib
import json
import platform
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    worker = importlib.import_module(f"{job['peer']}_worker")
    prompts = job["prompts"]
    batches = cut(prompts, job["batch_size"], job["options"].get("order"))

    start = time.perf_counter()
    try:
        system = worker.System(job, [[prompts[i] for i in batch] for batch in batches])
    except worker.Unsupported as error:
        write(job, {"error": str(error)})
        return
    load_s = time.perf_counter() - start

    for batch in batches:
        system.prefill([prompts[i] for i in batch])

    batch_s = []
    first_tokens = [0] * len(prompts)
    for batch in batches:
        ids = [prompts[i] for i in batch]
        start = time.perf_counter()
        tokens = system.prefill(ids)
        batch_s.append(time.perf_counter() - start)
        for index, token in zip(batch, tokens, strict=True):
            first_tokens[index] = int(token)
    # In KiB. The kernel lets a process inherit this peak from its parent, which is kept small.
    peak_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    decode_s = None
    if job["decode"] > 1 and hasattr(system, "decode"):
        decode_s = sum(
            system.decode([prompts[i] for i in batch], job["decode"]) for batch in batches
        )
    write(
        job,
        {
            "load_s": load_s,
            "batch_s": batch_s,
            "total_s": sum(batch_s),
            "first_tokens": first_tokens,
            "peak_rss_bytes": peak_rss_bytes,
            "decode_s": decode_s,
            "versions": {"python": platform.python_version(), **system.versions()},
        },
    )


def cut(prompts: list[list[int]], batch_size: int, order: str | None) -> list[list[int]]:
    """Batches, as indices of prompts."""
    indices = list(range(len(prompts)))
    if order == "length":
        indices.sort(key=lambda index: len(prompts[index]))
    return [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]


def write(job: dict, report: dict) -> None:
    Path(job["report"]).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
