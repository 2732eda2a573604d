#!/usr/bin/env python3
"""Makes tests/data/chat_templates.json: template sources in the forms of the model families, written down after
the published ones without most of what only tools need, and the prompts that transformers' apply_chat_template renders
with them.

    .venv/bin/python scripts/make_chat_template_data.py

Needs transformers and jinja2. A prompt of null means that the template refuses the conversation, or drops one of
its messages, which we refuse to do.
"""

import argparse
import datetime
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
# Messages of any other role are left out.
MISTRAL_ANY_ORDER = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
                     "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
                     "{{ message['content'] + eos_token }}{% endif %}{% endfor %}")

# Of Mistral's later versions, which differ in white space and in where the system message goes.
MISTRAL_V1 = r"""{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, conversation roles must alternate!') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if loop.first and system_message is defined %}
            {{- ' [INST] ' + system_message + '\n\n' + message['content'] + ' [/INST]' }}
        {%- else %}
            {{- ' [INST] ' + message['content'] + ' [/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + eos_token}}
    {%- else %}
        {{- raise_exception('Only user and assistant roles are supported!') }}
    {%- endif %}
{%- endfor %}
"""
MISTRAL_V3 = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.tool_calls is defined) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate!") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and loop.last %}
            {{- "[AVAILABLE_TOOLS]%SPACE%" + tools | tojson + "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]%SPACE%" + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]%SPACE%" + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- %ANSWER% + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
"""
MISTRAL_V7 = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
              "{{ '[INST] ' + message['content'] + '[/INST]' }}{% elif message['role'] == 'system' %}"
              "{{ '[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' }}"
              "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}{% else %}"
              "{{ raise_exception('Only user, system and assistant roles are supported!') }}{% endif %}{% endfor %}")
MISTRAL_SMALL = r"""{%- set today = strftime_now("%Y-%m-%d") %}
{%- set default_system_message = "You are a large language model. Today is " + today + ".\n\nWhen you're not sure, you say so (\"When is the next flight?\" => \"From where?\")" %}

{{- bos_token }}

{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = default_system_message %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '[SYSTEM_PROMPT]' + system_message + '[/SYSTEM_PROMPT]' }}

{%- for message in loop_messages %}
    {%- if message['role'] == 'user' %}
        {{- '[INST]' + message['content'] + '[/INST]' }}
    {%- elif message['role'] == 'system' %}
        {{- '[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' }}
    {%- elif message['role'] == 'assistant' %}
        {{- message['content'] + eos_token }}
    {%- else %}
        {{- raise_exception('Only user, system and assistant roles are supported!') }}
    {%- endif %}
{%- endfor %}
"""
# Of models that see images, whose contents may be lists.
MISTRAL_SMALL_LISTS = MISTRAL_SMALL
for old, new in [
    ("    {%- set system_message = messages[0]['content'] %}\n", """    {%- if messages[0]['content'] is string %}
        {%- set system_message = messages[0]['content'] %}
    {%- else %}
        {%- set system_message = messages[0]['content'][0]['text'] %}
    {%- endif %}
"""),
    ("        {{- '[INST]' + message['content'] + '[/INST]' }}\n", """        {%- if message['content'] is string %}
            {{- '[INST]' + message['content'] + '[/INST]' }}
        {%- else %}
            {{- '[INST]' + message['content'][0]['text'] + '[/INST]' }}
        {%- endif %}
"""),
]:
    assert MISTRAL_SMALL_LISTS.count(old) == 1, old
    MISTRAL_SMALL_LISTS = MISTRAL_SMALL_LISTS.replace(old, new)
MISTRAL_SMALL_31 = r"""{%- set today = strftime_now("%Y-%m-%d") %}
{%- set default_system_message = "You are a large language model. Today is " + today + ".\
\n\nWhen you're not sure, you say so." %}

{{- bos_token }}

{%- if messages[0]['role'] == 'system' %}
    {%- if messages[0]['content'] is string %}
        {%- set system_message = messages[0]['content'] %}
        {%- set loop_messages = messages[1:] %}
    {%- else %}
        {%- set system_message = messages[0]['content'][0]['text'] %}
        {%- set loop_messages = messages[1:] %}
    {%- endif %}
{%- else %}
    {%- set system_message = default_system_message %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '[SYSTEM_PROMPT]' + system_message + '[/SYSTEM_PROMPT]' }}

