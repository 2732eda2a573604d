#!/usr/bin/env python3
"""Makes tests/data/chat_templates.json: template sources in the forms of the model families, written down from
knowledge of these models, and the prompts that transformers' apply_chat_template renders with them.

    .venv/bin/python scripts/make_chat_template_data.py

Needs transformers and jinja2. A prompt of null means that the template refuses the conversation, or drops one of
its messages, which we refuse to do.
"""

import json
from pathlib import Path

from jinja2 import TemplateError
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "chat_templates.json"

CHATML_LOOP = ("{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
SMOLLM2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
           "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}" + CHATML_LOOP)
QWEN25 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\n\n# Tools\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "tool" %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
          "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
          "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
          "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
          "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + "
          "'\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
          "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
          "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
          "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
          "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
ZEPHYR = ("{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
          "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
          "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
          "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}")
MISTRAL = ("{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
           "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
           "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
           "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token%SPACE% }}{% else %}"
           "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}")

TEMPLATES = [
    ("chatml", "SmolLM2", SMOLLM2, "<|im_start|>", "<|im_end|>"),
    ("chatml", "Qwen2.5", QWEN25, "", "<|im_end|>"),
    ("chatml", "without a default", "{% for message in messages %}" + CHATML_LOOP, "", "<|im_end|>"),
    ("llama2", "Llama 2", LLAMA2, "<s>", "</s>"),
    ("llama3", "Llama 3", LLAMA3, "<|begin_of_text|>", "<|eot_id|>"),
    ("zephyr", "TinyLlama", ZEPHYR, "<s>", "</s>"),
    ("mistral", "Mistral 0.1", MISTRAL.replace("%SPACE%", " + ' '"), "<s>", "</s>"),
    ("mistral", "Mistral 0.2", MISTRAL.replace("%SPACE%", ""), "<s>", "</s>"),
]

CONVERSATIONS = [
    [("user", "Hello")],
    [("system", "Be brief."), ("user", "Hello, 🙂!")],
    [("user", "Hello"), ("assistant", "Hi."), ("user", "Why?")],
    [("system", ""), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")],
    [("user", "  spaces \n\n around\u3000\x1f ")],
    [("system", "  sys\n"), ("user", "\n  x  \n"), ("assistant", " y ")],
    [("user", "")],
    [("user", "{{ 1 + 1 }} {% if %} '\"\\n")],
    [("user", "one"), ("user", "two")],
    [("assistant", "first")],
    [("system", "alone")],
    [("user", "a"), ("system", "late"), ("user", "b")],
]


def main():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    entries = []
    for form, name, source, bos, eos in TEMPLATES:
        tokenizer.bos_token, tokenizer.eos_token = bos, eos
        tokenizer.chat_template = source
        prompts = []
        for conversation in CONVERSATIONS:
            messages = [{"role": role, "content": content} for role, content in conversation]
            try:
                prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            except TemplateError:
                prompt = None
            if prompt is not None and not all(m["content"].strip() in prompt for m in messages):
                prompt = None
            prompts.append(prompt)
        entries.append({"form": form, "name": name, "source": source, "bos": bos, "eos": eos, "prompts": prompts})
    OUT.write_text(json.dumps({"conversations": CONVERSATIONS, "templates": entries}, ensure_ascii=False, indent=1) + "\n",
                   encoding="utf-8")


if __name__ == "__main__":
    main()
