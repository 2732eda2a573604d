"""What a run needs before it measures: token ids, and the model in each peer's form."""

import json
import random
import subprocess
import sys
import zlib
from pathlib import Path

from peers.systems import System

HERE = Path(__file__).resolve().parent


class BenchError(Exception):
    """One sentence for the user."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(command: list, timeout_s: float | None = None, **options) -> subprocess.CompletedProcess:
    """@throws BenchError with the last line that the command wrote, or what was wrong with it"""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, **options
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"took longer than {timeout_s:.0f} s") from error
    except OSError as error:
        raise BenchError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        cause = lines[-1].strip() if lines else "no message"
        raise BenchError(f"{Path(command[0]).name}: exit status {done.returncode}: {cause}")
    return done


def draw_prompts(path: Path, count: int, seed: int) -> list[str]:
    """Lines of the file, drawn at random."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from error
    lines = [line for line in text.split("\n") if line.strip()]  # splitlines() cuts at U+2028 too
    if len(lines) < count:
        raise BenchError(f"{path}: has {len(lines)} prompts, {count} are needed")
    return random.Random(seed).sample(lines, count)


def token_ids(prepack: Path, tokenizer: Path, lines: list[str], scratch: Path) -> list[list[int]]:
    path = scratch / "prompts.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    done = run([prepack, "tokenize", "--model", tokenizer, "--prompts", path])
    return [json.loads(line) for line in done.stdout.split("\n") if line]


# --- Models --------------------------------------------------------------------------------------


def random_model(shape: str, dtype: str, root: Path) -> Path:
    folder = root / "models" / f"random-{shape}-{dtype}"
    make(folder, [HERE / "make_random_model.py", shape, "--dtype", dtype])
    return folder


def model_for(system: System, model: Path, dtype: str, root: Path) -> Path:
    """The model in the form that this system reads; it is made once.

    @throws BenchError if it cannot be made
    """
    kind = system.weights or dtype
    stamp = (model / "config.json").stat().st_mtime_ns
    key = zlib.crc32(f"{model.resolve()} {stamp}".encode())
    made = root / "models" / f"{model.resolve().name}-{key:08x}"
    if system.peer == "llama_cpp":
        output = made / f"{kind}.gguf"
        make(output, [HERE / "make_gguf.py", model, "--type", kind])
    elif system.peer == "ctranslate2":
        output = made / f"ctranslate2-{kind}"
        packages = next((root / "ctranslate2" / "lib").glob("python*/site-packages"))
        make(output, [HERE / "make_ctranslate2.py", model, "--packages", packages, "--type", kind])
    else:
        output = model
    return output


def make(output: Path, command: list) -> None:
    """Runs a script of this folder with `--output`, unless that is there; appears when whole."""
    if output.exists():
        return
    say(f"making {output}")
    partial = output.with_name(output.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    run([sys.executable, *command, "--output", partial])
    partial.rename(output)


def python_for(system: System, root: Path) -> Path:
    """transformers is in the environment of this script; the other peers have their own."""
    if system.peer == "transformers":
        return Path(sys.executable)
    python = root / system.peer / "bin" / "python"
    if not python.exists():
        raise BenchError(f"not installed: run scripts/setup_peers.sh {system.peer}")
    return python
