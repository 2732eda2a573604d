#!/usr/bin/env python3
"""Writes the values that the tests compare the runtime to, computed by transformers in float32.

    scripts/make_reference.py --model DIR --output DIR   reference of one model
    scripts/make_reference.py --tiny [NAME ...]          the tiny random models of tests/data/models
                                                         and their references (committed): all, or
                                                         those named
    scripts/make_reference.py --rope                     tests/data/rope.json: frequencies of every
                                                         type of RoPE (committed)

Each prompt is run alone and unpadded: that is the meaning of every other way to run it. A reference
is a folder with two files:
    reference.json         prompts (token ids) and the tokens that greedy decoding adds to each
    reference.safetensors  logits [num_prompts, vocab_size] of each prompt's next token, and, for
                           the longest prompt, the values at each step of the first layer
"""

import argparse
import copy
import itertools
import json
import pathlib
import random
import re
import shutil
import sys

import numpy
import packed_weights
import safetensors.torch
import torch
import transformers
from transformers.models.llama import modeling_llama

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY_MODELS = ROOT / "tests" / "data" / "models"
ROPE_DATA = ROOT / "tests" / "data" / "rope.json"
TINY_TOKENIZER = ROOT / "tests" / "data" / "tokenizers" / "smollm2"
NUM_GREEDY_TOKENS = 64  # more than windows and original contexts of the tiny models hold
LEAST_GAP = 3e-4  # between the two likeliest tokens: a text that hangs on rounding proves nothing
TINY_PROMPT_LENGTHS = [1, 2, 7, 1, 64, 33, 128, 5, 17]
# Of models whose original context is 64 tokens: prompts that fill it, that are just shorter and just
# longer, and texts that outgrow it while they are generated.
EXTENDED_PROMPT_LENGTHS = TINY_PROMPT_LENGTHS + [63, 65]
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

# Of one token to a few hundred; two are the same.
TEXTS = [
    "a",
    "The capital of France is",
    "Once upon a time, there was a little girl who lived in a village near the forest.",
    "1, 2, 3, 5, 8, 13,",
    "The capital of France is",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Zürich, naïve, 東京, привет, 🙂.",
    "Water boils at 100 degrees Celsius at sea level. " * 12 + "At higher altitudes it boils",
    "Question: Which planet is known as the red planet?\nAnswer:",
    "A list of fruits:\n" + "".join(f"- fruit number {i}\n" for i in range(1, 30)),
]


def first_layer_values(model, ids):
    """The values at each step of the first layer, for one prompt."""
    forget_lengths(model)
    values = {}
    layer = model.model.layers[0]
    attention = layer.self_attn
    modeling = sys.modules[type(model).__module__]

    def keep(name):
        return lambda module, args, output: values.__setitem__(name, output[0])

    def keep_stacked_values(module, args, output):
        num_values = model.config.num_key_value_heads * attention.head_dim
        values["values"] = output[0][:, -num_values:]

    def keep_attended(module, args):
        values["attended"] = args[0][0]

    def rope_and_keep(query, key, cos, sin, **kwargs):
        turned = original_rope(query, key, cos, sin, **kwargs)
        values.setdefault("queries", turned[0][0].transpose(0, 1))
        values.setdefault("keys", turned[1][0].transpose(0, 1))
        return turned

    hooks = [
        model.model.embed_tokens.register_forward_hook(keep("embeddings")),
        layer.input_layernorm.register_forward_hook(keep("normed")),
        attention.v_proj.register_forward_hook(keep("values")) if hasattr(attention, "v_proj") else
        attention.qkv_proj.register_forward_hook(keep_stacked_values),
        attention.o_proj.register_forward_pre_hook(keep_attended),
        model.model.layers[1].register_forward_pre_hook(
            lambda module, args: values.__setitem__("layer_output", args[0][0])),
        model.model.norm.register_forward_hook(keep("hidden")),
    ]
    original_rope = modeling.apply_rotary_pos_emb
    modeling.apply_rotary_pos_emb = rope_and_keep
    model(torch.tensor([ids]), use_cache=False)
    modeling.apply_rotary_pos_emb = original_rope
    for hook in hooks:
        hook.remove()
    return {name: value.contiguous().clone() for name, value in values.items()}


