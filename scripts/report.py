#!/usr/bin/env python3
"""Writes the report on what `prepack compare --json` measured: tables, regressions and pictures.

  .venv/bin/python scripts/report.py results/*.json --output results --readme README.md

DIR/README.md is the report. It shows the pictures that scripts/plot.py draws into the same folder, and
DIR/commands.txt, if there is one, which scripts/reproduce.sh writes. DIR/summary.md is its one small
table; --readme puts that between the markers of another file:

  <!-- results:begin -->
  <!-- results:end -->
"""

import argparse
import os
import sys
from pathlib import Path

try:
    import measurements
    from measurements import METRIC_NAMES, PREDICTORS, Experiment, Fit, Group, MeasurementError
except ImportError as error:
    sys.exit(f"report: {error}; run scripts/setup.sh, then .venv/bin/python {sys.argv[0]}")

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"

README_PICTURES = ["time_by_dataset_ttft", "speedup_by_batch_size"]

ALT_TEXTS = {
    "time_by_dataset_prefill": "Prefill time by data set and method",
    "time_by_dataset_ttft": "Time to first token by data set and method",
    "memory_by_batch_size": "Peak memory by batch size and method",
    "speedup_by_batch_size": "Speed-up by batch size and method",
    "random_lengths": "Time against batch size for prompts of random lengths",
    "length_histograms": "Histograms of the prompts' lengths",
    "dataset_packing": "Time per prompt against batch size, with the data set packed as a whole",
    "predictors": "Speed-up of each batch against r/k, m - L/k and k/r",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS.json", help="of `prepack compare --json`"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder of report and pictures"
    )
    parser.add_argument("--readme", type=Path, metavar="FILE", help="file with the markers")
    args = parser.parse_args()
    try:
        experiments = measurements.load(args.results)
        args.output.mkdir(parents=True, exist_ok=True)
        write(args.output / "README.md", report(experiments, args.output))
        write(args.output / "summary.md", summary(experiments, args.output, args.output))
        if args.readme is not None:
            block = summary(experiments, args.output, args.readme.parent)
            write(args.readme, replace_block(args.readme, block))
    except MeasurementError as error:
        sys.exit(f"report: {error}")
    except OSError as error:
        sys.exit(f"report: {error.filename or args.output}: {error.strerror or error}")


def write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    print(path, file=sys.stderr)


def replace_block(path: Path, block: str) -> str:
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise MeasurementError(f"{path}: expected one line {BEGIN} and, after it, one line {END}")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{block}{END}{after}"


# --- The report ----------------------------------------------------------------------------------


def report(experiments: list[Experiment], folder: Path) -> str:
    sections = [
        heading(),
        conditions_section(experiments, folder),
        datasets_section(experiments, folder),
        length_ordered_section(experiments),
        batch_size_section(experiments, folder),
        exact_caches_section(experiments),
        random_lengths_section(experiments, folder),
        uniform_lengths_section(experiments),
        dataset_packing_section(experiments, folder),
        packing_section(folder),
        predictors_section(experiments, folder),
        generation_section(experiments),
        lengths_section(experiments, folder),
    ]
    return "\n".join(section for section in sections if section)


def heading() -> str:
    return """\
# Measurements

The experiments of the Prepacking paper ([arXiv:2404.09529](https://arxiv.org/abs/2404.09529)), run by
`scripts/reproduce.sh`. `scripts/report.py` wrote this page, and `scripts/plot.py` drew its pictures, from
the JSON files beside it.

| method | a batch of k prompts is computed as |
|---|---|
| padded | k rows, each padded to the longest: the baseline |
| length-ordered | the same, but batches are cut from the prompts in the order of their lengths |
| packed-rows | r rows as long as the longest prompt, several prompts in each: the paper's prepacking |
| packed | the prompts one after the other, with no padding: `prepack`'s default |
| dataset-packed | rows of one packing of the whole data set, k of them in a batch |
"""


