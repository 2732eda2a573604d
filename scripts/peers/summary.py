"""Turns what was measured into rows, a table and a chart."""

import statistics
from pathlib import Path

# Below this share of equal first tokens in float32, a system does not compute the same thing.
REQUIRED_AGREEMENT = 0.98

HEADINGS = [
    "system",
    "weights",
    "s/batch, median [min..max]",
    "prompt tokens/s",
    "RSS MB",
    "decode tokens/s",
    "time / prepack",
    "agreement",
]


def summarize(result: dict, reference: dict, run: dict) -> dict:
    """One system's samples as one row.

    @param result     "system", "weights", "samples", and "error" or None
    @param reference  "first_tokens" and "margins" of prepack in float32
    @param run        "num_batches", "prompt_tokens", "num_prompts", "decode"
    """
    row = {"system": result["system"], "weights": result["weights"], "error": result["error"]}
    samples = result["samples"]
    if not samples:
        return row
    batch_s = [sample["total_s"] / run["num_batches"] for sample in samples]
    median_s = statistics.median(batch_s)
    decode_s = [sample["decode_s"] for sample in samples if sample["decode_s"] is not None]
    decoded = run["num_prompts"] * (run["decode"] - 1)  # the first token is prefill's
    return {
        **row,
        "median_s": median_s,
        "min_s": min(batch_s),
        "max_s": max(batch_s),
        "tokens_per_s": run["prompt_tokens"] / run["num_batches"] / median_s,
        "peak_rss_bytes": statistics.median(sample["peak_rss_bytes"] for sample in samples),
        "decode_tokens_per_s": decoded / statistics.median(decode_s) if decode_s else None,
        **agreement(samples, reference),
    }


def agreement(samples: list[dict], reference: dict) -> dict:
    """The smallest of all runs, and where that one differs: how near to a tie the reference was."""
    expected = reference["first_tokens"]

    def differing(sample: dict) -> list[int]:
        return [i for i, token in enumerate(sample["first_tokens"]) if token != expected[i]]

    worst = max((differing(sample) for sample in samples), key=len)
    return {
        "agreement": 1 - len(worst) / len(expected),
        "margins_where_different": [reference["margins"][i] for i in worst],
    }


def is_wrong(row: dict, dtype: str) -> bool:
    exact = dtype == "float32" and row["weights"] == "float32"
    return exact and row.get("agreement", 1) < REQUIRED_AGREEMENT


# --- Table ---------------------------------------------------------------------------------------


def table(rows: list[dict], dtype: str) -> str:
    """In Markdown, its columns aligned."""
    prepack_s = next((row.get("median_s") for row in rows if row["system"] == "prepack"), None)
    lines = [HEADINGS] + [cells(row, prepack_s, dtype) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    rule = ["-" * width for width in widths[:2]] + ["-" * (width - 1) + ":" for width in widths[2:]]
    text = "".join(
        f"| {' | '.join(align(line[i], width, i) for i, width in enumerate(widths))} |\n"
        for line in [lines[0], rule, *lines[1:]]
    )
    return text + "".join(f"\n{note}\n" for note in notes(rows, dtype))


def align(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 2 else cell.rjust(width)


def cells(row: dict, prepack_s: float | None, dtype: str) -> list[str]:
    if "median_s" not in row:
        return [row["system"], row["weights"], "not measured", "-", "-", "-", "-", "-"]
    ratio = f"{row['median_s'] / prepack_s:.2f}" if prepack_s else "-"
    decode = row["decode_tokens_per_s"]
    return [
        row["system"],
        row["weights"],
        f"{row['median_s']:.3f} [{row['min_s']:.3f}..{row['max_s']:.3f}]",
        f"{row['tokens_per_s']:.0f}",
        f"{row['peak_rss_bytes'] / 1e6:.0f}",
        f"{decode:.1f}" if decode is not None else "-",
        ratio,
        f"{100 * row['agreement']:.1f} %" + (" WRONG" if is_wrong(row, dtype) else ""),
    ]


def notes(rows: list[dict], dtype: str) -> list[str]:
    found = []
    for row in rows:
        if row["error"]:
            found.append(f"{row['system']}: {row['error']}")
        if is_wrong(row, dtype):
            found.append(
                f"{row['system']}: its output is WRONG: in float32 fewer than "
                f"{100 * REQUIRED_AGREEMENT:.0f} % of its first tokens are prepack's."
            )
        margins = row.get("margins_where_different")
        if margins:
            found.append(
                f"{row['system']}: {len(margins)} first tokens differ; there, prepack's two "
                f"largest logits in float32 differ by {min(margins):.2g} to {max(margins):.2g}."
            )
    return found


# --- Chart ---------------------------------------------------------------------------------------


def draw(rows: list[dict], title: str, dtype: str, path: Path) -> None:
    """Prompt tokens per second, each system a bar, with the range of its runs.

    @throws ImportError without matplotlib"""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if "median_s" in row][::-1]
    rates = [row["tokens_per_s"] for row in rows]
    spread = [
        [rate - rate * row["median_s"] / row["max_s"] for rate, row in zip(rates, rows)],
        [rate * row["median_s"] / row["min_s"] - rate for rate, row in zip(rates, rows)],
    ]
    names = [row["system"] + (" (WRONG)" if is_wrong(row, dtype) else "") for row in rows]
    colours = ["#0072B2" if row["system"].startswith("prepack") else "#8c8c8c" for row in rows]
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes.barh(names, rates, xerr=spread, color=colours, error_kw={"linewidth": 1, "capsize": 2})
    axes.set_xlabel("prompt tokens/s to the first token: median and range")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
