#!/usr/bin/env python3
"""Writes tests/data/gguf: small GGUF files as llama.cpp's converter writes them, with gguf-py.

    .venv/bin/python scripts/make_gguf_data.py

  quants.gguf          random blocks of every quantized type, with what gguf-py makes of them
  llama-biased.gguf    tests/data/models/llama-biased in F32, with a tokenizer
  llama-scaled.gguf    tests/data/models/llama-scaled in F16
  FAMILY.gguf          other models of tests/data/models, of every family
  FAMILY/              of those whose files cannot say all of their config.json: the config.json that
                       they mean, and a reference by transformers as scripts/make_reference.py has it
  TOKENIZER.gguf       the tokenizers of tests/data/tokenizers, without a model
  llama-biased/        the tokenizer of llama-biased.gguf, as a Hugging Face folder has it

Needs gguf, numpy, torch, transformers, safetensors, tokenizers and sentencepiece.
"""

import argparse
import itertools
import json
import math
import sys
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf import TokenType

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
OUTPUT = DATA / "gguf"
sys.path.insert(0, str(ROOT / "scripts" / "peers"))

import make_reference  # noqa: E402
from make_gguf import add_metadata, add_tensors  # noqa: E402

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    torch.set_num_threads(1)  # the same sums in the same order wherever this runs
    transformers.utils.logging.disable_progress_bar()
    OUTPUT.mkdir(exist_ok=True)
    write_quants(OUTPUT / "quants.gguf")
    write_model("llama-biased", Type.F32, add_ascii_tokenizer)
    write_model("llama-scaled", Type.F16, add_no_tokenizer)
    for name, kind in FAMILIES.items():
        write_model(name, kind, add_no_tokenizer)
    for name, changes in UNSAID.items():
        write_what_is_said(name, changes)
    write_ascii_folder(OUTPUT / "llama-biased")
    for name, pre in PRE_TOKENIZERS.items():
        write_byte_level(name, pre)
    write_sentencepiece("sentencepiece-spaces")
    write_llama2("llama2-prepend")


def write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# --- Blocks of every type ----------------------------------------------------------------------

# Where each type's blocks have float16 numbers.
HALVES = {
    Type.Q4_0: (0,), Type.Q4_1: (0, 2), Type.Q5_0: (0,), Type.Q5_1: (0, 2), Type.Q8_0: (0,),
    Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,),
}  # fmt: skip

# Zeros of both signs, the smallest and the largest denormal, the smallest normal, the largest.
SPECIAL_HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x7BFF, 0xFBFF]


def write_quants(path: Path) -> None:
    random = np.random.default_rng(5)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_head_count(2)
    for kind in HALVES:
        blocks = random_blocks(random, kind, num_rows=12, blocks_per_row=2 if kind < 10 else 1)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        writer.add_tensor(f"{kind.name}.expected", gguf.quants.dequantize(blocks, kind))
    # Of two heads of six dimensions, whose rows are pairs: what transformers has is halves.
    blocks = random_blocks(random, Type.Q8_0, num_rows=12, blocks_per_row=1)
    writer.add_tensor("blk.0.attn_q.weight", blocks, raw_dtype=Type.Q8_0)
    pairs = gguf.quants.dequantize(blocks, Type.Q8_0).reshape(2, 3, 2, 32)
    writer.add_tensor("attn_q.expected", np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(12, 32))
    write(writer)


def random_blocks(random, kind: Type, num_rows: int, blocks_per_row: int) -> np.ndarray:
    _, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (num_rows * blocks_per_row, size), dtype=np.uint8)
    for index, block in enumerate(blocks):
        for place in HALVES[kind]:
            half = SPECIAL_HALVES[(index + place) % len(SPECIAL_HALVES)]
            if index >= len(SPECIAL_HALVES):
                half = int(np.float16(random.normal() / 16).view(np.uint16))
            block[place : place + 2] = half & 0xFF, half >> 8
    return blocks.reshape(num_rows, blocks_per_row * size)