def conditions_section(experiments: list[Experiment], folder: Path) -> str:
    lines = ["## Conditions", "", *environment_table(experiments), ""]
    lines += [*size_table(experiments), "", size_text(experiments), ""]
    commands = folder / "commands.txt"
    if commands.is_file():
        lines += ["The commands, by the names of their JSON files:", ""]
        lines += ["    " + line for line in commands.read_text(encoding="utf-8").splitlines()] + [""]
    return "\n".join(lines)


ENVIRONMENT_NAMES = {
    "model": "model",
    "num_parameters": "parameters",
    "dtype": "type",
    "hardware": "hardware",
    "device": "device",
    "threads": "threads",
    "prepack": "prepack",
    "commit": "commit",
    "torch": "LibTorch",
    "compiler": "compiler",
    "date": "date",
    "seed": "seed",
}


def environment_table(experiments: list[Experiment]) -> list[str]:
    """One row per property; where experiments differ in it, every value with their names."""
    rows = []
    for key, name in ENVIRONMENT_NAMES.items():
        values: dict[str, list[str]] = {}
        for experiment in experiments:
            value = experiment.environment.get(key)
            if value not in (None, ""):
                text = f"{value:,}" if key == "num_parameters" else str(value)
                values.setdefault(text, []).append(experiment.name)
        if len(values) == 1:
            rows.append([name, *values])
        elif values:
            rows.append([name, "; ".join(f"{v} ({', '.join(names)})" for v, names in values.items())])
    return table(["", ""], rows)


def size_table(experiments: list[Experiment]) -> list[str]:
    rows = []
    for experiment in experiments:
        results = experiment.results
        rows.append(
            [
                experiment.name,
                listed(row["dataset"] for row in results),
                listed(row["metric"] for row in results),
                listed(row["batch_size"] for row in results),
                measurements.range_text(row["num_batches"] for row in results),
                measurements.range_text(measurements.num_runs(row) for row in results if row["samples_s"]),
            ]
        )
    head = ["experiment", "data sets", "metrics", "batch sizes", "batches", "runs"]
    return table(head, rows, num_left=4)


def listed(values) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(values))


def size_text(experiments: list[Experiment]) -> str:
    """Says how much of the data was measured."""
    text = (
        "*batches* is the number that each method ran, of each data set and batch size; *runs* is how"
        " often it ran each."
    )
    sampled = [e.name for e in experiments if any(measurements.is_sample(e, row) for row in e.results)]
    once = [
        e.name
        for e in experiments
        if any(row["samples_s"] and measurements.num_runs(row) == 1 for row in e.results)
    ]
    if sampled:
        text += (
            f" Of {listed(sampled)}, not all batches were run, but some spread evenly over all of a"
            " method's batches: read these figures for the size of an effect, not for its second digit."
        )
    if once:
        text += f" In {listed(once)} each batch ran once, so that nothing tells the noise of the machine."
    return text


def datasets_section(experiments: list[Experiment], folder: Path) -> str:
    lines = []
    for metric in ("prefill", "ttft"):
        group = measurements.by_dataset(experiments, metric)
        if group is None:
            continue
        name = METRIC_NAMES[metric].capitalize()
        lines += [f"### {name}, batches of {group.fixed}", "", *method_table(group), ""]
        lines += picture(f"time_by_dataset_{metric}", folder)
    if not lines:
        return ""
    group = measurements.by_dataset(experiments, "prefill") or measurements.by_dataset(experiments, "ttft")
    return "\n".join(
        [
            "## Data sets",
            "",
            "Times are seconds per batch over all batches and runs. The speed-up is by seconds per prompt"
            " token, because length-ordered batches hold other prompts than the others' batches; in the"
            " picture its bars are scaled to as many prompt tokens. Where not all batches were timed, its longest"
            " ones, with most padding, are not among them. Memory is the peak of the largest of all of a"
            " method's batches, beyond what was held before it, the weights among that. The standard deviation is over batches, which differ, and runs;"
            f" mean and maximum of the utilisation are each a mean over these. {utilisation_text(group)}",
            "",
            *lines,
        ]
    )


def utilisation_text(group: Group) -> str:
    if on_gpu(group):
        return "Utilisation is that of the GPU, in %."
    threads = group.experiment.environment["threads"]
    return f"Utilisation is the number of busy cores, of {threads} threads."


