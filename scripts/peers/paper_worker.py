"""The paper's own code: prompts packed with dense masks, caches unpacked, first tokens generated.

A checkout of github.com/siyan-zhao/prepacking is needed, which has no licence to pass it on under;
the variable PREPACKING_CODE names its folder. See worker.py.
"""

import os
import sys
import types
from pathlib import Path

import torch
import transformers

CODE = Path(os.environ.get("PREPACKING_CODE", ""))


class Unsupported(Exception):
    """One sentence for the user."""


def import_code():
    """@returns the model's class, the processor's, and unpack_kv"""
    if not (CODE / "processor.py").is_file():
        raise Unsupported("PREPACKING_CODE does not name a checkout of the paper's code")
    # Imported there to load data sets and to draw them, of which nothing is done here.
    for name in ("datasets", "matplotlib", "matplotlib.pyplot"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["datasets"].load_dataset = None
    sys.path.insert(0, str(CODE))
    from dataset_utils import unpack_kv
    from model import CustomCausalLlamaModel
    from processor import PrePackProcessor

    return CustomCausalLlamaModel, PrePackProcessor, unpack_kv


class TokenIds:
    """In place of a tokenizer, for prompts that are token ids already."""

    pad_token = "[PAD]"

    def __init__(self, prompts: list[list[int]]):
        self.input_ids = prompts

    def __call__(self, prompts: list[list[int]]):
        return TokenIds(prompts)

    def convert_tokens_to_ids(self, token: str) -> int:
        return 0


class System:
    def __init__(self, job: dict, batches: list):
        model_class, processor_class, self._unpack_kv = import_code()
        torch.set_num_threads(job["threads"])
        self._model = model_class.from_pretrained(
            job["model"], torch_dtype=getattr(torch, job["dtype"])
        ).eval()
        self._model.generation_config.pad_token_id = 0
        self._processor = processor_class(TokenIds([]))

    def versions(self) -> dict:
        return {"the paper's transformers": transformers.__version__}

    @torch.no_grad()
    def prefill(self, prompts: list[list[int]]) -> list[int]:
        """The steps of its TTFT_with_prepacking."""
        ids, positions, mask, restarts, original_ids = self._processor.batch_process(prompts)
        packed = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, return_dict=True
        )
        cache, final_tokens, attention_mask = self._unpack_kv(
            packed["past_key_values"], restarts, original_ids, self._model.device
        )
        tokens = self._model.generate(
            input_ids=final_tokens,
            attention_mask=attention_mask,
            max_new_tokens=1,
            use_cache=True,
            do_sample=False,
            past_key_values=cache,
        )
        return tokens[:, -1].tolist()