{%- set filtered_messages = [] %}
{%- for message in loop_messages %}
    {%- if message["role"] not in ["tool", "tool_results"] and not message.get("tool_calls") %}
        {%- set filtered_messages = filtered_messages + [message] %}
    {%- endif %}
{%- endfor %}

{%- for message in filtered_messages %}
    {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("After the optional system message, conversation roles must alternate!") }}
    {%- endif %}
{%- endfor %}

{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if message['content'] is string %}
        {{- '[INST]' + message['content'] + '[/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {%- if message['content'] is string %}
            {{- message['content'] + eos_token }}
        {%- endif %}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, but for a system message that comes first!") }}
    {%- endif %}
{%- endfor %}
"""
LLAMA31 = r"""{{- bos_token }}
{%- if not date_string is defined %}
%DATE%
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message #}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""
LLAMA31_DATE = '    {%- set date_string = "26 Jul 2024" %}'
LLAMA32_DATE = """    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}"""
PHI3_FIRST = ("{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}"
              "{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}"
              "{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %}")
PHI3_SMALL = ("{{ bos_token }}{% for message in messages %}"
              "{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
PHI3 = ("{% for message in messages %}{% if message['role'] == 'system'%AND% %}{{'<|system|>\n' + message['content'] + "
        "'<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
        "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
# A revision of the first that writes system messages too.
PHI3_SYSTEM = PHI3_FIRST.replace(
    "{% if (message['role'] == 'user') %}",
    "{% if (message['role'] == 'system') %}{{'<|system|>' + '\n' + message['content'] + '<|end|>' + '\n'}}"
    "{% elif (message['role'] == 'user') %}")
PHI4_MINI = ("{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}"
             "{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}"
             "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}")
PHI4_MINI_REASONING = (
    "{{ '<|system|>Your name is Phi.' }}{% for message in messages %}{% if message['role'] == 'system' %} {{ message['content'] }}"
    "{% if 'tools' in message and message['tools'] is not none %}{{ '<|tool|>' + message['tools'] + '<|/tool|>' }}{% endif %}"
    "{% endif %}{% endfor %}{{ '<|end|>' }}{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}")
PHI4_FIRST = ("{% for message in messages %}{% if (message['role'] == 'system') %}"
              "{{'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'user') %}"
              "{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|><|im_start|>assistant<|im_sep|>'}}"
              "{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|im_end|>'}}{% endif %}{% endfor %}")
PHI4 = ("{% for message in messages %}{% if (message['role'] == 'system') %}"
        "{{'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'user') %}"
        "{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'assistant') %}"
        "{{'<|im_start|>assistant<|im_sep|>' + message['content'] + '<|im_end|>'}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}")
# With a system message of our own in place of the published one, which is long.
PHI4_REASONING = ("<|im_start|>system<|im_sep|>You answer in two sections: <think> {Thought} </think> {Solution}.<|im_end|>"
                  "{% for message in messages %}{% if (message['role'] == 'user') %}"
                  "{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'assistant') %}"
                  "{{'<|im_start|>assistant<|im_sep|>'}}{% generation %}{{message['content'] + '<|im_end|>'}}{% endgeneration %}"
                  "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}")
YI = ("{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% endif %}"
      "{% if system_message is defined %}{{ %SYSTEM% }}{% endif %}{% for message in messages %}"
      "{% set content = message['content'] %}{% if message['role'] == 'user' %}"
      "{{ '<|im_start|>user\\n' + content + '<|im_end|>\\n<|im_start|>assistant\\n' }}"
      "{% elif message['role'] == 'assistant' %}{{ content + '<|im_end|>' + '\\n' }}{% endif %}{% endfor %}")
# Laid out over lines: blocks take the white space away, outputs only with a minus.
PHI3_LINES = """{{- bos_token }}
{%- for message in messages %}
  {% if message['role'] == 'system' %}
    {{- '<|system|>\n' + message['content'] + '<|end|>\n' -}}
  {% elif message['role'] == 'user' %}
    {{- '<|user|>\n' + message['content'] + '<|end|>\n' -}}
  {% elif message['role'] == 'assistant' -%}
    {{ '<|assistant|>\n' + message['content'] + '<|end|>\n' }}
  {%- endif %}
{% endfor %}
{# generation prompt #}
{% if add_generation_prompt %}{{- '<|assistant|>\n' }}{% else %}{{- eos_token }}{% endif %}
"""
QWEN3 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- tools | tojson }}
    {{- "<|im_end|>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in message.content %}
                {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
                {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""
# Its later revision looks first whether the content is a text.
QWEN3_LATER = QWEN3
for old, new in [
    ('== "user" and not(', '== "user" and message.content is string and not('),
    ("{%- for message in messages %}\n", """{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
"""),
    (r"'\n' + message.content + '<|im_end|>' +", r"'\n' + content + '<|im_end|>' +"),
    ("        {%- set content = message.content %}\n        {%- set reasoning", "        {%- set reasoning"),
    ("message.reasoning_content is defined and message.reasoning_content is not none", "message.reasoning_content is string"),
    (r"""            {%- if '</think>' in message.content %}
                {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
                {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
""", r"""            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
"""),
]:
    assert QWEN3_LATER.count(old) == 1, old
    QWEN3_LATER = QWEN3_LATER.replace(old, new)
# The thinking models' leaves no choice.
QWEN3_THINKING = QWEN3_LATER[:QWEN3_LATER.index("{%- if add_generation_prompt %}")] + r"""{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n<think>\n' }}
{%- endif %}
"""
QWEN3_INSTRUCT = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {{- tools | tojson }}
    {{- "<|im_end|>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {{- tool_call | tojson }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {{- content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
QWQ = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {{- tools | tojson }}
    {{- "<|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
  {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" and not message.tool_calls %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "tool" %}
        {{- message.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n<think>\n' }}
{%- endif %}
"""
QWQ_ANSWER = r"{%- set content = message.content.split('</think>')[-1].lstrip('\n') %}"
assert QWQ.count(QWQ_ANSWER) == 1
# Its later revision leaves an answer that ends the conversation as it is.
QWQ_LATER = QWQ.replace(QWQ_ANSWER, "{%- set content = message.content %}{%- if not loop.last %}" + QWQ_ANSWER + "{%- endif %}")
SMOLLM3 = r"""{# defaults #}
{%- if enable_thinking is not defined -%}
{%- set enable_thinking = true -%}
{%- endif -%}

{# reasoning mode #}
{%- if enable_thinking -%}
  {%- set reasoning_mode = "/think" -%}
{%- else -%}
  {%- set reasoning_mode = "/no_think" -%}
{%- endif -%}

{# header (system message) #}
{{- "<|im_start|>system\n" -}}

{%- if messages[0].role == "system" -%}
  {%- set system_message = messages[0].content -%}
  {%- if "/no_think" in system_message -%}
    {%- set reasoning_mode = "/no_think" -%}
  {%- elif "/think" in system_message -%}
    {%- set reasoning_mode = "/think" -%}
  {%- endif -%}
  {%- set custom_instructions = system_message.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}

{%- if "/system_override" in system_message -%}
  {{- custom_instructions.replace("/system_override", "").rstrip() -}}
  {{- "<|im_end|>\n" -}}
{%- else -%}
  {{- "## Metadata\n\n" -}}
  {{- "Knowledge Cutoff Date: June 2025\n" -}}
  {%- set today = strftime_now("%d %B %Y") -%}
  {{- "Today Date: " ~ today ~ "\n" -}}
  {{- "Reasoning Mode: " + reasoning_mode + "\n\n" -}}

  {{- "## Custom Instructions\n\n" -}}
  {%- if custom_instructions -%}
    {{- custom_instructions + "\n\n" -}}
  {%- elif reasoning_mode == "/think" -%}
    {{- "You are a helpful AI assistant that thinks first: <think> Thought section </think> Solution section.\n\n" -}}
  {%- else -%}
    {{- "You are a helpful AI assistant.\n\n" -}}
  {%- endif -%}

  {%- if xml_tools or python_tools -%}
    {{- "### Tools\n\n" -}}
    {%- if xml_tools -%}
      {{- xml_tools | string -}}
    {%- endif -%}
    {{- "\n\n" -}}
    {{- "<|im_end|>\n" -}}
  {%- endif -%}
{%- endif -%}
{# main loop #}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else "" -%}
    {%- if message.role == "user" -%}
        {{ "<|im_start|>" + message.role + "\n"  + content + "<|im_end|>\n" }}
    {%- elif message.role == "assistant" -%}
        {% generation %}
        {%- if reasoning_mode == "/think" -%}
            {{ "<|im_start|>assistant\n" + content.lstrip("\n") + "<|im_end|>\n" }}
        {%- else -%}
            {{ "<|im_start|>assistant\n" + "<think>\n\n</think>\n" + content.lstrip("\n") + "<|im_end|>\n" }}
        {%- endif -%}
        {% endgeneration %}
    {%- elif message.role == "tool" -%}
    {{ "<|im_start|>" + "user\n"  + content + "<|im_end|>\n" }}
    {%- endif -%}
{%- endfor -%}
{# generation prompt #}
{%- if add_generation_prompt -%}
    {%- if reasoning_mode == "/think" -%}
        {{ "<|im_start|>assistant\n" }}
    {%- else -%}
        {{ "<|im_start|>assistant\n" + "<think>\n\n</think>\n"  }}
    {%- endif -%}
{%- endif -%}
"""

TEMPLATES = [
    ("SmolLM2", SMOLLM2, "<|im_start|>", "<|im_end|>"),
    ("Qwen2.5", QWEN25, "", "<|im_end|>"),
    ("Qwen3 2507, instruct", QWEN3_INSTRUCT, "", "<|im_end|>"),
    ("without a default", "{% for message in messages %}" + CHATML_LOOP, "", "<|im_end|>"),
    ("Llama 2", LLAMA2, "<s>", "</s>"),
    ("Code Llama", LLAMA2.replace("content.strip()", "content | trim"), "<s>", "</s>"),
    ("Llama 3", LLAMA3, "<|begin_of_text|>", "<|eot_id|>"),
    ("TinyLlama", ZEPHYR, "<s>", "</s>"),
    ("Mistral 0.1", MISTRAL.replace("%SPACE%", " + ' '"), "<s>", "</s>"),
    ("Mistral 0.2", MISTRAL.replace("%SPACE%", ""), "<s>", "</s>"),
    ("Mistral, in any order", MISTRAL_ANY_ORDER, "<s>", "</s>"),
    ("Mistral 7B v0.2, with a system message", MISTRAL_V1, "<s>", "</s>"),
    ("Mistral 7B v0.3",
     MISTRAL_V3.replace("%SPACE%", " ").replace("%ANSWER%", '" " + message["content"]|trim'), "<s>", "</s>"),
    ("Mistral Nemo", MISTRAL_V3.replace("%SPACE%", "").replace("%ANSWER%", 'message["content"]'), "<s>", "</s>"),
    ("Mistral Large 2411", MISTRAL_V7, "<s>", "</s>"),
    ("Mistral Small 3", MISTRAL_SMALL, "<s>", "</s>"),
    ("Mistral Small, with lists", MISTRAL_SMALL_LISTS, "<s>", "</s>"),
    ("Mistral Small 3.1", MISTRAL_SMALL_31, "<s>", "</s>"),
    ("Llama 3.1", LLAMA31.replace("%DATE%", LLAMA31_DATE), "<|begin_of_text|>", "<|eot_id|>"),
    ("Llama 3.2", LLAMA31.replace("%DATE%", LLAMA32_DATE), "<|begin_of_text|>", "<|eot_id|>"),
    ("Phi-3 mini", PHI3.replace("%AND%", ""), "<s>", "<|endoftext|>"),
    ("Phi-3.5 mini", PHI3.replace("%AND%", " and message['content']"), "<s>", "<|endoftext|>"),
    ("Phi-3 mini, first", PHI3_FIRST, "<s>", "<|endoftext|>"),
    ("Phi-3 small", PHI3_SMALL, "<|endoftext|>", "<|endoftext|>"),
    ("Phi-3, laid out over lines", PHI3_LINES, "<s>", "<|endoftext|>"),
    ("Phi-3 mini, first, with system messages", PHI3_SYSTEM, "<s>", "<|endoftext|>"),
    ("Phi-4 mini reasoning", PHI4_MINI_REASONING, "<|endoftext|>", "<|endoftext|>"),
    ("Phi-4 mini", PHI4_MINI, "<|endoftext|>", "<|endoftext|>"),
    ("Phi-4", PHI4, "<|endoftext|>", "<|im_end|>"),
    ("Phi-4, first", PHI4_FIRST, "<|endoftext|>", "<|endoftext|>"),
    ("Phi-4 reasoning", PHI4_REASONING, "<|endoftext|>", "<|im_end|>"),
    ("Qwen3", QWEN3, "", "<|im_end|>"),
    ("Qwen3, later", QWEN3_LATER, "", "<|im_end|>"),
    ("Qwen3 2507, thinking", QWEN3_THINKING, "", "<|im_end|>"),
    ("QwQ", QWQ, "", "<|im_end|>"),
    ("QwQ, later", QWQ_LATER, "", "<|im_end|>"),
    ("SmolLM3", SMOLLM3, "", "<|im_end|>"),
    ("Yi 1.5", YI.replace("%SYSTEM%", "system_message"), "<|startoftext|>", "<|im_end|>"),
    ("Yi Coder", YI.replace("%SYSTEM%", "'<|im_start|>system\\n' + system_message + '<|im_end|>\\n'"), "<|startoftext|>",
     "<|im_end|>"),
]

OTHER_OPTIONS = {"date": "2025-03-09", "enable_thinking": False}

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
# For the templates that know hidden reasoning.
REASONED_CONVERSATIONS = [
    [("user", "a"), ("assistant", "<think>\nbecause\n</think>\n\nb"), ("user", "c")],
    [("user", "a"), ("assistant", "<think>\nbecause\n</think>\n\nb")],
    [("user", "a"), ("assistant", "\n\nb")],
    [("user", "a"), ("assistant", "\nb"), ("assistant", "<think>\n\nx\n\n</think>c</think>\nd"), ("assistant", "e")],
    [("user", "<tool_response>a</tool_response>"), ("assistant", "b"), ("user", "<tool_response>c</tool_response>")],
    [("system", "Be brief. /no_think"), ("user", "a"), ("assistant", "\nb"), ("user", "c")],
    [("system", "/think Be slow. /think \n"), ("user", "a")],
    [("system", "/system_override Only this. /no_think\n"), ("user", "a")],
    [("system", "/no_think"), ("user", "a")],
]


def default_options(source):
    """The day that stands for today, where the template asks for it."""
    needs_date = "strftime_now" in source
    return {"date": "2026-11-21" if needs_date else None, "enable_thinking": None}


def render(tokenizer, conversation, options):
    """The prompt, or None if the template refuses the conversation or drops one of its messages."""
    messages = [{"role": role, "content": content} for role, content in conversation]
    variables = {}
    if options["enable_thinking"] is not None:
        variables["enable_thinking"] = options["enable_thinking"]
    if options["date"]:
        day = datetime.date.fromisoformat(options["date"])
        if "strftime_now" in tokenizer.chat_template:
            variables["strftime_now"] = day.strftime
        else:
            variables["date_string"] = day.strftime("%d %b %Y")

    def apply(messages):
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **variables)

    def drops(index):
        mark = {**messages[index], "content": "\ue000"}
        return messages[index]["content"] and mark["content"] not in apply(messages[:index] + [mark] + messages[index + 1:])

    try:
        return None if any(map(drops, range(len(messages)))) else apply(messages)
    except TemplateError:
        return None


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    entries = []
    for name, source, bos, eos in TEMPLATES:
        tokenizer.bos_token, tokenizer.eos_token = bos, eos
        tokenizer.chat_template = source
        default = default_options(source)
        entry = {"name": name, "source": source, "bos": bos, "eos": eos,
                 "prompts": [render(tokenizer, conversation, default) for conversation in CONVERSATIONS]}
        if any(word in source for word in ("'</think>'", "enable_thinking", "strftime_now", "date_string")):
            entry["options"] = default
            reasoned = REASONED_CONVERSATIONS if "think" in source else []
            entry["cases"] = [{"options": options, "conversation": conversation,
                               "prompt": render(tokenizer, conversation, options)}
                              for conversation in CONVERSATIONS[:3] + reasoned
                              for options in (default, OTHER_OPTIONS)]
        entries.append(entry)
    OUT.write_text(json.dumps({"conversations": CONVERSATIONS, "templates": entries}, ensure_ascii=False, indent=1) + "\n",
                   encoding="utf-8")


if __name__ == "__main__":
    main()
