"""What scripts/bench_gpu.py has measured: rows, the GPU's ceilings beside them, and the table."""

import json
import statistics
import time

from gpu.shapes import SHAPES, operations, weight_bytes

PEAK_TFLOPS = 989.0  # dense bfloat16 of the H200's data sheet; and its TB/s
PEAK_TBS = 4.8


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


def versions() -> dict:
    import torch
    import transformers
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"torch": torch.__version__, "transformers": transformers.__version__, "device": name}
