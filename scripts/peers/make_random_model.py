"""Writes a Llama model of a given shape with random weights, as a Hugging Face folder.

  .venv/bin/python scripts/peers/make_random_model.py 160m --dtype float32 --output DIR

Its tokenizer knows bytes only, and is there because programs want one.
"""

import argparse
import json
from pathlib import Path

import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import decoders, models, pre_tokenizers

VOCAB_SIZE = 32000

SHAPES = {
    "160m": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "intermediate_size": 3072,
    },
    "1.3b": {
        "hidden_size": 2048,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "intermediate_size": 5504,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[args.shape]
    save_file(
        random_tensors(shape, getattr(torch, args.dtype)),
        args.output / "model.safetensors",
        {"format": "pt"},
    )
    write_tokenizer(args.output)
    write_json(config(shape, args.dtype), args.output / "config.json")


def random_tensors(shape: dict, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Of a standard deviation at which logits differ enough to have one largest."""
    generator = torch.Generator().manual_seed(1)
    hidden, intermediate = shape["hidden_size"], shape["intermediate_size"]

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=generator) * 0.02).to(dtype)

    tensors = {"model.embed_tokens.weight": matrix(VOCAB_SIZE, hidden)}
    for layer in range(shape["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        for projection in "qkvo":
            tensors[f"{name}.self_attn.{projection}_proj.weight"] = matrix(hidden, hidden)
        tensors[f"{name}.mlp.gate_proj.weight"] = matrix(intermediate, hidden)
        tensors[f"{name}.mlp.up_proj.weight"] = matrix(intermediate, hidden)
        tensors[f"{name}.mlp.down_proj.weight"] = matrix(hidden, intermediate)
        tensors[f"{name}.input_layernorm.weight"] = torch.ones(hidden, dtype=dtype)
        tensors[f"{name}.post_attention_layernorm.weight"] = torch.ones(hidden, dtype=dtype)
    tensors["model.norm.weight"] = torch.ones(hidden, dtype=dtype)
    tensors["lm_head.weight"] = matrix(VOCAB_SIZE, hidden)
    return tensors


def config(shape: dict, dtype: str) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **shape,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 256,
        "eos_token_id": 257,
        "torch_dtype": dtype,
    }


def write_tokenizer(folder: Path) -> None:
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["<s>", "</s>"]
    tokens += [f"<{index}>" for index in range(len(tokens), VOCAB_SIZE)]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "</s>",
    }
    write_json(tokenizer_config, folder / "tokenizer_config.json")


def write_json(value: dict, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