def forget_lengths(model):
    """RoPE of type dynamic keeps the frequencies of the longest sequence that it has seen."""
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)


def next_logits(model, ids):
    forget_lengths(model)
    return model(torch.tensor([ids]), use_cache=False).logits[0, -1]


def greedy(model, ids, num_tokens):
    """Greedy continuation of one prompt, end-of-sequence tokens included and ignored."""
    forget_lengths(model)
    output = model.generate(
        torch.tensor([ids]), max_new_tokens=num_tokens, do_sample=False,
        temperature=None, top_p=None, top_k=None, repetition_penalty=1.0,
        eos_token_id=-1, pad_token_id=0)
    return output[0, len(ids):].tolist()


class NearTie(Exception):
    """Two tokens are all but equally likely."""


def greedy_without_cache(model, ids, num_tokens):
    """The same, each token from the whole text anew: by nothing but the model's masks."""
    text = list(ids)
    for _ in range(num_tokens):
        top = next_logits(model, text).topk(2)
        if top.values[0] - top.values[1] < LEAST_GAP:
            raise NearTie
        text.append(top.indices[0].item())
    return text[len(ids):]


def num_comparable(config, ids):
    """How many of the greedy tokens are the same with a cache and without. Where a longrope text
    outgrows the original context, a cache keeps the keys as they were."""
    if config.model_type == "llama" or config.rope_parameters["rope_type"] != "longrope":
        return NUM_GREEDY_TOKENS
    room = config.rope_parameters["original_max_position_embeddings"] - len(ids)
    # The last one is not read.
    return NUM_GREEDY_TOKENS if room < 0 else min(NUM_GREEDY_TOKENS, room + 1)


@torch.no_grad()
def write_reference(model_dir, prompts, output):
    config = transformers.AutoConfig.from_pretrained(model_dir)
    is_llama = config.model_type == "llama"
    # Eager: by the definition, with the masks as they are. Llama's references are older than that.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="sdpa" if is_llama else "eager")
    model.eval()
    tensors = first_layer_values(model, max(prompts, key=len))
    write_texts(model, prompts, output, tensors, greedy if is_llama else greedy_without_cache)


def write_texts(model, prompts, output, tensors=None, continue_text=greedy_without_cache):
    logits = torch.stack([next_logits(model, ids) for ids in prompts])
    output.mkdir(parents=True, exist_ok=True)
    reference = {"prompts": prompts,
                 "greedy": [continue_text(model, ids, num_comparable(model.config, ids))
                            for ids in prompts]}
    (output / "reference.json").write_text(json.dumps(reference) + "\n")
    safetensors.torch.save_file({**(tensors or {}), "logits": logits},
                                output / "reference.safetensors")


