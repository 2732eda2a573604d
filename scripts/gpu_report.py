#!/usr/bin/env python3
"""Puts what scripts/gpu_check.sh left in a folder into report.json and report.md: gpu_report.py DIR."""

import argparse
import json
import platform
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gpus", type=int, default=0)
    args = parser.parse_args()
    report = collect(args.folder, args.gpus)
    (args.folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    (args.folder / "report.md").write_text(readable(report), encoding="utf-8")


def collect(folder: Path, gpus: int) -> dict:
    stages = []
    for line in read(folder / "stages.tsv").splitlines():
        name, status, seconds = line.split("\t")
        stages.append({"name": name, "status": None if status == "-" else int(status),
                       "seconds": int(seconds)})
    bench = folder / "bench.json"
    return {
        "gpu": gpu_name() if gpus else None,
        "machine": platform.platform(),
        "stages": stages,
        "cpu_tests": tests(folder / "cpu_tests.xml"),
        "gpu_tests": tests(folder / "gpu_tests.xml"),
        "bench": json.loads(read(bench)) if bench.exists() else None,
    }


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def gpu_name() -> str:
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        return done.stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "a GPU that nvidia-smi does not name"


def tests(path: Path) -> dict | None:
    """Of ctest's JUnit file."""
    if not path.exists():
        return None
    result = {"passed": 0, "failed": [], "skipped": []}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name")
        if case.get("status") == "fail" or case.find("failure") is not None:
            result["failed"].append(name)
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            result["skipped"].append(name)
        else:
            result["passed"] += 1
    return result


def outcome(stage: dict) -> str:
    named = {None: "not run", 0: "done", 124: "out of time"}
    return named.get(stage["status"], f"failed ({stage['status']})")


def readable(report: dict) -> str:
    lines = ["# prepack on a GPU", "", report["gpu"] or "no GPU", "", "| stage | status | seconds |",
             "|---|--:|--:|"]
    for stage in report["stages"]:
        lines.append(f"| {stage['name']} | {outcome(stage)} | {stage['seconds']} |")
    for title, key in (("Tests on the CPU", "cpu_tests"), ("Tests of the GPU", "gpu_tests")):
        found = report[key]
        lines += ["", f"## {title}", ""]
        if found is None:
            lines.append("not run")
            continue
        lines.append(f"{found['passed']} passed, {len(found['failed'])} failed, "
                     f"{len(found['skipped'])} skipped")
        lines += [f"- failed: {name}" for name in found["failed"]]
        lines += [f"- skipped: {name}" for name in found["skipped"]]
    sanitized = [stage for stage in report["stages"] if stage["name"].startswith("compute-sanitizer")]
    lines += ["", "## compute-sanitizer", ""]
    lines += [f"- {stage['name']}: {outcome(stage)}" for stage in sanitized] or ["not run"]
    if report["bench"]:
        lines += ["", "## Benchmark", "", report["bench"]["table"]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
