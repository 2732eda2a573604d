"""Turns the GGUF file of a Llama model with a SmolLM tokenizer into files of a Hugging Face folder.

transformers reads such a file too (with equal weights), but its tokenizer then does not
split numbers into digits and has another EOS, and it refuses to write what it read.
"""

import json
from pathlib import Path

import gguf
import numpy as np
import safetensors
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

_TENSOR_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

_CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL


def convert(gguf_file: Path, folder: Path) -> None:
    """Writes model.safetensors (bfloat16), tokenizer.json and tokenizer_config.json to `folder`."""
    reader = gguf.GGUFReader(gguf_file)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    for key, supported in (
        ("general.architecture", "llama"),
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.pre", "smollm"),
    ):
        if metadata.get(key) != supported:
            raise ValueError(f"{gguf_file}: {key}: expected {supported}, got {metadata.get(key)}")
    _write_tensors(reader, metadata, folder / "model.safetensors")
    _tokenizer(metadata).save(str(folder / "tokenizer.json"))
    _write_json(_tokenizer_config(metadata), folder / "tokenizer_config.json")


def _write_tensors(reader: gguf.GGUFReader, metadata: dict, path: Path) -> None:
    num_heads = {
        "attn_q": metadata["llama.attention.head_count"],
        "attn_k": metadata["llama.attention.head_count_kv"],
    }
    tensors = {}
    for tensor in reader.tensors:
        *block, kind, suffix = tensor.name.split(".")  # "blk.0.attn_q.weight", "output_norm.weight"
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if kind in num_heads:
            values = _halves_from_pairs(values, num_heads[kind])
        layer = f"model.layers.{block[1]}." if block else ""
        tensors[f"{layer}{_TENSOR_NAMES[kind]}.{suffix}"] = _bfloat16(values)
    specs = {
        name: safetensors.TensorSpec(
            dtype="bfloat16", shape=bits.shape, data_ptr=bits.ctypes.data, data_len=bits.nbytes
        )
        for name, bits in tensors.items()
    }
    safetensors.serialize_file(specs, path, {"format": "pt"})


def _halves_from_pairs(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """Undoes llama.cpp's order of rows: its RoPE rotates neighbours, Hugging Face's two halves."""
    pairs = weight.reshape(num_heads, -1, 2, weight.shape[1])  # (head, head_dim / 2, pair, hidden)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape)


def _bfloat16(values: np.ndarray) -> np.ndarray:
    """Upper halves of float32, rounded to nearest, ties to even: numpy has no bfloat16."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _tokenizer(metadata: dict) -> tokenizers.Tokenizer:
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(_special_tokens(metadata))
    return tokenizer


def _special_tokens(metadata: dict) -> list[str]:
    types = metadata["tokenizer.ggml.token_type"]
    return [
        token
        for token, kind in zip(metadata["tokenizer.ggml.tokens"], types)
        if kind == _CONTROL_TOKEN
    ]


def _tokenizer_config(metadata: dict) -> dict:
    def token(role: str) -> str:
        return metadata["tokenizer.ggml.tokens"][metadata[f"tokenizer.ggml.{role}_token_id"]]

    return {
        "add_bos_token": metadata["tokenizer.ggml.add_bos_token"],
        "add_prefix_space": metadata["tokenizer.ggml.add_space_prefix"],
        "bos_token": token("bos"),
        "chat_template": metadata["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "eos_token": token("eos"),
        "model_max_length": metadata["llama.context_length"],
        "pad_token": token("padding"),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": token("unknown"),
    }


def _write_json(value: dict, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