def tiny_configs():
    """Odd shapes on purpose: nothing divides anything that it need not divide."""
    common = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.3)
    return {
        # Grouped-query heads, head_dim apart from hidden_size / num_heads, separate embeddings.
        "llama-grouped": transformers.LlamaConfig(
            vocab_size=467, hidden_size=42, intermediate_size=57, num_hidden_layers=3,
            num_attention_heads=6, num_key_value_heads=2, head_dim=10, rms_norm_eps=1e-5,
            max_position_embeddings=384, tie_word_embeddings=False, dtype="float32", **common),
        # One key head, tied embeddings, every bias, linear scaling.
        "llama-biased": transformers.LlamaConfig(
            vocab_size=101, hidden_size=39, intermediate_size=33, num_hidden_layers=2,
            num_attention_heads=3, num_key_value_heads=1, head_dim=14, rms_norm_eps=1e-6,
            max_position_embeddings=256, tie_word_embeddings=True, attention_bias=True,
            mlp_bias=True, dtype="bfloat16",
            rope_parameters={"rope_type": "linear", "factor": 2.5, "rope_theta": 5000.0},
            **common),
        # As many key heads as query heads, llama3 scaling with all three ranges of wavelengths.
        "llama-scaled": transformers.LlamaConfig(
            vocab_size=211, hidden_size=25, intermediate_size=50, num_hidden_layers=2,
            num_attention_heads=5, num_key_value_heads=5, head_dim=12, rms_norm_eps=1e-5,
            max_position_embeddings=320, tie_word_embeddings=False, dtype="float16",
            rope_parameters={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "rope_theta": 500.0,
                             "original_max_position_embeddings": 64},
            **common),
        # A window on every layer.
        "mistral-windowed": transformers.MistralConfig(
            vocab_size=97, hidden_size=22, intermediate_size=31, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, head_dim=6, rms_norm_eps=1e-5,
            max_position_embeddings=256, sliding_window=9, dtype="bfloat16", **common),
        # Biases of queries, keys and values; windows in the upper layers; tied embeddings.
        "qwen2-mixed": transformers.Qwen2Config(
            vocab_size=103, hidden_size=24, intermediate_size=35, num_hidden_layers=4,
            num_attention_heads=3, num_key_value_heads=1, rms_norm_eps=1e-6,
            max_position_embeddings=256, use_sliding_window=True, sliding_window=13,
            max_window_layers=2, tie_word_embeddings=True, dtype="bfloat16",
            rope_parameters={"rope_type": "default", "rope_theta": 3000.0}, **common),
        # Norms of queries and keys, every bias of the attention, head_dim of its own, windows in
        # the layers that are listed.
        "qwen3-mixed": transformers.Qwen3Config(
            vocab_size=89, hidden_size=20, intermediate_size=29, num_hidden_layers=3,
            num_attention_heads=6, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-6,
            max_position_embeddings=256, use_sliding_window=True, sliding_window=7,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            attention_bias=True, dtype="float16", **common),
        # Stacked projections, a window, and RoPE over three quarters of each head.
        "phi3-fused": transformers.Phi3Config(
            vocab_size=109, hidden_size=24, intermediate_size=37, num_hidden_layers=2,
            num_attention_heads=3, num_key_value_heads=1, rms_norm_eps=1e-5,
            max_position_embeddings=256, original_max_position_embeddings=256, sliding_window=40,
            dtype="bfloat16",
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                             "partial_rotary_factor": 0.75}, **common),
        # Two factors for each frequency of three quarters of each head, as Phi-4-mini has them.
        "phi3-longrope": transformers.Phi3Config(
            vocab_size=91, hidden_size=16, intermediate_size=29, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, rms_norm_eps=1e-5,
            max_position_embeddings=256, original_max_position_embeddings=64,
            tie_word_embeddings=True, dtype="bfloat16",
            rope_parameters={"rope_type": "longrope", "rope_theta": 500.0,
                             "partial_rotary_factor": 0.75,
                             "short_factor": [1.0, 1.2, 1.5], "long_factor": [1.1, 2.3, 3.9],
                             "original_max_position_embeddings": 64}, **common),
        # Every second layer has a window in place of RoPE; biases of the MLP; tied embeddings.
        "smollm3-nope": transformers.SmolLM3Config(
            vocab_size=107, hidden_size=20, intermediate_size=27, num_hidden_layers=4,
            num_attention_heads=5, num_key_value_heads=5, rms_norm_eps=1e-6,
            max_position_embeddings=256, no_rope_layer_interval=2, use_sliding_window=True,
            sliding_window=11, mlp_bias=True, dtype="bfloat16", **common),
        # The types of RoPE that extend a context of 64 tokens to 256.
        "llama-dynamic": transformers.LlamaConfig(
            vocab_size=139, hidden_size=30, intermediate_size=45, num_hidden_layers=2,
            num_attention_heads=3, num_key_value_heads=1, head_dim=10, rms_norm_eps=1e-5,
            max_position_embeddings=64, tie_word_embeddings=True, dtype="float32",
            rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1000.0},
            **common),
        "llama-yarn": transformers.LlamaConfig(
            vocab_size=127, hidden_size=36, intermediate_size=41, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=12, rms_norm_eps=1e-5,
            max_position_embeddings=256, tie_word_embeddings=True, dtype="float32",
            rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0,
                             "original_max_position_embeddings": 64},
            **common),
        "llama-longrope": transformers.LlamaConfig(
            vocab_size=113, hidden_size=28, intermediate_size=47, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5,
            max_position_embeddings=256, tie_word_embeddings=True, dtype="float32",
            rope_parameters={"rope_type": "longrope", "rope_theta": 500.0,
                             "short_factor": [1.0, 1.1, 1.3, 1.6],
                             "long_factor": [1.1, 1.9, 3.1, 4.3],
                             "original_max_position_embeddings": 64},
            **common),
    }


