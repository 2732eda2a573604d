#!/usr/bin/env python3
"""Converts a model folder from PyTorch's older format to safetensors.

    scripts/convert_checkpoint.py FOLDER

Reads pytorch_model.bin, or the shards that pytorch_model.bin.index.json lists, and writes
model.safetensors into the same folder. Only tensors are unpickled (weights_only), nothing is
executed. Needs torch and safetensors, which the project's own environment, .venv, has.
"""

import argparse
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

try:
    import torch
    from safetensors.torch import save_file
except ImportError as missing:
    environment = Path(__file__).resolve().parent.parent / ".venv"
    python = environment / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != environment:
        os.execv(python, [str(python), *sys.argv])
    sys.exit(f"convert_checkpoint.py: needs torch and safetensors: {missing}")

SINGLE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
TARGET = "model.safetensors"


class ConversionError(Exception):
    """One sentence for the user."""


def find_sources(folder: Path) -> list[Path]:
    """The files to read, each once."""
    if not folder.is_dir():
        raise ConversionError(f"{folder}: there is no such folder")
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if not (folder / INDEX).exists():
        raise ConversionError(f"{folder}: nothing to convert: it has neither {SINGLE} nor {INDEX}")
    try:
        weight_map = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"{folder / INDEX}: not an index of shards: {error!r}") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ConversionError(f"{folder / INDEX}: shard {name!r} is not a file in this folder")
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ConversionError(
            f"{folder / INDEX}: {len(missing)} of its {len(names)} shards are missing: "
            + ", ".join(missing)
        )
    return [folder / name for name in names]


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    try:
        try:
            # Mapped, tensors are read when they are written out: memory holds no copy of the model.
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            # Files from before PyTorch 1.6 are no zip archives and cannot be mapped.
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message advises to load it the unsafe way.
        raise ConversionError(f"{path}: not a PyTorch file that holds tensors only") from None
    except Exception as error:  # pickle and zip fail in many ways, all of which mean a bad file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ConversionError(f"{path}: cannot be read: {reason}") from None
    if not isinstance(state, dict):
        raise ConversionError(f"{path}: expected a dict of tensors, got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ConversionError(f"{path}: {name}: expected a tensor, got {type(value).__name__}")
    return state


def ties_embeddings(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return config.get("tie_word_embeddings") is True
    except (OSError, ValueError, AttributeError):
        return False


def extent(tensor: torch.Tensor) -> tuple:
    """Equal for two tensors that are the same bytes seen the same way."""
    return (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())


def prepare(tensors: dict[str, torch.Tensor], tied: bool) -> dict[str, torch.Tensor]:
    """What the format asks for: every tensor contiguous, no two sharing memory."""
    if tied:
        # The config says that the output projection is the embedding: one of them is enough.
        head = tensors.get("lm_head.weight")
        embedding = tensors.get("model.embed_tokens.weight")
        if head is not None and embedding is not None and extent(head) == extent(embedding):
            tensors = {name: t for name, t in tensors.items() if name != "lm_head.weight"}
    seen = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        storage = tensor.untyped_storage()
        is_whole = tensor.is_contiguous() and tensor.nbytes == storage.nbytes()
        # A part of a larger storage, or a second name for one, gets memory of its own.
        if not is_whole or storage.data_ptr() in seen:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(storage.data_ptr())
        result[name] = tensor
    return result


def convert(folder: Path) -> None:
    sources = find_sources(folder)
    target = folder / TARGET
    for existing in (target, folder / "model.safetensors.index.json"):
        if existing.exists():
            raise ConversionError(f"{existing}: already there; remove it to convert again")
    tensors: dict[str, torch.Tensor] = {}
    for number, source in enumerate(sources, start=1):
        print(f"reading {source.name} ({number} of {len(sources)})", file=sys.stderr)
        for name, tensor in load_state_dict(source).items():
            if name in tensors:
                raise ConversionError(f"{source}: {name} is also in an earlier shard")
            tensors[name] = tensor
    if not tensors:
        raise ConversionError(f"{folder}: nothing to convert: there are no tensors in it")
    tensors = prepare(tensors, ties_embeddings(folder))

    size = sum(tensor.nbytes for tensor in tensors.values())
    print(f"writing {target} ({len(tensors)} tensors, {size / 1e6:.1f} MB)", file=sys.stderr)
    # Under another name until it is complete: a half-written file is never taken for a model.
    temporary = folder / f".{TARGET}.{os.getpid()}.tmp"
    try:
        save_file(tensors, temporary, metadata={"format": "pt"})
        shutil.copymode(sources[0], temporary)  # safetensors makes files that only the owner reads
        temporary.replace(target)
    except Exception as error:  # safetensors reports a full disk as an error of its own
        raise ConversionError(f"{target}: cannot be written: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a Hugging Face model folder")
    try:
        convert(parser.parse_args().folder)
    except ConversionError as error:
        print(f"convert_checkpoint.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
