#!/usr/bin/env python3
"""Draws the paper's figures from what `prepack compare --json` measured.

  .venv/bin/python scripts/plot.py results/*.json --output results

  time_by_dataset_prefill.png   the paper's figure 4: every data set, every method
  time_by_dataset_ttft.png      the same of the time to first token
  memory_by_batch_size.png
  speedup_by_batch_size.png
  random_lengths.png            the paper's figure 2: time against batch size
  length_histograms.png
  dataset_packing.png           time per prompt against batch size
  predictors.png                speed-up of each batch against r/k, m - L/k and k/r

A figure whose data are in none of the files is left out, and said so. The same files give the same
pictures, byte by byte.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from PIL import Image

    import measurements
    from measurements import PREDICTORS, Experiment, Fit, Group, MeasurementError, Point, Predictor
except ImportError as error:
    sys.exit(f"plot: {error}; run scripts/setup.sh --plots, then .venv/bin/python {sys.argv[0]}")

# Okabe and Ito's colours, which the colour-blind tell apart; markers tell methods apart in grey.
METHOD_COLOURS = {
    "padded": "#8c8c8c",
    "length-ordered": "#E69F00",
    "packed-rows": "#56B4E9",
    "packed": "#0072B2",
    "dataset-packed": "#009E73",
}
METHOD_MARKERS = {
    "padded": "o",
    "length-ordered": "D",
    "packed-rows": "s",
    "packed": "^",
    "dataset-packed": "v",
}
DATASET_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8c8c8c"]
DATASET_MARKERS = ["o", "s", "^", "D", "v", "P", "X"]

STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 9,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS.json", help="of `prepack compare --json`"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures")
    args = parser.parse_args()
    try:
        draw_all(measurements.load(args.results), args.output)
    except MeasurementError as error:
        sys.exit(f"plot: {error}")
    except OSError as error:
        sys.exit(f"plot: {error.filename or args.output}: {error.strerror or error}")


def draw_all(experiments: list[Experiment], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        path = folder / f"{name}.png"
        with plt.rc_context(STYLE):
            figure = draw(experiments)
            if figure is None:
                say(f"{path}: left out: there are no measurements of it")
                path.unlink(missing_ok=True)  # of other measurements, drawn before
                continue
            save(figure, path)
        say(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def save(figure: Figure, path: Path) -> None:
    """Whole or not at all; without dates or versions, and in 256 colours, which halves the file."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
    plt.close(figure)
    partial = path.with_name(path.name + ".partial")
    Image.fromarray(pixels.copy()).quantize(dither=Image.Dither.NONE).save(partial, "PNG", optimize=True)
    os.replace(partial, path)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- Figures -------------------------------------------------------------------------------------


def time_by_dataset(metric: str) -> Callable[[list[Experiment]], Figure | None]:
    def draw(experiments: list[Experiment]) -> Figure | None:
        group = measurements.by_dataset(experiments, metric)
        if group is None:
            return None
        figure, axes = plt.subplots(figsize=(8, 3.7), layout="constrained")
        draw_bars(axes, group)
        what = measurements.METRIC_NAMES[metric].capitalize()
        add_title(axes, f"{what} by data set and method")
        axes.set_ylabel(f"seconds per batch of {group.fixed}")
        add_caption(figure, group, note=BARS_NOTE)
        return figure

    return draw


BARS_NOTE = (
    "mean ± standard deviation over batches and runs; length-ordered: scaled to as many prompt tokens;"
    " ×: of packed"
)


def draw_bars(axes: Axes, group: Group) -> None:
    width = 0.8 / len(group.methods)
    for m, method in enumerate(group.methods):
        rows = [
            (d + (m - (len(group.methods) - 1) / 2) * width, value)
            for d, value in enumerate(group.values)
            if group.measured(value, method)
        ]
        heights = [measurements.batch_seconds(group, value, method) for _, value in rows]
        axes.bar(
            [x for x, _ in rows],
            heights,
            width * 0.92,
            color=METHOD_COLOURS[method],
            label=method,
            yerr=bar_errors(group, method, [value for _, value in rows], heights),
            error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": "#333333"},
        )
    axes.set_xticks(range(len(group.values)), group.values)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(bottom=0)
    label_bars(axes, group, width)


def bar_errors(group: Group, method: str, values: list, heights: list[float]) -> np.ndarray:
    """(2, bars): below and above. No bar reaches below zero."""
    stds = []
    for value, height in zip(values, heights):
        row = group.measured(value, method)
        stds.append(row["std_s"] * height / row["mean_s"])
    return np.array([np.minimum(stds, heights), stds])