def on_gpu(group: Group) -> bool:
    return group.experiment.environment["device"].startswith("cuda")


def method_table(group: Group) -> list[str]:
    head = ["data set" if group.axis == "dataset" else "batch size", "method", "mean s", "std s"]
    head += ["median s", "peak MiB", "utilisation, mean", "maximum", "speed-up"]
    rows = []
    for value in group.values:
        for method in group.methods:
            row = group.row(value, method)
            if row is not None:
                rows.append([str(value), method, *method_cells(row)])
    return table(head, without_repeats(rows), num_left=2)


def method_cells(row: dict) -> list[str]:
    if row["mean_s"] is None:
        return [measurements.error_text(row), *6 * ["–"]]
    times = [number(row[key]) for key in ("mean_s", "std_s", "median_s")]
    utilisation = [number(row[key]) for key in ("utilisation_mean", "utilisation_max")]
    return [*times, mebibytes(row["peak_bytes"]), *utilisation, times_text(row["speedup"])]


def batch_size_section(experiments: list[Experiment], folder: Path) -> str:
    group = measurements.by_batch_size(experiments)
    lines = []
    if group is not None:
        lines += [f"{METRIC_NAMES[group.metric].capitalize()} of {group.fixed}.", ""]
        lines += [*method_table(group), "", *picture("speedup_by_batch_size", folder)]
        lines += [*picture("memory_by_batch_size", folder)]
    ratios = memory_ratios(experiments)
    if ratios:
        lines += ["### Memory, against padded", ""]
        lines += ["How many times more memory beyond the weights padded takes than each method.", ""]
        lines += [*ratios, ""]
    return "\n".join(["## Batch sizes and memory", "", *lines]) if lines else ""


def memory_ratios(experiments: list[Experiment]) -> list[str]:
    found = [measurements.by_dataset(experiments, metric) for metric in ("ttft", "prefill")]
    by_dataset = next((group for group in found if group is not None), None)
    pairs = []  # (data set, batch size, group, its value on the group's axis)
    if by_dataset is not None:
        pairs += [(name, by_dataset.fixed, by_dataset, name) for name in by_dataset.values]
    by_size = measurements.by_batch_size(experiments)
    if by_size is not None:
        known = {pair[:2] for pair in pairs}
        pairs += [
            (by_size.fixed, size, by_size, size)
            for size in by_size.values
            if (by_size.fixed, size) not in known
        ]
    methods = ["length-ordered", "packed-rows", "packed"]
    rows = []
    for dataset, batch_size, group, value in pairs:
        padded = group.measured(value, "padded")
        if padded is not None and padded["peak_bytes"] is not None:
            others = [group.measured(value, method) for method in methods]
            ratios = [memory_ratio(padded, other) for other in others]
            rows.append([dataset, str(batch_size), mebibytes(padded["peak_bytes"]), *ratios])
    return table(["data set", "batch size", "padded MiB", *methods], rows, num_left=1) if rows else []


def memory_ratio(padded: dict, other: dict | None) -> str:
    if other is None or not other["peak_bytes"]:
        return "–"
    return times_text(padded["peak_bytes"] / other["peak_bytes"])


def length_ordered_section(experiments: list[Experiment]) -> str:
    group = measurements.length_ordered(experiments)
    if group is None:
        return ""
    rows = []
    for name in group.values:
        packed, ordered = group.measured(name, "packed"), group.measured(name, "length-ordered")
        if packed and ordered:
            seconds = [
                row["mean_s"] * row["num_batches"] / row["prompt_tokens"] for row in (ordered, packed)
            ]
            cells = [number(1e6 * value) for value in seconds]
            some = measurements.is_sample(group.experiment, packed)
            batches = f"{packed['num_batches']}{' (a sample)' if some else ' (all)'}"
            rows.append([name, batches, *cells, times_text(seconds[0] / seconds[1])])
    head = ["data set", "batches", "length-ordered", "packed", "speed-up of packed"]
    return "\n".join(
        [
            "## Against length-ordered batches",
            "",
            "Length-ordered batching must see all prompts first; packing sees one batch. Batches of"
            f" {group.fixed}, {METRIC_NAMES[group.metric]}, milliseconds per 1,000 prompt tokens, over all batches"
            " or as many as *batches* says, spread evenly over all of a method's.",
            "",
            *table(head, rows, num_left=1),
            "",
        ]
    )


