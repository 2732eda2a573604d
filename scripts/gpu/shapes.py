"""The models that scripts/bench_gpu.py measures, as their config.json, and the work that they need."""

COMMON = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2, "attention_bias": False,
    "mlp_bias": False, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}


def shape(hidden, intermediate, layers, heads, kv_heads, vocab, **more):
    return {
        **COMMON, "hidden_size": hidden, "intermediate_size": intermediate,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads, "vocab_size": vocab, "max_position_embeddings": 4096,
        "rope_theta": 1e4, **more,
    }


def llama3(factor, **more):
    scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    return {"rope_theta": 5e5, "rope_scaling": scaling, "max_position_embeddings": 131072, **more}


SHAPES = {
    "llama-3.2-1b": shape(2048, 8192, 16, 32, 8, 128256, **llama3(32.0, tie_word_embeddings=True)),
    "llama-3.1-8b": shape(4096, 14336, 32, 32, 8, 128256, **llama3(8.0)),
    "sheared-llama-1.3b": shape(2048, 5504, 24, 16, 16, 32000),
    "llama-2-7b": shape(4096, 11008, 32, 32, 32, 32000),
    "mistral-7b": shape(4096, 14336, 32, 32, 8, 32000, model_type="mistral",
                        architectures=["MistralForCausalLM"], sliding_window=4096,
                        max_position_embeddings=32768),
    "tiny": shape(64, 96, 2, 4, 2, 256),
}


def layer_parameters(config: dict) -> int:
    hidden, head_dim = config["hidden_size"], config["head_dim"]
    query = config["num_attention_heads"] * head_dim
    key = config["num_key_value_heads"] * head_dim
    return hidden * (2 * query + 2 * key) + 3 * hidden * config["intermediate_size"]


def operations(config: dict, prompts: list) -> float:
    """That the prompts need: products, causal attention, and the last tokens' logits."""
    layers = config["num_hidden_layers"]
    query = config["num_attention_heads"] * config["head_dim"]
    tokens = sum(map(len, prompts))
    attention = sum(2 * layers * query * len(prompt) ** 2 for prompt in prompts)
    vocabulary = 2 * config["hidden_size"] * config["vocab_size"] * len(prompts)
    return 2 * layers * layer_parameters(config) * tokens + attention + vocabulary


def weight_bytes(config: dict, dtype: str) -> int:
    """That a decode step reads."""
    vocabulary = config["hidden_size"] * config["vocab_size"]
    size = 4 if dtype == "float32" else 2
    return size * (config["num_hidden_layers"] * layer_parameters(config) + vocabulary)
