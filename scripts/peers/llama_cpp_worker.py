"""llama.cpp, through the C interface that llama-cpp-python carries. See worker.py."""

import ctypes
import time

import llama_cpp
import numpy as np
from llama_cpp import llama_cpp as api


class Unsupported(Exception):
    """One sentence for the user."""


_LOG_LEVEL_ERROR = 4  # enum ggml_log_level


@api.llama_log_callback
def _log_errors(level, text, _):
    if level == _LOG_LEVEL_ERROR:
        print(text.decode(errors="replace"), end="")


class System:
    def __init__(self, job: dict, batches: list):
        api.llama_log_set(_log_errors, None)
        api.llama_backend_init()
        model_params = api.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self._model = api.llama_model_load_from_file(job["model"].encode(), model_params)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {job['model']}")
        self._vocab_size = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self._model))
        self._context = self._make_context(job, batches)
        # The sequence of a token is given as a pointer to its number.
        self._sequence_ids = [ctypes.pointer(ctypes.c_int32(i)) for i in range(job["batch_size"])]

    def _make_context(self, job: dict, batches: list):
        most_tokens = max(sum(len(prompt) for prompt in batch) for batch in batches)
        longest = max(len(prompt) for batch in batches for prompt in batch)
        num_decoded = max(job["decode"], 1)
        params = api.llama_context_default_params()
        params.n_seq_max = job["batch_size"]
        params.kv_unified = job["options"]["unified"]
        # A unified cache holds one batch's tokens; otherwise each sequence has an equal share.
        params.n_ctx = (
            most_tokens + job["batch_size"] * num_decoded
            if params.kv_unified
            else job["batch_size"] * round_up(longest + num_decoded, 256)
        )
        params.n_batch = max(most_tokens, job["batch_size"])
        params.n_ubatch = job["options"].get("ubatch", params.n_ubatch)
        params.n_threads = params.n_threads_batch = job["threads"]
        params.no_perf = True
        context = api.llama_init_from_model(self._model, params)
        if not context:
            raise RuntimeError(f"llama.cpp makes no context of {params.n_ctx} tokens")
        return context

    def versions(self) -> dict:
        return {
            "llama-cpp-python": llama_cpp.__version__,
            "llama.cpp": api.llama_print_system_info().decode().strip(),
        }

    def prefill(self, prompts: list[list[int]]) -> list[int]:
        api.llama_memory_clear(api.llama_get_memory(self._context), True)
        tokens, positions, sequences, wants_logits = [], [], [], []
        for sequence, prompt in enumerate(prompts):
            tokens += prompt
            positions += range(len(prompt))
            sequences += [sequence] * len(prompt)
            wants_logits += [0] * (len(prompt) - 1) + [1]
        return self._run(tokens, positions, sequences, wants_logits)

    def decode(self, prompts: list[list[int]], num_tokens: int) -> float:
        tokens = self.prefill(prompts)
        start = time.perf_counter()
        for step in range(num_tokens - 1):
            positions = [len(prompt) + step for prompt in prompts]
            tokens = self._run(tokens, positions, range(len(prompts)), [1] * len(prompts))
        return time.perf_counter() - start

    def _run(self, tokens, positions, sequences, wants_logits) -> list[int]:
        """The likeliest next token after each token that wants logits."""
        size = len(tokens)
        batch = api.llama_batch(
            n_tokens=size,
            token=(ctypes.c_int32 * size)(*tokens),
            embd=None,
            pos=(ctypes.c_int32 * size)(*positions),
            n_seq_id=(ctypes.c_int32 * size)(*([1] * size)),
            seq_id=(ctypes.POINTER(ctypes.c_int32) * size)(
                *(self._sequence_ids[sequence] for sequence in sequences)
            ),
            logits=(ctypes.c_int8 * size)(*wants_logits),
        )
        status = api.llama_decode(self._context, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode: status {status}")
        return [
            int(
                np.ctypeslib.as_array(
                    api.llama_get_logits_ith(self._context, index), (self._vocab_size,)
                ).argmax()
            )
            for index, wanted in enumerate(wants_logits)
            if wanted
        ]


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
