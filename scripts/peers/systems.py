"""The systems that scripts/bench_peers.py compares: which peer each is, and how that is used."""

from dataclasses import dataclass, field

# glibc then keeps freed memory on the heap instead of giving it back in every layer. prepack does
# so by itself (keep_heap in src/cli/main.cpp).
KEPT_HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647"}


@dataclass(frozen=True)
class System:
    name: str
    peer: str  # NAME of scripts/peers/NAME_worker.py; and of its environment, if it has its own
    about: str
    options: dict = field(default_factory=dict)  # for the worker
    weights: str = ""  # what they are stored in, where that is not the dtype of the run
    environment: dict = field(default_factory=dict)  # variables of its process


_TRANSFORMERS = [
    System(
        "transformers-padded",
        "transformers",
        "one row per prompt, padded on the left; SDPA; logits of the last tokens only",
        {"batch": "padded"},
    ),
    System(
        "transformers-length-ordered",
        "transformers",
        "the same, its batches cut from all prompts in the order of their lengths",
        {"batch": "padded", "order": "length"},
    ),
    System(
        "transformers-flattened",
        "transformers",
        "all prompts of a batch in one row, SDPA prompt by prompt (an AttentionInterface function)",
        {"batch": "flattened"},
    ),
]

SYSTEMS = [
    System("prepack", "prepack", "packed, its default", {"method": "packed"}),
    System("prepack-padded", "prepack", "its own padded method", {"method": "padded"}),
    System(
        "prepack-int8",
        "prepack",
        "prepack, with weights quantized to 8 bits and activations to 16",
        {"method": "packed", "arguments": ["--quantize", "int8", "--quantize-activations", "int16"]},
        weights="int8",
    ),
    System(
        "prepack-int8+int8",
        "prepack",
        "prepack, with weights and activations quantized to 8 bits",
        {"method": "packed", "arguments": ["--quantize", "int8", "--quantize-activations", "int8"]},
        weights="int8",
    ),
    System(
        "prepack-int4",
        "prepack",
        "prepack, with weights quantized to 4 bits and activations to 8",
        {"method": "packed", "arguments": ["--quantize", "int4", "--quantize-activations", "int8"]},
        weights="int4",
    ),
    *_TRANSFORMERS,
    *(
        System(
            f"{system.name}+heap",
            "transformers",
            f"{system.name}, keeping freed memory on the heap as prepack does",
            system.options,
            environment=KEPT_HEAP,
        )
        for system in _TRANSFORMERS
    ),
    System(
        "paper",
        "paper",
        "the paper's own code, from a checkout that PREPACKING_CODE names",
    ),
    System(
        "paper+heap",
        "paper",
        "the same, keeping freed memory on the heap",
        environment=KEPT_HEAP,
    ),
    System(
        "llama.cpp",
        "llama_cpp",
        "one llama_decode of all prompts, a sequence each; a float16 cache, one stream each",
        {"unified": False},
    ),
    System(
        "llama.cpp-unified",
        "llama_cpp",
        "the same, all sequences in one unified cache",
        {"unified": True},
    ),
    System(
        "llama.cpp-q8_0",
        "llama_cpp",
        "llama.cpp, with weights quantized to 8 bits",
        {"unified": False},
        weights="q8_0",
    ),
    System(
        "llama.cpp-q4_0",
        "llama_cpp",
        "llama.cpp, with weights quantized to 4 bits",
        {"unified": False},
        weights="q4_0",
    ),
    System(
        "llama.cpp-unified-q8_0",
        "llama_cpp",
        "llama.cpp-unified, with weights quantized to 8 bits",
        {"unified": True},
        weights="q8_0",
    ),
    System(
        "ctranslate2-one-by-one",
        "ctranslate2",
        "generate_batch prompt by prompt: no padding, logits of the last tokens only",
        {"prefill": "generate"},
    ),
    System(
        "ctranslate2-one-by-one+mkl",
        "ctranslate2",
        "the same, computed by oneMKL on CPUs that are not Intel's too",
        {"prefill": "generate"},
        environment={"CT2_USE_MKL": "1"},
    ),
    System(
        "ctranslate2-forward",
        "ctranslate2",
        "forward_batch, padded on the right; it has no way to leave out logits",
        {"prefill": "forward"},
    ),
    System(
        "ctranslate2-one-by-one-int8",
        "ctranslate2",
        "ctranslate2-one-by-one, with weights quantized to 8 bits",
        {"prefill": "generate"},
        weights="int8",
    ),
]


def choose(names: list[str]) -> list[System]:
    """The systems of these names, or of the peers of these names; and prepack always.

    @throws ValueError for an unknown name
    """
    known = {system.name for system in SYSTEMS} | {system.peer for system in SYSTEMS}
    unknown = [name for name in names if name not in known]
    if unknown:
        there_are = ", ".join(sorted(known))
        raise ValueError(f"no such peer: {', '.join(unknown)}; there are {there_are}")
    return [
        system
        for system in SYSTEMS
        if system.name in (*names, "prepack") or system.peer in names
    ]
