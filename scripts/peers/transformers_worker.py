"""transformers: padded batches, or all prompts of a batch in one row. See worker.py."""

import itertools
import time

import torch
import torch.nn.functional as F
import transformers
from torch.nn.attention.varlen import varlen_attn
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


def attend_varlen(module, query, key, value, attention_mask, scaling, cu_seqlens, **kwargs):
    """The same by one kernel of torch's for all prompts, on a GPU.

    @param cu_seqlens  [num_prompts + 1] int32
    """
    # Of grouped heads a view would do for the kernel, but not for every release of the function.
    key = repeat_kv(key, module.num_key_value_groups)
    value = repeat_kv(value, module.num_key_value_groups)
    rows = [heads[0].transpose(0, 1) for heads in (query, key, value)]
    longest = max(kwargs["prompt_lengths"])
    attended = varlen_attn(
        *rows, cu_seqlens, cu_seqlens, longest, longest, scale=scaling, window_size=(-1, 0)
    )
    return attended[None], None


AttentionInterface.register("per_prompt", attend_per_prompt)
AttentionInterface.register("varlen", attend_varlen)


class Batches:
    """What a model does with batches of prompts, on whatever device it is."""

    def __init__(self, model, attention_is_flattened: bool):
        self._model = model.eval()
        if attention_is_flattened:
            self.prefill = self._prefill_flattened
        else:
            self.prefill = self._prefill_padded
            self.decode = self._decode  # its caches are what generation of a batch needs

    def _tensor(self, values):
        return torch.tensor(values, device=self._model.device)

    @torch.inference_mode()
    def _prefill_flattened(self, prompts: list[list[int]]) -> list[int]:
        lengths = [len(prompt) for prompt in prompts]
        ends = list(itertools.accumulate(lengths))
        logits = self._model(
            input_ids=self._tensor([[token for prompt in prompts for token in prompt]]),
            position_ids=self._tensor([[i for length in lengths for i in range(length)]]),
            prompt_lengths=lengths,
            cu_seqlens=self._tensor([0, *ends]).int(),
            use_cache=True,
            logits_to_keep=self._tensor(ends) - 1,
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
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
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
        synchronize()
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
        synchronize()
        return time.perf_counter() - start


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class System(Batches):
    def __init__(self, job: dict, batches: list):
        torch.set_num_threads(job["threads"])
        flattened = job["options"]["batch"] == "flattened"
        model = AutoModelForCausalLM.from_pretrained(
            job["model"],
            dtype=getattr(torch, job["dtype"]),
            attn_implementation="per_prompt" if flattened else "sdpa",
        )
        super().__init__(model, flattened)

    def versions(self) -> dict:
        return {"transformers": transformers.__version__, "torch": torch.__version__}