def exact_caches_section(experiments: list[Experiment]) -> str:
    group = measurements.exact_caches(experiments)
    if group is None:
        return ""
    return "\n".join(
        [
            "### With exact caches for both",
            "",
            "Above, padded batches keep caches that are padded to the longest prompt, as ordinary batching"
            " does. This program gives every method caches of exact length: with those, both hold the same"
            f" keys and values beside their activations. Batches of {group.fixed}.",
            "",
            *method_table(group),
            "",
        ]
    )


def random_lengths_section(experiments: list[Experiment], folder: Path) -> str:
    group = measurements.random_lengths(experiments)
    if group is None:
        return ""
    shortest, longest = measurements.random_range(group.fixed)
    metric = METRIC_NAMES[group.metric].capitalize()
    lines = ["## Random lengths", ""]
    lines += [f"{metric} of {shortest} to {longest} random tokens, seconds per batch.", ""]
    lines += [*seconds_table(group), "", *picture("random_lengths", folder)]
    return "\n".join(lines)


def seconds_table(group: Group) -> list[str]:
    """Mean ± std, batch sizes down and methods across."""
    rows = [
        [str(value), *(seconds_cell(group.row(value, method)) for method in group.methods)]
        for value in group.values
    ]
    return table(["batch size", *group.methods], rows, num_left=0)


def seconds_cell(row: dict | None) -> str:
    if row is None:
        return "–"
    if row["mean_s"] is None:
        return measurements.error_text(row)
    if len(row["samples_s"]) < 2:
        return number(row["mean_s"])
    return f"{number(row['mean_s'])} ± {number(row['std_s'])}"


def uniform_lengths_section(experiments: list[Experiment]) -> str:
    group = measurements.uniform_lengths(experiments)
    if group is None:
        return ""
    length, _ = measurements.random_range(group.fixed)
    lines = ["## Nothing to pack", ""]
    lines += [f"Prompts of {length} tokens each: padded has no padding, and packing can save nothing."]
    lines += [f"{METRIC_NAMES[group.metric].capitalize()}, seconds per batch.", ""]
    lines += [*method_table(group), "", *uniform_ratio(group), ""]
    return "\n".join(lines)