def packed_models():
    """Folders whose products' weights are packed, as their config.json says it. Rows are whole
    groups, as in all releases, and outputs whole words."""
    common = dict(vocab_size=97, bos_token_id=1, eos_token_id=2, pad_token_id=0,
                  initializer_range=0.3, max_position_embeddings=256, dtype="float16",
                  num_hidden_layers=2)
    small = dict(hidden_size=64, intermediate_size=96, num_attention_heads=4,
                 num_key_value_heads=2, head_dim=16, **common)
    return {
        # Symmetric: the zeros are all 8. With the biases of zeros that AutoGPTQ once added.
        "llama-gptq": (
            transformers.LlamaConfig(rms_norm_eps=1e-5, tie_word_embeddings=False, **small),
            {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False,
             "damp_percent": 0.1, "true_sequential": True}),
        # Groups of input features by their activations: all projections of one input have the same
        # order in the first layer, and in the second queries, keys and values do not. Zeros of
        # their own, 0 among them. As older folders: with quantize_config.json, and its own name.
        "llama-gptq-ordered": (
            transformers.LlamaConfig(rms_norm_eps=1e-5, tie_word_embeddings=True,
                                     **{**small, "hidden_size": 128, "intermediate_size": 64,
                                        "initializer_range": 0.2}),
            {"bits": 4, "group_size": 64, "sym": False, "desc_act": True, "damp_percent": 0.01,
             "true_sequential": True, "model_name_or_path": None,
             "model_file_base_name": "gptq_model-4bit-64g"}),
        # 8 bits, zeros as they are; some projections left out, one of them beside others.
        "mistral-gptq8": (
            transformers.MistralConfig(rms_norm_eps=1e-5, sliding_window=9, **small),
            {"quant_method": "gptq", "bits": 8, "group_size": 32, "sym": False, "desc_act": False,
             "checkpoint_format": "gptq_v2", "pack_dtype": "int32", "lm_head": False,
             "dynamic": {r"-:.*layers\.0\.self_attn\.k_proj": {},
                         r"-:.*layers\.1\.mlp\.down_proj": {}}}),
        # Biases of queries, keys and values.
        "qwen2-awq": (
            transformers.Qwen2Config(rms_norm_eps=1e-6, tie_word_embeddings=True,
                                     **{**small, "intermediate_size": 128}),
            {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True,
             "version": "gemm", "modules_to_not_convert": ["layers.1.self_attn.o_proj"]}),
        # Stacked projections; one scale for each row.
        "phi3-awq": (
            transformers.Phi3Config(rms_norm_eps=1e-5, original_max_position_embeddings=256,
                                    **{k: v for k, v in small.items() if k != "head_dim"}),
            {"quant_method": "awq", "bits": 4, "group_size": -1, "zero_point": True,
             "version": "GEMM", "modules_to_not_convert": None}),
    }