def label_bars(axes: Axes, group: Group, width: float) -> None:
    """The speed-up above packed's bars; the error where there is no bar."""
    for d, value in enumerate(group.values):
        for m, method in enumerate(group.methods):
            x = d + (m - (len(group.methods) - 1) / 2) * width
            row = group.row(value, method)
            if row is not None and row["mean_s"] is None:
                label_bar_error(axes, x, method, measurements.error_text(row))
            elif row is not None and method == "packed" and row["speedup"]:
                top = measurements.batch_seconds(group, value, method) + row["std_s"]
                axes.annotate(
                    f"{row['speedup']:.1f}×",
                    (x, top),
                    xytext=(-6, 3),
                    textcoords="offset points",
                    ha="left",
                    fontsize=8,
                    color=METHOD_COLOURS[method],
                )


def memory_by_batch_size(experiments: list[Experiment]) -> Figure | None:
    group = measurements.by_batch_size(experiments)
    if group is None:
        return None
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    most = max((row["peak_bytes"] or 0 for row in group.rows.values()), default=0)
    unit, unit_bytes = ("GiB", 2**30) if most >= 2**30 else ("MiB", 2**20)

    def in_units(row: dict) -> float | None:
        return row["peak_bytes"] / unit_bytes if row["peak_bytes"] is not None else None

    draw_lines(axes, group, in_units)
    add_title(axes, f"Peak memory beyond the weights ({group.fixed})")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    add_caption(figure, group)
    return figure


def speedup_by_batch_size(experiments: list[Experiment]) -> Figure | None:
    group = measurements.by_batch_size(experiments)
    if group is None:
        return None
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    draw_lines(axes, group, lambda row: row["speedup"])
    add_title(axes, f"Speed-up by batch size ({group.fixed})")
    axes.set_ylabel("times faster than padded")
    axes.set_ylim(bottom=0)
    add_caption(figure, group)
    return figure


def random_lengths(experiments: list[Experiment]) -> Figure | None:
    group = measurements.random_lengths(experiments)
    if group is None:
        return None
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    draw_lines(axes, group, lambda row: row["mean_s"], spread=lambda row: row["std_s"])
    shortest, longest = measurements.random_range(group.fixed)
    add_title(axes, f"Prompts of {shortest} to {longest} tokens, at random")
    axes.set_ylabel(f"{measurements.METRIC_NAMES[group.metric]}, seconds per batch")
    axes.set_ylim(bottom=0)
    repeated = any(len(row["samples_s"]) > 1 for row in group.rows.values())
    add_caption(figure, group, note="mean ± one standard deviation" if repeated else "")
    return figure


def dataset_packing(experiments: list[Experiment]) -> Figure | None:
    group = measurements.dataset_packing(experiments)
    if group is None:
        return None
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    draw_lines(
        axes,
        group,
        lambda row: 1000 * measurements.prompt_seconds(row),
        xlabel="batch size (dataset-packed: rows)",
    )
    add_title(axes, f"Packing the data set as a whole ({group.fixed})")
    axes.set_ylabel(f"{measurements.METRIC_NAMES[group.metric]}, ms per prompt")
    axes.set_ylim(bottom=0)
    add_caption(figure, group)
    return figure


