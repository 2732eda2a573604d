"""transformers: padded batches, or all prompts of a batch in one row. See worker.py."""

import time

import torch
import torch.nn.functional as F
import transformers
from transformers import AttentionInterface, AutoModelForCausalLM
from transformers.models.llama.modeling_llama import repeat_kv


class Unsupported(Exception):
    """One sentence for the user."""


def attend_per_prompt(
    module, query, key, value, attention_mask, scaling, prompt_lengths, **kwargs
):
    """Causal attention of each prompt to itself.

    The model cannot tell the prompts of a row apart by itself: with a cache, it ignores that
    positions restart, and lets every prompt attend to those before it. Under a name that it has no
    mask for it makes none; here none is needed.

    @param query, key, value  [1, num_heads or num_kv_heads, tokens, head_dim]
    """
    key = repeat_kv(key, module.num_key_value_groups)
    value = repeat_kv(value, module.num_key_value_groups)
    outputs = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
        for q, k, v in zip(
            query.split(prompt_lengths, dim=2),
            key.split(prompt_lengths, dim=2),
            value.split(prompt_lengths, dim=2),
        )
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2), None


AttentionInterface.register("per_prompt", attend_per_prompt)


class System:
    def __init__(self, job: dict, batches: list):
        torch.set_num_threads(job["threads"])
        flattened = job["options"]["batch"] == "flattened"
        self._model = AutoModelForCausalLM.from_pretrained(
            job["model"],
            dtype=getattr(torch, job["dtype"]),
            attn_implementation="per_prompt" if flattened else "sdpa",
        ).eval()
        if flattened:
            self.prefill = self._prefill_flattened
        else:
            self.prefill = self._prefill_padded
            self.decode = self._decode  # its caches are what generation of a batch needs

    def versions(self) -> dict:
        return {"transformers": transformers.__version__, "torch": torch.__version__}

    @torch.inference_mode()
    def _prefill_flattened(self, prompts: list[list[int]]) -> list[int]:
        lengths = [len(prompt) for prompt in prompts]
        logits = self._model(
            input_ids=torch.tensor([[token for prompt in prompts for token in prompt]]),
            position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
            prompt_lengths=lengths,
            use_cache=True,
            logits_to_keep=torch.tensor(lengths).cumsum(0) - 1,
        ).logits  # [1, num_prompts, vocab_size]
        return logits[0].argmax(-1).tolist()

    def _prefill_padded(self, prompts: list[list[int]]) -> list[int]:
        return self._start(prompts)[0].tolist()

    @torch.inference_mode()
    def _start(self, prompts: list[list[int]]):
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].argmax(-1), mask, output.past_key_values

    @torch.inference_mode()
    def _decode(self, prompts: list[list[int]], num_tokens: int) -> float:
        tokens, mask, cache = self._start(prompts)
        start = time.perf_counter()
        for _ in range(num_tokens - 1):
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
            output = self._model(
                input_ids=tokens[:, None],
                attention_mask=mask,
                position_ids=mask.sum(1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
            )
            tokens = output.logits[:, -1].argmax(-1)
        return time.perf_counter() - start
