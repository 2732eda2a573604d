"""Reads what `prepack compare --json` wrote, and finds in it what a figure or a table shows.

An experiment is one such file. A figure shows one experiment, so that everything in it was measured
under the same conditions: the experiment that has most of what the figure is about.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# From the baseline to the method that computes least: the order of bars and rows.
METHODS = ["padded", "length-ordered", "packed-rows", "packed", "dataset-packed"]

# These run the same random batches.
SAME_BATCHES = ["padded", "packed-rows", "packed"]

METRIC_NAMES = {
    "prefill": "prefill",
    "ttft": "time to first token",
    "generate": "generation",
}


class MeasurementError(Exception):
    """One sentence for the user."""


@dataclass
class Experiment:
    name: str  # the file's stem
    environment: dict
    datasets: list[dict]
    results: list[dict]
    batches: list[dict]


@dataclass
class Group:
    """Results of one experiment that differ in the method and in one other coordinate, `axis`."""

    experiment: Experiment
    axis: str  # "dataset" or "batch_size"
    metric: str
    fixed: str | int  # the value of the coordinate that is not the axis
    values: list  # of the axis, in order
    methods: list[str]
    rows: dict  # (axis value, method) -> result

    def row(self, value, method: str) -> dict | None:
        """None where this was not run; a result with an error has no times."""
        return self.rows.get((value, method))

    def measured(self, value, method: str) -> dict | None:
        row = self.row(value, method)
        return row if row is not None and row["mean_s"] is not None else None


# --- Reading -------------------------------------------------------------------------------------


def load(paths: list[Path]) -> list[Experiment]:
    return [load_one(path) for path in paths]


def load_one(path: Path) -> Experiment:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MeasurementError(f"{path}: not JSON: {error}") from error
    except OSError as error:
        raise MeasurementError(f"{path}: {error.strerror}") from error
    parts = ("environment", "datasets", "results", "batches")
    missing = [part for part in parts if not isinstance(content, dict) or part not in content]
    if missing:
        raise MeasurementError(
            f"{path}: not what `prepack compare --json` writes: it has no {', '.join(missing)}"
        )
    return Experiment(path.stem, *(content[part] for part in parts))


def is_sample(experiment: Experiment, row: dict) -> bool:
    """Whether a method that makes batches of `batch_size` prompts ran fewer than there are."""
    sizes = {dataset["name"]: dataset["num_prompts"] for dataset in experiment.datasets}
    if row["method"] == "dataset-packed" or row["dataset"] not in sizes:
        return False
    return row["num_batches"] < -(-sizes[row["dataset"]] // row["batch_size"])


# --- Choosing ------------------------------------------------------------------------------------


def widest_group(
    experiments: list[Experiment], axis: str, keep, needs: str | None = None, at_least: int = 1
) -> Group | None:
    """The largest group whose results satisfy `keep`: that with most values on its axis, then with
    most methods, then with most samples.

    @param needs     a method that must be there; values of the axis without it do not count
    @param at_least  values on the axis
    """
    candidates = [
        group
        for experiment in experiments
        if not experiment.environment.get("exact_caches")  # what they show is not the rest's
        for group in groups(experiment, axis, keep)
        if count(group, needs) >= at_least
    ]
    return max(candidates, key=lambda group: size(group, needs), default=None)


def groups(experiment: Experiment, axis: str, keep) -> list[Group]:
    other = "batch_size" if axis == "dataset" else "dataset"
    parts = defaultdict(list)
    for row in experiment.results:
        if keep(row):
            parts[row["metric"], row[other]].append(row)
    return [
        make_group(experiment, axis, metric, fixed, rows)
        for (metric, fixed), rows in parts.items()
    ]


def make_group(experiment: Experiment, axis: str, metric: str, fixed, rows: list[dict]) -> Group:
    values = list(dict.fromkeys(row[axis] for row in rows))
    if axis == "batch_size":
        values.sort()
    found = {row["method"] for row in rows}
    methods = [method for method in METHODS if method in found]
    by_key = {(row[axis], row["method"]): row for row in rows}
    return Group(experiment, axis, metric, fixed, values, methods, by_key)


def count(group: Group, needs: str | None) -> int:
    return sum(1 for value in group.values if needs is None or group.row(value, needs))


def size(group: Group, needs: str | None) -> tuple[int, int, int]:
    num_samples = sum(len(row["samples_s"]) for row in group.rows.values())
    return count(group, needs), len(group.methods), num_samples


def error_text(row: dict) -> str:
    """In a few words, for a cell or a bar, why a result has no times."""
    error = row["error"] or "not measured"
    return "out of memory" if "memory" in error.lower() else error.replace("|", "/")[:40]


def random_range(dataset: str) -> tuple[int, int] | None:
    """The lengths of a synthetic data set, from its name "random-SHORTEST-LONGEST"."""
    parts = dataset.split("-")
    if len(parts) == 3 and parts[0] == "random" and parts[1].isdigit() and parts[2].isdigit():
        return int(parts[1]), int(parts[2])
    return None


def by_dataset(experiments: list[Experiment], metric: str) -> Group | None:
    def keep(row):
        return row["metric"] == metric and not random_range(row["dataset"])

    return widest_group(experiments, "dataset", keep, needs="padded")


def by_batch_size(experiments: list[Experiment]) -> Group | None:
    def keep(row):
        return row["metric"] != "generate" and not random_range(row["dataset"])

    return widest_group(experiments, "batch_size", keep, needs="padded", at_least=2)


def random_lengths(experiments: list[Experiment]) -> Group | None:
    def keep(row):
        lengths = random_range(row["dataset"])
        return lengths is not None and lengths[0] < lengths[1]

    return widest_group(experiments, "batch_size", keep, at_least=2)


def uniform_lengths(experiments: list[Experiment]) -> Group | None:
    def keep(row):
        lengths = random_range(row["dataset"])
        return lengths is not None and lengths[0] == lengths[1]

    return widest_group(experiments, "batch_size", keep, needs="padded")


def dataset_packing(experiments: list[Experiment]) -> Group | None:
    return widest_group(experiments, "batch_size", lambda row: True, needs="dataset-packed")


def exact_caches(experiments: list[Experiment]) -> Group | None:
    """Padded batches with caches of exact length, as this program makes them."""
    found = [e for e in experiments if e.environment.get("exact_caches")]
    return next((group for e in found for group in groups(e, "dataset", lambda row: True)), None)


def length_ordered(experiments: list[Experiment]) -> Group | None:
    """Packing against length-ordered batches alone, at the size that allows most of them."""
    found = [e for e in experiments if e.name == "length_ordered"]
    return next((group for e in found for group in groups(e, "dataset", lambda row: True)), None)


def datasets(experiments: list[Experiment]) -> list[dict]:
    """Every data set once, the synthetic ones left out: its largest sample, in the order of the files
    that hold most."""
    found = {}
    for experiment in sorted(experiments, key=lambda e: -len(e.datasets)):
        for dataset in experiment.datasets:
            known = found.get(dataset["name"])
            if not random_range(dataset["name"]):
                if known is None or known["num_prompts"] < dataset["num_prompts"]:
                    found[dataset["name"]] = dataset
    return list(found.values())


# --- Quantities ----------------------------------------------------------------------------------


def batch_seconds(group: Group, value, method: str) -> float | None:
    """Mean seconds of a batch, made comparable: what the method takes for as many prompt tokens as
    the mean random batch has.

    Of the methods that run these batches, this is the mean itself; so it is of `length-ordered`, once
    all batches were run. Of a few of them, each has other prompts.
    """
    row = group.measured(value, method)
    if row is None:
        return None
    if method in SAME_BATCHES:
        return row["mean_s"]
    others = [group.measured(value, other) for other in SAME_BATCHES]
    reference = next((other for other in others if other is not None), row)
    return row["mean_s"] * tokens_per_batch(reference) / tokens_per_batch(row)


def tokens_per_batch(row: dict) -> float:
    return row["prompt_tokens"] / row["num_batches"]


def prompt_seconds(row: dict) -> float:
    return row["mean_s"] * row["num_batches"] / row["num_prompts"]


def num_runs(row: dict) -> int:
    return round(len(row["samples_s"]) / row["num_batches"])


def conditions(group: Group) -> list[str]:
    """Model, type and machine, and how much was measured."""
    environment = group.experiment.environment
    batches = range_text(row["num_batches"] for row in group.rows.values())
    runs = range_text(num_runs(row) for row in group.rows.values() if row["samples_s"])
    return [
        environment["model"],
        environment["dtype"],
        machine(environment),
        f"{batches} batch{'' if batches == '1' else 'es'} each",
        f"{runs} run{'' if runs == '1' else 's'}",
    ]


def machine(environment: dict) -> str:
    if environment["device"].startswith("cuda"):
        return environment["hardware"]
    threads = environment["threads"]
    return f"{environment['hardware']}, {threads} thread{'' if threads == 1 else 's'}"


def range_text(numbers) -> str:
    numbers = sorted(set(numbers))
    if not numbers:
        return "0"
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


# --- What predicts the speed-up ------------------------------------------------------------------


@dataclass
class Predictor:
    name: str  # as a field of Point
    label: str
    meaning: str
    paper_r2: float | None


PREDICTORS = [
    Predictor("r_over_k", "r/k", "packed rows / prompts", 0.92),
    Predictor("spread", "m − L/k", "longest length − mean length, tokens", 0.72),
    Predictor("k_over_r", "k/r", "prompts / packed rows; ours", None),
]


@dataclass
class Point:
    """One batch that padded and one of the packing methods ran."""

    dataset: str
    batch_size: int
    r_over_k: float
    spread: float
    k_over_r: float
    speedup: float


@dataclass
class Fit:
    slope: float
    intercept: float
    r2: float
    num_points: int


def predictions(experiments: list[Experiment], method: str) -> list[Point]:
    """Of every experiment's prefills, the batches that ran padded, by this method, and packed into
    rows, which r counts."""
    points = []
    for experiment in experiments:
        batches = {
            (b["method"], b["dataset"], b["batch_size"], b["batch"]): b
            for b in experiment.batches
            if b["metric"] == "prefill" and b["median_s"] is not None
        }
        for (name, *key), padded in batches.items():
            rows = batches.get(("packed-rows", *key))
            packed = batches.get((method, *key))
            if name == "padded" and rows and packed:
                points.append(point(padded, rows, packed))
    return points


def point(padded: dict, rows: dict, packed: dict) -> Point:
    num_rows, num_prompts = rows["num_rows"], padded["num_prompts"]
    return Point(
        dataset=padded["dataset"],
        batch_size=padded["batch_size"],
        r_over_k=num_rows / num_prompts,
        spread=padded["longest"] - padded["mean_len"],
        k_over_r=num_prompts / num_rows,
        speedup=padded["median_s"] / packed["median_s"],
    )


def fit(points: list[Point], predictor: Predictor) -> Fit | None:
    """Ordinary least squares; None for fewer than three different values."""
    x = np.array([getattr(p, predictor.name) for p in points])
    y = np.array([p.speedup for p in points])
    if len(np.unique(x)) < 3:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    residuals = y - (slope * x + intercept)
    total = np.sum((y - y.mean()) ** 2)
    if total == 0:
        return None
    return Fit(float(slope), float(intercept), float(1 - np.sum(residuals**2) / total), len(points))