# --- Models ------------------------------------------------------------------------------------

ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "Phi3ForCausalLM": "phi3",
    "SmolLM3ForCausalLM": "smollm3",
}

FAMILIES = {
    "llama-yarn": Type.F32,
    "mistral-windowed": Type.BF16,
    "qwen2-mixed": Type.F32,
    "qwen3-mixed": Type.F16,
    "phi3-fused": Type.F32,
    "phi3-longrope": Type.BF16,
    "smollm3-nope": Type.F32,
}

# Windows are written of Phi-3 alone, and that every fourth layer of SmolLM3 has no RoPE goes
# without saying.
UNSAID = {
    "mistral-windowed": {"sliding_window": None},
    "qwen2-mixed": {"use_sliding_window": False},
    "qwen3-mixed": {"use_sliding_window": False, "layer_types": ["full_attention"] * 3},
    "smollm3-nope": {
        "use_sliding_window": False,
        "layer_types": ["full_attention"] * 4,
        "no_rope_layers": [1, 1, 1, 0],
        "no_rope_layer_interval": 4,
    },
}


def write_model(name: str, kind: Type, add_tokenizer) -> None:
    folder = DATA / "models" / name
    config = json.loads((folder / "config.json").read_text())
    rope = {**config, **(config.get("rope_scaling") or config["rope_parameters"])}
    rope_type = rope.get("rope_type", rope.get("type"))
    config["rope_theta"] = rope["rope_theta"]
    writer = gguf.GGUFWriter(OUTPUT / f"{name}.gguf", ARCHITECTURES[config["architectures"][0]])
    if writer.arch == "llama":
        add_metadata(writer, config)
    else:
        add_family_metadata(writer, config, rope)
    if rope_type in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope_type))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope_type == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope_type == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config, rope))
    if rope_type == "longrope":
        add_longrope(writer, config, rope)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    add_tokenizer(writer)
    add_tensors(writer, folder, config, kind)
    write(writer)


def add_no_tokenizer(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("no_vocab")


def add_family_metadata(writer: gguf.GGUFWriter, config: dict, rope: dict) -> None:
    """As the converter has it for these: sizes of heads only where config.json has them."""
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    head_dim = config.get("head_dim")
    if head_dim is not None:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    head_dim = head_dim or config["hidden_size"] // config["num_attention_heads"]
    if writer.arch == "smollm3":
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(head_dim)
    if writer.arch == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
        writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * head_dim))
        writer.add_sliding_window(config["sliding_window"] or 0)


def add_longrope(writer: gguf.GGUFWriter, config: dict, rope: dict) -> None:
    context = config["original_max_position_embeddings"]
    scale = config["max_position_embeddings"] / context
    writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(context)))
    for name in ("long", "short"):
        factors = np.array(rope[f"{name}_factor"], dtype=np.float32)
        writer.add_tensor(f"rope_factors_{name}.weight", factors)


@torch.no_grad()
def write_what_is_said(name: str, changes: dict) -> None:
    """The config.json that the file stands for, and what transformers computes by it."""
    folder = OUTPUT / name
    folder.mkdir(exist_ok=True)
    config = json.loads((DATA / "models" / name / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}, indent=2) + "\n")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        DATA / "models" / name,
        config=transformers.AutoConfig.from_pretrained(folder),
        dtype=torch.float32,
        attn_implementation="eager",
    ).eval()
    for seed in itertools.count(11):
        lengths = make_reference.TINY_PROMPT_LENGTHS
        prompts = make_reference.tiny_prompts(model.config, lengths, seed)
        try:
            make_reference.write_texts(model, prompts, folder)
            return
        except make_reference.NearTie:
            print(f"{name}: a near-tie with prompts of seed {seed}, trying the next")


