"""Writes the weights of a Llama model's Hugging Face folder as a GGUF file, without a tokenizer.

  .venv/bin/python scripts/peers/make_gguf.py FOLDER --type float32 --output FILE.gguf

llama.cpp then takes and returns token ids. Matrices are of the given type, all else is float32.
"""

import argparse
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors import safe_open

TYPES = {
    "float32": gguf.GGMLQuantizationType.F32,
    "bfloat16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}

# Architectures whose RoPE rotates neighbouring dimensions in llama.cpp.
INTERLEAVED = ("llama", "smollm3")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--type", choices=TYPES, default="float32")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.gguf")
    args = parser.parse_args()
    config = json.loads((args.folder / "config.json").read_text(encoding="utf-8"))
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope_type != "default":
        sys.exit(f"make_gguf: {args.folder}: RoPE of type {rope_type} is not supported")
    config["rope_theta"] = rope.get("rope_theta", config.get("rope_theta", 10000.0))

    writer = gguf.GGUFWriter(args.output, "llama")
    add_metadata(writer, config)
    writer.add_tokenizer_model("no_vocab")
    add_tensors(writer, args.folder, config, TYPES[args.type])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_metadata(writer: gguf.GGUFWriter, config: dict) -> None:
    num_heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // num_heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(num_heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or num_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def add_tensors(writer: gguf.GGUFWriter, folder: Path, config: dict, matrix_type) -> None:
    """As the writer's architecture names them."""
    architecture = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == writer.arch)
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    num_heads = {}
    if writer.arch in INTERLEAVED:
        num_heads = {
            "q_proj": config["num_attention_heads"],
            "k_proj": config.get("num_key_value_heads") or config["num_attention_heads"],
        }
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                values = file.get_tensor(name).to(torch.float32).numpy()
                kind = name.split(".")[-2]
                if kind in num_heads:
                    values = pairs_from_halves(values, num_heads[kind])
                gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if gguf_name is None:
                    sys.exit(f"make_gguf: {path}: {name}: not a tensor of {writer.arch}")
                add_tensor(writer, gguf_name, values, matrix_type)


def add_tensor(writer: gguf.GGUFWriter, name: str, values: np.ndarray, matrix_type) -> None:
    kind = matrix_type if values.ndim == 2 else gguf.GGMLQuantizationType.F32
    if kind == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def pairs_from_halves(values: np.ndarray, num_heads: int) -> np.ndarray:
    """llama.cpp's order of rows: its RoPE rotates neighbours, Hugging Face's two halves."""
    halves = values.reshape(num_heads, 2, -1, *values.shape[1:])  # (head, half, head_dim / 2, ...)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


if __name__ == "__main__":
    main()
