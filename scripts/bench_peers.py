#!/usr/bin/env python3
"""Compares prepack with transformers, llama.cpp and CTranslate2, on this machine's CPU.

  scripts/setup_peers.sh
  .venv/bin/python scripts/bench_peers.py --prompts mmlu.jsonl --decode 32 --json peers.json

Every system gets the same token ids, threads and weights. Each measurement is a process of its own,
which loads the model, runs all batches once to warm up, and then times every batch from its token
ids to the first token of every prompt; the systems take turns, in an order that rotates from run to
run. First tokens are compared with prepack's in float32: in float32 a system that agrees on fewer
than 98 % of them is marked as WRONG. A system that is missing or fails is a row that says so.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

try:
    from peers import prepare, summary, systems
    from peers.measure import Job, measure, measure_prepack
    from peers.prepare import BenchError, say
except ImportError as error:
    sys.exit(f"bench_peers: {error}; run scripts/setup.sh, then .venv/bin/python {sys.argv[0]}")

DEFAULT_MODEL = PROJECT / "models" / "smollm2-135m-instruct"


def main() -> None:
    args = parse_arguments()
    try:
        chosen = systems.choose(args.peers)
    except ValueError as error:
        sys.exit(f"bench_peers: --peers: {error}")
    try:
        with tempfile.TemporaryDirectory(prefix="bench_peers-") as scratch:
            compare(args, chosen, Path(scratch))
    except BenchError as error:
        sys.exit(f"bench_peers: {error}")
    except OSError as error:
        sys.exit(f"bench_peers: {error}")
    except KeyboardInterrupt:
        sys.exit("bench_peers: interrupted")


def parse_arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {system.name:<32} {system.about}" for system in systems.SYSTEMS)
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"systems:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, metavar="DIR", help="Hugging Face folder [default: "
                       "$PREPACK_MODEL, else the model that scripts/quickstart.sh fetched]")
    model.add_argument("--shape", choices=["160m", "1.3b"], help="random weights of this shape")
    parser.add_argument("--prompts", type=Path, required=True, metavar="FILE.jsonl",
                        help='{"prompt": ...} per line; those that run are drawn at random')
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="folder with the tokenizer "
                        "[default: the model; with --shape the default model, ids modulo 32000]")
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N")
    parser.add_argument("--num-batches", type=positive, default=3, metavar="N")
    parser.add_argument("--runs", type=positive, default=5, metavar="N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=positive, default=2, metavar="N")
    parser.add_argument("--decode", type=int, default=0, metavar="N",
                        help="also decode, to N tokens per prompt [default: do not]")
    parser.add_argument("--peers", nargs="+", metavar="NAME",
                        default=["prepack", "transformers", "llama_cpp", "ctranslate2"],
                        help="systems, or peers: prepack transformers paper llama_cpp ctranslate2, "
                        "are all of their systems; prepack always runs [default: all but paper]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the prompts drawn")
    parser.add_argument("--timeout", type=positive, default=1800, metavar="S",
                        help="most seconds of one process")
    parser.add_argument("--prepack", type=Path, default=PROJECT / "build" / "prepack",
                        metavar="FILE", help="the program [default: build/prepack]")
    parser.add_argument("--folder", type=Path, default=PROJECT / "build" / "peers", metavar="DIR",
                        help="the peers' environments and models [default: build/peers]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    parser.add_argument("--chart", type=Path, metavar="FILE.png",
                        help="draw it; needs third_party/requirements-plots.txt")
    return parser.parse_args()


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


# --- The run -------------------------------------------------------------------------------------


def compare(args: argparse.Namespace, chosen: list[systems.System], scratch: Path) -> None:
    job = make_job(args, scratch)
    reference = first_tokens_of_reference(job)
    say(
        f"{len(chosen)} systems, {args.runs} runs of {job.num_batches} batches: "
        f"{len(job.prompts)} prompts, {job.num_tokens} tokens"
    )
    content = {
        "environment": environment(args, job),
        "reference": reference,
        "results": [
            {
                "system": system.name,
                "about": system.about,
                "weights": system.weights or args.dtype,
                "variables": system.environment,
                "error": None,
                "samples": [],
            }
            for system in chosen
        ],
    }
    prepare_models(chosen, content["results"], job)
    for run in range(args.runs):
        run_once(run, chosen, content["results"], job)
        write_results(args, content, job)  # what is measured should outlive an interruption
    text = describe(content) + "\n" + summary.table(content["summary"], args.dtype)
    print(text, end="")
    if args.markdown is not None:
        args.markdown.write_text(text, encoding="utf-8")
    if args.chart is not None:
        draw(args, content)


def make_job(args: argparse.Namespace, scratch: Path) -> Job:
    default_model = Path(os.environ.get("PREPACK_MODEL") or DEFAULT_MODEL)
    model = args.model or default_model
    if args.shape is not None:
        model = prepare.random_model(args.shape, args.dtype, args.folder)
    if not (model / "config.json").is_file():
        raise BenchError(f"{model}: no Hugging Face folder; run scripts/fetch_model.py")
    tokenizer = args.tokenizer or (default_model if args.shape else model)
    count = args.batch_size * args.num_batches
    lines = prepare.draw_prompts(args.prompts, count, args.seed)
    vocab_size = json.loads((model / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    prompts = [
        [token % vocab_size for token in ids]  # changes ids only where the tokenizer is another's
        for ids in prepare.token_ids(args.prepack, tokenizer, lines, scratch)
    ]
    return Job(
        prompts=prompts,
        batch_size=args.batch_size,
        decode=args.decode,
        dtype=args.dtype,
        threads=args.threads,
        timeout_s=args.timeout,
        prepack=args.prepack,
        model=model,
        root=args.folder,
        scratch=scratch,
    )


def first_tokens_of_reference(job: Job) -> dict:
    found = measure_prepack(job, {"method": "packed"}, "float32", decodes=False)
    return {key: found[key] for key in ("first_tokens", "margins")}


def prepare_models(chosen: list[systems.System], results: list[dict], job: Job) -> None:
    for system, result in zip(chosen, results):
        try:
            if system.peer != "prepack":
                prepare.python_for(system, job.root)
                prepare.model_for(system, job.model, job.dtype, job.root)
        except BenchError as error:
            result["error"] = str(error)
            say(f"{system.name}: {error}")


def run_once(run: int, chosen: list[systems.System], results: list[dict], job: Job) -> None:
    pairs = list(zip(chosen, results))
    start = run % len(pairs)
    for system, result in pairs[start:] + pairs[:start]:
        if result["error"] is not None:
            continue  # it would fail again
        load = os.getloadavg()[0]
        try:
            sample = measure(system, job)
        except BenchError as error:
            result["error"] = str(error)
            say(f"run {run + 1}: {system.name}: {error}")
            continue
        result["samples"].append({"run": run, "load_average_before": load, **sample})
        say(f"run {run + 1}: {system.name}: {sample['total_s'] / job.num_batches:.3f} s per batch")


def write_results(args: argparse.Namespace, content: dict, job: Job) -> None:
    measured = {
        "num_batches": job.num_batches,
        "prompt_tokens": job.num_tokens,
        "num_prompts": len(job.prompts),
        "decode": job.decode,
    }
    content["summary"] = [
        summary.summarize(result, content["reference"], measured) for result in content["results"]
    ]
    if args.json is not None:
        partial = args.json.with_name(args.json.name + ".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, args.json)


def draw(args: argparse.Namespace, content: dict) -> None:
    title = f"{content['environment']['model']}, {args.dtype}, {args.threads} threads"
    try:
        summary.draw(content["summary"], title, args.dtype, args.chart)
    except ImportError as error:
        say(f"no chart: {error}; run scripts/setup.sh --plots")


# --- The conditions ------------------------------------------------------------------------------


def environment(args: argparse.Namespace, job: Job) -> dict:
    lengths = [len(prompt) for prompt in job.prompts]
    return {
        "prepack": prepare.run([args.prepack, "--version"]).stdout.strip(),
        "commit": commit(),
        "model": job.model.name,
        "prompts": args.prompts.stem,
        "num_prompts": len(lengths),
        "prompt_tokens": sum(lengths),
        "longest_prompt": max(lengths),
        "batch_size": args.batch_size,
        "num_batches": job.num_batches,
        "decode": args.decode,
        "dtype": args.dtype,
        "threads": args.threads,
        "runs": args.runs,
        "seed": args.seed,
        "hardware": cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "load_average": os.getloadavg()[0],
        "date": datetime.date.today().isoformat(),
    }


def commit() -> str:
    """Of this checkout, of which --prepack need not be a build."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cpu() -> str:
    fields = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    flags = fields.get("flags", "").split()
    telling = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"]
    return ", ".join([name, *(flag for flag in telling if flag in flags)])


def describe(content: dict) -> str:
    about = content["environment"]
    versions = {}
    for result in content["results"]:
        for sample in result["samples"]:
            versions |= {k: v for k, v in sample["versions"].items() if k != "python"}
    return (
        f"{about['model']}, {about['dtype']}, {about['threads']} threads on {about['hardware']}; "
        f"{about['num_prompts']} prompts of {about['prompts']}, {about['prompt_tokens']} tokens, "
        f"the longest {about['longest_prompt']}; {about['num_batches']} batches of "
        f"{about['batch_size']}, {about['runs']} runs; load average {about['load_average']:.1f} "
        f"at the start.\n\n"
        f"prepack {about['prepack']} of commit {about['commit']}; "
        + "; ".join(f"{name} {version}" for name, version in versions.items())
        + ".\n"
    )


if __name__ == "__main__":
    main()