def draw_lines(
    axes: Axes,
    group: Group,
    quantity: Callable[[dict], float | None],
    spread: Callable[[dict], float] | None = None,
    xlabel: str = "batch size",
) -> None:
    """One line per method over the batch sizes."""
    for method in group.methods:
        rows = [(value, group.measured(value, method)) for value in group.values]
        points = [
            (value, quantity(row), spread(row) if spread else 0)
            for value, row in rows
            if row is not None and quantity(row) is not None
        ]
        x, y, error = np.array(points, dtype=float).reshape(-1, 3).T
        style = {"color": METHOD_COLOURS[method], "marker": METHOD_MARKERS[method], "label": method}
        if error.any():
            axes.errorbar(x, y, np.array([np.minimum(error, y), error]), capsize=2, elinewidth=0.8, **style)
        else:
            axes.plot(x, y, **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(group.values, [str(value) for value in group.values])
    axes.set_xticks([], minor=True)
    axes.set_xlim(group.values[0] / 1.25, group.values[-1] * 1.25)
    axes.set_xlabel("\n".join([xlabel, *failures(group)]))


def length_histograms(experiments: list[Experiment]) -> Figure | None:
    datasets = measurements.datasets(experiments)
    if not datasets:
        return None
    columns = min(3, len(datasets))
    lines = -(-len(datasets) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(2.8 * columns, 2 * lines + 0.5), layout="constrained", squeeze=False
    )
    for axes, dataset in zip(grid.flat, datasets):
        draw_histogram(axes, dataset)
    for axes in grid.flat[len(datasets) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("prompts")
    figure.supxlabel("tokens of the prompt", fontsize=9)
    return figure


def draw_histogram(axes: Axes, dataset: dict) -> None:
    lengths = dataset["lengths"]
    values, counts = zip(*lengths["histogram"])
    width = -(-lengths["max"] // 30)  # whole tokens, or bars hold different numbers of lengths
    edges = np.arange(0.5, lengths["max"] + width + 0.5, width)
    axes.hist(values, edges, weights=counts, color="#56B4E9")
    axes.axvline(lengths["mean"], color="#333333", linewidth=1)
    axes.set_title(dataset["name"], fontsize=9.5)
    axes.text(
        0.97,
        0.95,
        f"{dataset['num_prompts']:,} prompts\nmean {lengths['mean']:.0f} (line)\n"
        f"longest {lengths['max']:,}",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    axes.set_xlim(0, lengths["max"])
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def predictors(experiments: list[Experiment]) -> Figure | None:
    all_points = {m: measurements.predictions(experiments, m) for m in ("packed-rows", "packed")}
    all_points = {method: points for method, points in all_points.items() if points}
    if not all_points:
        return None
    figure, grid = plt.subplots(
        len(all_points),
        len(PREDICTORS),
        figsize=(9, 2.7 * len(all_points) + 0.5),
        sharex="col",
        sharey="row",
        layout="constrained",
        squeeze=False,
    )
    names = list(dict.fromkeys(p.dataset for points in all_points.values() for p in points))
    for line, (method, points) in zip(grid, all_points.items()):
        for axes, predictor in zip(line, PREDICTORS):
            draw_predictor(axes, points, predictor, names)
        line[0].set_ylabel(f"speed-up of {method}")
    for axes, predictor in zip(grid[-1], PREDICTORS):
        axes.set_xlabel(f"{predictor.label}\n({predictor.meaning})")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(names), handletextpad=0.2)
    return figure


def draw_predictor(axes: Axes, points: list[Point], predictor: Predictor, names: list[str]) -> None:
    for i, name in enumerate(names):
        own = [p for p in points if p.dataset == name]
        axes.scatter(
            [getattr(p, predictor.name) for p in own],
            [p.speedup for p in own],
            s=24,
            alpha=0.8,
            linewidths=0,
            color=DATASET_COLOURS[i % len(DATASET_COLOURS)],
            marker=DATASET_MARKERS[i % len(DATASET_MARKERS)],
            label=name,
        )
    fit = measurements.fit(points, predictor)
    if fit is not None:
        draw_fit(axes, fit, [getattr(p, predictor.name) for p in points])
        paper = f" (paper: {predictor.paper_r2:.2f})" if predictor.paper_r2 else ""
        axes.set_title(f"R² = {fit.r2:.2f}{paper}", fontsize=9, fontweight="normal")
    axes.set_ylim(bottom=0)


def draw_fit(axes: Axes, fit: Fit, x: list[float]) -> None:
    ends = np.array([min(x), max(x)])
    axes.plot(ends, fit.slope * ends + fit.intercept, color="#333333", linewidth=1, linestyle="--")


FIGURES: dict[str, Callable[[list[Experiment]], Figure | None]] = {
    "time_by_dataset_prefill": time_by_dataset("prefill"),
    "time_by_dataset_ttft": time_by_dataset("ttft"),
    "memory_by_batch_size": memory_by_batch_size,
    "speedup_by_batch_size": speedup_by_batch_size,
    "random_lengths": random_lengths,
    "length_histograms": length_histograms,
    "dataset_packing": dataset_packing,
    "predictors": predictors,
}


# --- What figures share --------------------------------------------------------------------------


def label_bar_error(axes: Axes, x: float, method: str, error: str) -> None:
    """Upright where the bar would be, in the method's colour."""
    axes.text(
        x,
        0.02,
        error,
        transform=axes.get_xaxis_transform(),
        rotation=90,
        ha="center",
        va="bottom",
        fontsize=8,
        color=METHOD_COLOURS[method],
    )


def failures(group: Group) -> list[str]:
    """One line per method that failed, and at which batch sizes."""
    lines = []
    for method in group.methods:
        rows = [(value, group.row(value, method)) for value in group.values]
        failed = [(value, row) for value, row in rows if row is not None and row["mean_s"] is None]
        if failed:
            sizes = ", ".join(str(value) for value, _ in failed)
            lines.append(f"{method} at {sizes}: {measurements.error_text(failed[0][1])}")
    return lines


def add_title(axes: Axes, title: str) -> None:
    """With the legend beneath it, where it hides nothing. To be called when everything is drawn."""
    axes.set_title(title, pad=24)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=len(axes.get_legend_handles_labels()[0]),
        borderpad=0.2,
        columnspacing=1.4,
        handlelength=1.6,
    )


def add_caption(figure: Figure, group: Group, note: str = "") -> None:
    """On what this was measured, how much of it, and how it is to be read."""
    lines = [", ".join(measurements.conditions(group)), note]
    figure.supxlabel("\n".join(filter(None, lines)), fontsize=7, color="#666666")


if __name__ == "__main__":
    main()