def rope_configs():
    """Keys of config.json that say how positions are encoded, in its newer and older spelling."""
    def extended(rope_type, length=64, factor=4.0, **parameters):
        return {"max_position_embeddings": 4 * length,
                "rope_parameters": {"rope_type": rope_type, "factor": factor, "rope_theta": 10000.0,
                                    "original_max_position_embeddings": length, **parameters}}

    short, long = [1.0 + 0.05 * i for i in range(8)], [1.0 + 0.7 * i for i in range(8)]
    longrope = {"short_factor": short, "long_factor": long}
    return {
        "default": {"rope_theta": 10000.0},
        "linear": {"rope_theta": 5000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
        "llama3": extended("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0),
        "dynamic": {"max_position_embeddings": 64,
                    "rope_parameters": {"rope_type": "dynamic", "factor": 4.0,
                                        "rope_theta": 10000.0}},
        "dynamic, spelled as before": {
            "max_position_embeddings": 2048, "rope_theta": 1000000.0,
            "rope_scaling": {"type": "dynamic", "factor": 2.0}},
        "yarn": extended("yarn"),
        "yarn, spelled as before": {
            "max_position_embeddings": 32768, "rope_theta": 1000000.0, "head_dim": 128,
            "rope_scaling": {"type": "yarn", "factor": 4.0,
                             "original_max_position_embeddings": 32768}},
        "yarn with its own turns": extended("yarn", beta_fast=4.0, beta_slow=0.5),
        "yarn not truncated": extended("yarn", truncate=False),
        "yarn without a ramp": extended("yarn", beta_fast=2.0, beta_slow=2.0, truncate=False),
        "yarn with both scales": extended("yarn", factor=40.0, mscale=0.707, mscale_all_dim=1.3),
        "yarn with one scale": extended("yarn", mscale=0.707),
        "yarn with an attention factor": extended("yarn", attention_factor=1.25),
        "yarn that does not extend": extended("yarn", factor=1.0),
        "yarn without an original length": {
            "max_position_embeddings": 64,
            "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0}},
        "longrope": extended("longrope", **longrope),
        "longrope, spelled as before": {
            "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
            "rope_theta": 10000.0, "rope_scaling": {"type": "longrope", **longrope}},
        "longrope with an attention factor": extended(
            "longrope", attention_factor=1.19, **longrope),
        "longrope that does not extend": extended("longrope", factor=1.0, **longrope),
        "longrope with two original lengths": {
            "original_max_position_embeddings": 32,
            **extended("longrope", **longrope)},
    }


def write_rope_data():
    """Frequencies around each length at which those of dynamic and longrope change."""
    entries = []
    for name, keys in rope_configs().items():
        config = {"architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 16,
                  "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
                  "head_dim": 16, **keys}
        parsed = transformers.LlamaConfig.from_dict(copy.deepcopy(config))
        context = parsed.rope_parameters.get("original_max_position_embeddings",
                                             parsed.max_position_embeddings)
        lengths = [1, 3 * context]
        if parsed.rope_parameters["rope_type"] in ("dynamic", "longrope"):
            lengths += [context - 1, context, context + 1, 2 * context]
        frequencies = {}
        for length in lengths:
            rope = modeling_llama.LlamaRotaryEmbedding(parsed)  # without lengths seen before
            rope(torch.zeros(1), torch.tensor([[length - 1]]))
            frequencies[length] = [float(f"{f:.9g}") for f in rope.inv_freq.tolist()]
        entries.append({"name": name, "config": config,
                        "attention_factor": float(rope.attention_scaling),
                        "frequencies": frequencies})
    ROPE_DATA.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")


def spell_as_before_transformers_5(config_file):
    """rope_theta, rope_scaling and torch_dtype in place of rope_parameters and dtype."""
    config = json.loads(config_file.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] == "longrope":  # as Phi-3 has it
        config["original_max_position_embeddings"] = rope.pop("original_max_position_embeddings")
        rope["type"] = rope.pop("rope_type")
        config.update({key: rope.pop(key) for key in ["partial_rotary_factor"] if key in rope})
    config["rope_scaling"] = rope
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    config_file.write_text(json.dumps(config, indent=2) + "\n")


def write_tiny_models(names):
    for name in names or [*tiny_configs(), *packed_models()]:
        for seed in itertools.count(7):
            try:
                if name in packed_models():
                    write_packed_model(name, *packed_models()[name], seed)
                else:
                    write_tiny_model(name, tiny_configs()[name], seed)
                break
            except NearTie:
                print(f"{name}: a near-tie with seed {seed}, trying the next", file=sys.stderr)


def is_left_out(module_name, quantization):
    """Whether a projection keeps its weight as it is."""
    left_out = quantization.get("modules_to_not_convert") or []
    patterns = [pattern.removeprefix("-:") for pattern in quantization.get("dynamic", {})]
    return (any(name in module_name for name in left_out) or
            any(re.match(pattern, module_name) for pattern in patterns))


def groups_of(module_name, in_features, quantization, draw):
    """Which group each input feature is in; with desc_act in an order of their own."""
    group_size = quantization["group_size"] if quantization["group_size"] > 0 else in_features
    groups = numpy.arange(in_features) // group_size
    if not quantization.get("desc_act"):
        return groups
    is_alike = not re.search(r"layers\.1\.self_attn\.[qkv]_proj", module_name)
    seed = f"{module_name.rpartition('.')[0]} {in_features}" if is_alike else module_name
    return numpy.random.RandomState(draw + sum(seed.encode())).permutation(groups)


def pack_module(module_name, module, quantization, seed):
    """Rounds a projection; its weight becomes what that means. Returns the tensors of the file."""
    bits = quantization["bits"]
    is_symmetric = quantization.get("sym", not quantization.get("zero_point"))
    groups = groups_of(module_name, module.in_features, quantization, seed)
    weight = module.weight.data.clone()
    if not is_symmetric:
        weight[::7].abs_()  # whose zero is 0
    rounded = packed_weights.round_weight(weight, bits, groups, is_symmetric)
    module.weight.data = packed_weights.dequantize(*rounded, groups)
    if quantization.get("quant_method") == "awq":
        return packed_weights.pack_awq(*rounded)
    return packed_weights.pack_gptq(*rounded, groups, bits,
                                    quantization.get("checkpoint_format", "gptq"))


@torch.no_grad()
def write_packed_model(name, config, quantization, seed):
    """What transformers computes with the weights that the packed ones stand for, in float32."""
    folder = TINY_MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    config._attn_implementation = "eager"
    model = random_tiny_model(config, seed).float().eval()
    tensors = {}
    for module_name, module in model.model.layers.named_modules(prefix="model.layers"):
        if isinstance(module, torch.nn.Linear) and not is_left_out(module_name, quantization):
            for suffix, tensor in pack_module(module_name, module, quantization, seed).items():
                tensors[f"{module_name}.{suffix}"] = tensor
            if name == "llama-gptq":
                tensors[f"{module_name}.bias"] = torch.zeros(module.out_features).half()
    for parameter_name, parameter in model.named_parameters():
        if f"{parameter_name.removesuffix('.weight')}.qweight" in tensors:
            continue
        parameter.data = parameter.half().float()
        tensors[parameter_name] = parameter.half()
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    if "quant_method" in quantization:
        file_name = "model"
        keys = json.loads((folder / "config.json").read_text())
        keys["quantization_config"] = quantization
        (folder / "config.json").write_text(json.dumps(keys, indent=2) + "\n")
    else:
        file_name = quantization["model_file_base_name"]
        (folder / "quantize_config.json").write_text(json.dumps(quantization, indent=2) + "\n")
    safetensors.torch.save_file(tensors, folder / f"{file_name}.safetensors", {"format": "pt"})
    write_texts(model, tiny_prompts(config, TINY_PROMPT_LENGTHS), folder)


def random_tiny_model(config, seed):
    torch.manual_seed(seed)
    model = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith(("norm.weight", "layernorm.weight", "bias")):
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def tiny_prompts(config, lengths, seed=11):
    """The third twice."""
    draw = random.Random(seed)
    prompts = [[draw.randrange(3, config.vocab_size) for _ in range(n)] for n in lengths]
    return prompts + [list(prompts[2])]


def write_tiny_model(name, config, seed):
    folder = TINY_MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    model = random_tiny_model(config, seed)
    # One model in shards, so that their index is read too.
    shards = "40KB" if name == "llama-grouped" else "5GB"
    model.to(config.dtype).save_pretrained(folder, max_shard_size=shards)
    if name in ("llama-scaled", "llama-longrope", "phi3-longrope", "qwen2-mixed"):
        spell_as_before_transformers_5(folder / "config.json")
    if name == "llama-grouped":
        shutil.copy(TINY_TOKENIZER / "tokenizer.json", folder)
        tokenizer_config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                            "chat_template": CHATML}
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config) + "\n")
    is_extended = name in ("llama-dynamic", "llama-yarn", "llama-longrope", "phi3-longrope")
    prompts = tiny_prompts(config, EXTENDED_PROMPT_LENGTHS if is_extended else TINY_PROMPT_LENGTHS)
    write_reference(folder, prompts, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", nargs="*", metavar="NAME", choices=[*tiny_configs(), *packed_models()],
                        help="write tests/data/models anew, or these of them")
    parser.add_argument("--rope", action="store_true", help="write tests/data/rope.json anew")
    parser.add_argument("--model", type=pathlib.Path, help="Hugging Face folder")
    parser.add_argument("--output", type=pathlib.Path, help="folder of the reference")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order wherever this runs
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if arguments.tiny is not None:
        write_tiny_models(arguments.tiny)
    elif arguments.rope:
        write_rope_data()
    elif arguments.model and arguments.output:
        tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
        write_reference(arguments.model, [tokenizer.encode(text) for text in TEXTS],
                        arguments.output)
    else:
        parser.error("give --tiny, --rope, or --model and --output")


if __name__ == "__main__":
    main()
