"""CTranslate2: prompts one by one, or one padded batch. See worker.py."""

import json
import time
from pathlib import Path

import ctranslate2
import numpy as np


class Unsupported(Exception):
    """One sentence for the user."""


class System:
    def __init__(self, job: dict, batches: list):
        compute_type = job["weights"]
        supported = ctranslate2.get_supported_compute_types("cpu")
        if compute_type not in supported:
            raise Unsupported(
                f"CTranslate2 computes in {', '.join(sorted(supported))} on this CPU, "
                f"not in {compute_type}"
            )
        self._generator = ctranslate2.Generator(
            job["model"],
            device="cpu",
            compute_type=compute_type,
            inter_threads=1,
            intra_threads=job["threads"],
        )
        # generate_batch takes tokens, not their ids.
        self._vocabulary = json.loads(
            (Path(job["model"]) / "vocabulary.json").read_text(encoding="utf-8")
        )
        generate = job["options"]["prefill"] == "generate"
        self.prefill = self._prefill_one_by_one if generate else self._prefill_forward

    def versions(self) -> dict:
        return {"ctranslate2": ctranslate2.__version__, "numpy": np.__version__}

    def _prefill_one_by_one(self, prompts: list[list[int]]) -> list[int]:
        # A batch would be computed at once only up to its shortest prompt's length, and the rest
        # token by token.
        return self._generate(prompts, 1, max_batch_size=1)

    def _prefill_forward(self, prompts: list[list[int]]) -> list[int]:
        logits = np.asarray(self._generator.forward_batch(prompts))  # (prompt, position, vocab)
        return [int(logits[row, len(prompt) - 1].argmax()) for row, prompt in enumerate(prompts)]

    def decode(self, prompts: list[list[int]], num_tokens: int) -> float:
        """What more the whole batch takes with all tokens than with the first ones alone.

        Prompts of one batch are brought to their mean length. Generation from prompts of different
        lengths would compute most of them token by token, and that is not what is measured here.
        """
        length = round(sum(len(prompt) for prompt in prompts) / len(prompts))
        prompts = [(prompt * length)[:length] for prompt in prompts]
        start = time.perf_counter()
        self._generate(prompts, 1)
        first = time.perf_counter()
        self._generate(prompts, num_tokens)
        return (time.perf_counter() - first) - (first - start)

    def _generate(self, prompts: list[list[int]], num_tokens: int, **options) -> list[int]:
        results = self._generator.generate_batch(
            [[self._vocabulary[token] for token in prompt] for prompt in prompts],
            max_length=num_tokens,
            min_length=num_tokens if num_tokens > 1 else 0,
            include_prompt_in_result=False,
            return_end_token=True,
            sampling_topk=1,
            **options,
        )
        return [result.sequences_ids[0][0] for result in results]
