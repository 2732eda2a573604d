#!/usr/bin/env python3
"""Compares prepack with transformers on a folder that GPTQ or AWQ has quantized, in float32.

    .venv/bin/python scripts/check_packed.py FOLDER --text FILE [--program build/prepack]

transformers computes with the weights that the packed ones stand for, which are unpacked here as
the formats define them, independently of prepack. Compared are the perplexity of the text's first
tokens, and the greedy tokens that follow the first 32 of these. Exit code 0: perplexities within a
relative 1e-4, and the same tokens; 1: something differs, or prepack does not read the folder.

The text must be longer than 32 tokens, of which --tokens are read. FOLDER has a tokenizer.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tokenizers
import torch
import transformers
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4  # of perplexity, relative
NUM_PROMPT_TOKENS = 32
NUM_NEW_TOKENS = 32
NUM_NEW = ["--max-new-tokens", str(NUM_NEW_TOKENS)]
AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7]  # in a word, of eight values of a row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, required=True, metavar="FILE")
    parser.add_argument("--tokens", type=int, default=512, metavar="N")
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "prepack")
    args = parser.parse_args()
    for file in (args.folder / "tokenizer.json", args.text):
        if not file.is_file():
            sys.exit(f"{file}: no such file")
    tokenizer = tokenizers.Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    text = args.text.read_text(encoding="utf-8")
    ids = tokenizer.encode(text, add_special_tokens=False).ids[: args.tokens]
    if len(ids) <= NUM_PROMPT_TOKENS:
        sys.exit(f"{args.text}: expected more than {NUM_PROMPT_TOKENS} tokens, got {len(ids)}")
    scored = run(args, ids, "score", "--json")
    generated = run(args, ids[:NUM_PROMPT_TOKENS], "generate", "--ignore-eos", *NUM_NEW)
    model = load_unpacked(args.folder)
    is_alike = compare_perplexity(model, ids, scored["perplexity"])
    is_alike &= compare_greedy(model, ids[:NUM_PROMPT_TOKENS], generated["token_ids"])
    sys.exit(0 if is_alike else 1)


def run(args: argparse.Namespace, ids: list, command: str, *options: str) -> dict:
    """The line that prepack prints for a prompt."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.write(json.dumps({"prompt_ids": ids}) + "\n")
        file.flush()
        program = [args.program, command, "--model", args.folder, "--dtype", "float32"]
        result = subprocess.run(
            [*program, *options, "--prompts", file.name], stdout=subprocess.PIPE, text=True
        )
    if result.returncode != 0:
        sys.exit(1)  # it has said why
    return json.loads(result.stdout.strip().split("\n")[-1])


def load_unpacked(folder: Path) -> torch.nn.Module:
    config = transformers.AutoConfig.from_pretrained(folder)
    quantization = read_quantization(folder, config)
    stored = {}
    for file in sorted(folder.glob("*.safetensors")):
        stored.update(load_file(file))
    state = {}
    for name, tensor in stored.items():
        module, _, kind = name.rpartition(".")
        if kind == "qweight":
            state[f"{module}.weight"] = unpack(stored, module, quantization)
        elif kind not in ("qzeros", "scales", "g_idx"):
            state[name] = tensor.float()
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(state, strict=False)
    # Some programs write biases of zeros to projections that have none.
    unexpected = [name for name in unexpected if not name.endswith(".bias") or state[name].any()]
    if config.tie_word_embeddings:
        missing = [name for name in missing if name != "lm_head.weight"]
    if missing or unexpected:
        sys.exit(f"{folder}: missing {missing}, unexpected {unexpected}")
    return model.eval()


def read_quantization(folder: Path, config: transformers.PretrainedConfig) -> dict:
    if hasattr(config, "quantization_config"):
        quantization = config.quantization_config
        del config.quantization_config
        return quantization if isinstance(quantization, dict) else quantization.to_dict()
    return {"quant_method": "gptq", **json.loads((folder / "quantize_config.json").read_text())}


def unpack(stored: dict, module: str, quantization: dict) -> torch.Tensor:
    """weight = scale * (value - zero). [out_features, in_features]"""
    bits = quantization.get("bits", 4)
    values, zeros = (words_of(stored[f"{module}.{kind}"]) for kind in ("qweight", "qzeros"))
    scales = stored[f"{module}.scales"].float()
    if quantization["quant_method"] == "awq":
        values = spread(values, bits)[..., AWQ_PLACES].flatten(1)
        zeros = spread(zeros, bits)[..., AWQ_PLACES].flatten(1)
    else:
        layout = quantization.get("checkpoint_format") or quantization.get("format") or "gptq"
        if layout == "gptq":  # zeros less 1, subtracted from whole words as GPTQModel does it
            zeros = (zeros + sum(1 << place for place in range(0, 32, bits))) & 0xFFFFFFFF
        values = spread(values.T, bits).flatten(1).T
        zeros = spread(zeros, bits).flatten(1)
    groups = stored.get(f"{module}.g_idx")
    if groups is None:
        group_size = quantization.get("group_size", 128)
        groups = torch.arange(len(values)) // (group_size if group_size > 0 else len(values))
    groups = groups.long()
    return (scales[groups] * (values - zeros[groups]).float()).T.contiguous()


def words_of(tensor: torch.Tensor) -> torch.Tensor:
    """The words without a sign."""
    return tensor.long() & 0xFFFFFFFF


def spread(words: torch.Tensor, bits: int) -> torch.Tensor:
    """[..., num_words] to [..., num_words, 32 / bits], from the lowest bits on."""
    return words.unsqueeze(-1) >> torch.arange(0, 32, bits) & ((1 << bits) - 1)


@torch.no_grad()
def compare_perplexity(model: torch.nn.Module, ids: list, ours: float) -> bool:
    inputs = torch.tensor([ids])
    theirs = model(inputs, labels=inputs).loss.exp().item()
    difference = abs(ours / theirs - 1)
    print(
        f"perplexity of {len(ids)} tokens: {ours:.6f}, transformers {theirs:.6f}: "
        f"relative difference {difference:.2g}"
    )
    return difference <= TOLERANCE


@torch.no_grad()
def compare_greedy(model: torch.nn.Module, ids: list, ours: list) -> bool:
    # In one forward: it finds the same tokens exactly if each is the likeliest after those before.
    logits = model(torch.tensor([ids + ours[:-1]])).logits[0, len(ids) - 1 :]
    theirs = logits.argmax(dim=-1).tolist()
    num_alike = next((i for i, token in enumerate(ours) if token != theirs[i]), len(ours))
    print(f"greedy tokens: the first {num_alike} of {len(ours)} are the same")
    return ours == theirs


if __name__ == "__main__":
    main()