def llama3_factors(config: dict, rope: dict) -> np.ndarray:
    """What the frequency of each pair of dimensions is divided by."""
    factors = []
    for i in range(0, config["head_dim"], 2):
        frequency = config["rope_theta"] ** (-i / config["head_dim"])
        turns = rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        kept = min(max((turns - low) / (high - low), 0), 1)
        factors.append(1 / ((1 - kept) / rope["factor"] + kept))
    return np.array(factors, dtype=np.float32)


# --- Tokenizers --------------------------------------------------------------------------------

# As many as llama-biased has: three special tokens, ASCII in GPT-2's spelling, and one merge.
ASCII_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ASCII_TOKENS = [*ASCII_SPECIAL, "Ġ", "Ċ", "ĉ", *map(chr, range(0x21, 0x7F)), "he"]
ASCII_MERGES = ["h e"]


def add_ascii_tokenizer(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(ASCII_TOKENS)
    types = [TokenType.CONTROL if t in ASCII_SPECIAL else TokenType.NORMAL for t in ASCII_TOKENS]
    writer.add_token_types(types)
    writer.add_token_merges(ASCII_MERGES)
    writer.add_chat_template(CHATML)


def write_ascii_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    vocab = {token: index for index, token in enumerate(ASCII_TOKENS)}
    merges = [tuple(merge.split()) for merge in ASCII_MERGES]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(ASCII_SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": CHATML}
    (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")


PRE_TOKENIZERS = {
    "smollm2": "smollm",
    "llama3": "llama-bpe",
    "qwen2.5": "qwen2",
    "tekken": "tekken",
    "gpt-4o": "gpt-4o",
}


def write_byte_level(name: str, pre: str) -> None:
    source = json.loads((DATA / "tokenizers" / name / "tokenizer.json").read_text())
    tokens = {index: token for token, index in source["model"]["vocab"].items()}
    types = dict.fromkeys(tokens, TokenType.NORMAL)
    for added in source["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    writer = gguf.GGUFWriter(OUTPUT / f"{name}.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    # More rows than tokens, as models have whose number of rows is a round one.
    num_tokens = max(tokens) + 1
    padding = [f"[PAD{index}]" for index in range(num_tokens, num_tokens + 3)]
    writer.add_token_list([tokens[index] for index in range(num_tokens)] + padding)
    writer.add_token_types([types[index] for index in range(num_tokens)] + [TokenType.UNUSED] * 3)
    merges = source["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    for text, index in ((token, index) for index, token in tokens.items()):
        # That it is put in front goes without saying for Llama 3 and Mistral Nemo.
        if text in ("<|begin_of_text|>", "<s>"):
            writer.add_bos_token_id(index)
    write(writer)


def write_sentencepiece(name: str) -> None:
    model = DATA / "tokenizers" / name / "tokenizer.model"
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    vocab = gguf.vocab.SentencePieceVocab(model.parent)
    texts, scores, types = zip(*vocab.sentencepiece_tokens())
    writer = gguf.GGUFWriter(OUTPUT / f"{name}.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*texts, b"[PAD]"])
    writer.add_token_scores([*scores, -1000.0])
    writer.add_token_types([*types, TokenType.UNUSED])
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_remove_extra_whitespaces(True)
    write(writer)


def write_llama2(name: str) -> None:
    """As converters do where there is a tokenizer.json only: scores are the order of the ids."""
    source = json.loads((DATA / "tokenizers" / name / "tokenizer.json").read_text())
    tokens = sorted(source["model"]["vocab"], key=source["model"]["vocab"].get)
    kinds = {"<unk>": TokenType.UNKNOWN, "<s>": TokenType.CONTROL, "</s>": TokenType.CONTROL}
    kinds |= {f"<0x{byte:02X}>": TokenType.BYTE for byte in range(256)}
    writer = gguf.GGUFWriter(OUTPUT / f"{name}.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types([kinds.get(token, TokenType.NORMAL) for token in tokens])
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("</s>"))
    write(writer)


if __name__ == "__main__":
    main()