def uniform_ratio(group: Group) -> list[str]:
    """Packed over padded, batch by batch: in every run these two took turns."""
    packed, padded = (group.measured(group.values[0], method) for method in ("packed", "padded"))
    if packed is None or padded is None:
        return []
    ratios = sorted(a / b for a, b in zip(packed["samples_s"], padded["samples_s"]))
    middle = ratios[len(ratios) // 2]
    return [
        f"Packed takes {middle:.3f} of padded's time, the median of {len(ratios)} pairs of batches; the least"
        f" is {ratios[0]:.3f}, the most {ratios[-1]:.3f}."
    ]


def dataset_packing_section(experiments: list[Experiment], folder: Path) -> str:
    group = measurements.dataset_packing(experiments)
    if group is None:
        return ""
    sizes = {dataset["name"]: dataset["num_prompts"] for dataset in group.experiment.datasets}
    rows = []
    for value in group.values:
        packing = group.measured(value, "dataset-packed")
        prompts = number(packing["num_prompts"] / packing["num_batches"]) if packing else "–"
        rows.append([str(value), *(prompt_cell(group.row(value, m)) for m in group.methods), prompts])
    head = ["batch size", *group.methods, "prompts in a dataset-packed batch"]
    prompts = f"{sizes[group.fixed]:,} prompts of {group.fixed}" if group.fixed in sizes else group.fixed
    return "\n".join(
        [
            "## Packing a whole data set",
            "",
            f"{prompts}, {METRIC_NAMES[group.metric]}, milliseconds per prompt. A dataset-packed batch is"
            " as many rows as the batch size says, so that it holds more prompts than the others'; the"
            " packing of the data set is not in the time.",
            "",
            *table(head, rows, num_left=0),
            "",
            *picture("dataset_packing", folder),
        ]
    )


def prompt_cell(row: dict | None) -> str:
    if row is None:
        return "–"
    if row["mean_s"] is None:
        return measurements.error_text(row)
    return number(1000 * measurements.prompt_seconds(row))


def generation_section(experiments: list[Experiment]) -> str:
    group = measurements.by_dataset(experiments, "generate")
    if group is None:
        return ""
    tokens = group.experiment.environment.get("max_new_tokens")
    how_many = f"at most {tokens} new tokens each, " if tokens else ""
    lines = ["## Generation", "", f"Batches of {group.fixed} prompts, {how_many}prefill included.", ""]
    return "\n".join([*lines, *method_table(group), ""])


def lengths_section(experiments: list[Experiment], folder: Path) -> str:
    datasets = measurements.datasets(experiments)
    if not datasets:
        return ""
    rows = [
        [
            dataset["name"],
            f"{dataset['num_prompts']:,}",
            f"{dataset['prompt_tokens']:,}",
            number(dataset["lengths"]["mean"]),
            f"{dataset['lengths']['p95']:,}",
            f"{dataset['lengths']['max']:,}",
        ]
        for dataset in datasets
    ]
    head = ["data set", "prompts", "tokens", "mean", "95th percentile", "longest"]
    lines = ["## Lengths of the prompts", "", *table(head, rows, num_left=1), ""]
    return "\n".join([*lines, *picture("length_histograms", folder)])


def packing_section(folder: Path) -> str:
    """The table that prepack_packing_bench wrote, if it is there."""
    table_file = folder / "packing.md"
    if not table_file.is_file():
        return ""
    return "\n".join(
        [
            "## How many rows packing needs",
            "",
            "Bins of every prompt of a data set, at the longest prompt's length and at round capacities: by the"
            " default (best-fit-decreasing and what it tries where that misses the lower bound), by first fit,"
            " and by the paper's greedy packing. No plan can use fewer bins than the lower bound; where the"
            " default misses it, `optimal` says whether fewer bins will do. The last column is the default's"
            " time. Below, times for a hundred thousand sequences; *balanced* is the default with --balance.",
            "",
            table_file.read_text(encoding="utf-8"),
        ]
    )


# --- Regressions ---------------------------------------------------------------------------------

PAPER_BATCH_SIZE = 16  # of the figure of its two regressions


def predictors_section(experiments: list[Experiment], folder: Path) -> str:
    rows = []
    for method in ("packed-rows", "packed"):
        points = measurements.predictions(experiments, method)
        of_paper = [p for p in points if p.batch_size == PAPER_BATCH_SIZE]
        parts = [("all", points)]
        if len(of_paper) < len(points):
            parts.append((f"of {PAPER_BATCH_SIZE}", of_paper))
        for name, own in parts:
            for predictor in PREDICTORS:
                fit = measurements.fit(own, predictor)
                if fit is not None:
                    rows.append([method, name, predictor.label, *fit_cells(fit, predictor.paper_r2)])
    if not rows:
        return ""
    head = ["method", "batches", "predictor", "number", "slope", "intercept", "R²", "paper's R²"]
    return "\n".join(
        [
            "## What predicts the speed-up",
            "",
            "For each batch, padded's median prefill time over this method's, by ordinary least squares"
            " against r/k (packed rows over prompts) and m − L/k (longest length minus mean length, in"
            " tokens), which are the paper's, and against k/r, which is ours.",
            "",
            EXPLANATION,
            "",
            *table(head, without_repeats(rows, 2), num_left=3),
            "",
            *picture("predictors", folder),
        ]
    )


EXPLANATION = (
    "Padded computes k rows of the longest prompt's length and packed-rows r of them, so the speed-up is"
    " expected to be near k/r, and a straight line in r/k, the paper's choice, can only approximate its"
    " reciprocal. m − L/k says in tokens how far the longest prompt stands out, whatever the mean."
)


def fit_cells(fit: Fit, paper_r2: float | None) -> list[str]:
    paper = f"{paper_r2:.2f}" if paper_r2 is not None else "–"
    numbers = [number(fit.slope), number(fit.intercept), f"**{fit.r2:.2f}**"]
    return [str(fit.num_points), *numbers, paper]


# --- The small table -----------------------------------------------------------------------------


def summary(experiments: list[Experiment], folder: Path, reader: Path) -> str:
    """What README.md shows.

    @param reader  folder of the file that shows it, from which links lead to `folder`
    """
    group = measurements.by_dataset(experiments, "ttft") or measurements.by_dataset(experiments, "prefill")
    if group is None:
        return "No data set was measured.\n"
    lengths = {dataset["name"]: dataset["lengths"] for dataset in group.experiment.datasets}
    methods = ["padded", "length-ordered", "packed-rows", "packed"]
    rows = []
    for name in group.values:
        times = [summary_cell(group, name, method) for method in methods]
        packed = group.row(name, "packed")
        tokens = f"{number(lengths[name]['mean'])} / {lengths[name]['max']:,}" if name in lengths else "–"
        rows.append([name, tokens, *times, times_text(packed and packed["speedup"])])
    head = ["data set", "tokens: mean / longest", *methods, "speed-up of packed"]
    link = os.path.relpath(folder, reader)
    return "\n".join(
        [
            *table(head, rows, num_left=1),
            "",
            summary_text(group, Path(link, "README.md").as_posix()),
            "",
            *(line for name in README_PICTURES for line in picture(name, folder, link)),
            "",
        ]
    )


def summary_cell(group: Group, value, method: str) -> str:
    row = group.row(value, method)
    if row is not None and row["mean_s"] is None:
        return measurements.error_text(row)
    seconds = measurements.batch_seconds(group, value, method)
    return "–" if seconds is None else f"{number(seconds)} s"


def summary_text(group: Group, link: str) -> str:
    until = "to the first token" if group.metric == "ttft" else f"of {METRIC_NAMES[group.metric]}"
    environment = group.experiment.environment
    model, dtype = environment["model"], environment["dtype"]
    batches = measurements.range_text(row["num_batches"] for row in group.rows.values())
    runs = measurements.range_text(measurements.num_runs(r) for r in group.rows.values() if r["samples_s"])
    return (
        f"Mean seconds per batch of {group.fixed} prompts {until}: {model} in {dtype} on"
        f" {measurements.machine(environment)}; {batches} batch{'' if batches == '1' else 'es'} of each"
        f" data set, {runs} run{'' if runs == '1' else 's'}{scaling_text(group)}."
        f" [All measurements]({link}), by `scripts/reproduce.sh`."
    )


def scaling_text(group: Group) -> str:
    for value in group.values:
        padded, ordered = group.measured(value, "padded"), group.measured(value, "length-ordered")
        if padded and ordered and padded["prompt_tokens"] != ordered["prompt_tokens"]:
            return "; length-ordered, whose batches hold other prompts, scaled to as many tokens"
    return ""


# --- Markdown ------------------------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]], num_left: int = 2) -> list[str]:
    """The first `num_left` columns are aligned left, the others right."""
    rule = ["---" if i < num_left else "--:" for i in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


def without_repeats(rows: list[list[str]], num_columns: int = 1) -> list[list[str]]:
    """Leaves the first cells empty where they say what those of the row above say."""
    shown = []
    for i, row in enumerate(rows):
        cells = list(row)
        for column in range(num_columns):
            if i == 0 or rows[i - 1][: column + 1] != row[: column + 1]:
                break
            cells[column] = ""
        shown.append(cells)
    return shown


def picture(name: str, folder: Path, link: str = ".") -> list[str]:
    """Nothing where plot.py had nothing to draw."""
    if not (folder / f"{name}.png").is_file():
        return []
    return [f"![{ALT_TEXTS[name]}]({Path(link, name + '.png').as_posix()})", ""]


def number(value: float | None) -> str:
    """Three significant digits, or whole."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:#.3g}"
    return f"{value:.3f}" if "e" in text else text


def times_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.{2 if value < 2 else 1}f}×"


def mebibytes(value: int | None) -> str:
    return "–" if value is None else number(value / 2**20)


if __name__ == "__main__":
    main()
