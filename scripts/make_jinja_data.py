#!/usr/bin/env python3
"""Makes tests/data/jinja.json: templates that use what Jinja has, and the texts that jinja2 renders in the sandbox in
which transformers renders chat templates.

    .venv/bin/python scripts/make_jinja_data.py

Needs transformers and jinja2. A text of null means that jinja2 refuses the template, or cannot render it.
"""

import argparse
import json
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "jinja.json"

VARIABLES = {
    "messages": [{"role": "system", "content": " Sys\n"}, {"role": "user", "content": "Héllo wörld"},
                 {"role": "assistant", "content": "<think>\nab\n</think>\n\nc d"}, {"role": "user", "content": "x"}],
    "n": 7, "f": 2.5, "l": [3, 1, 2, "B", "a"], "d": {"b": 1, "a": [1, 2], "Items": 3}, "nothing": None,
}

# Each line is a template.
LINES = r'''
{{ messages[0].content }}|
{{ messages[::-1] }}
{{ messages[-1]['content'] }}
{{ messages[1].content[1:4] }}
{{ messages[1].content[::-2] }}
{{ messages[1].content[-3:] }}
{{ l[1:3] }}
{{ l[5:1:-1] }}
{{ l[-100:2] }}
{{ l[::-1] }}
{{ (1,2,3)[::2] }}
{{ n // 2 }}
{{ -n // 2 }}
{{ n % -3 }}
{{ -n % 3 }}
{{ n / 2 }}
{{ 2 ** 10 }}
{{ 2 ** -1 }}
{{ f * 2 }}
{{ f // 1 }}
{{ -f % 1 }}
{{ n - f }}
{{ "a" * 3 }}
{{ [1] * 2 }}
{{ "a" ~ 1 ~ none ~ true }}
{{ [1] + [2] }}
{{ 1 < 2 < 3 }}
{{ 1 == 1.0 }}
{{ true == 1 }}
{{ "a" < "b" }}
{{ [1,2] < [1,3] }}
{{ none == none }}
{{ undefined_x }}
{{ undefined_x is defined }}
{{ not undefined_x }}
{{ undefined_x == 1 }}
{{ undefined_x|default("d") }}
{{ ""|default("d", true) }}
{{ ""|d("d", boolean=true) }}
{{ "a" in "cat" }}
{{ 3 in l }}
{{ "b" in d }}
{{ "z" not in d }}
{{ 1 in undefined_x }}
{{ l|join(", ") }}
{{ messages|map(attribute="role")|join("-") }}
{{ messages|selectattr("role","equalto","user")|list|length }}
{{ messages|rejectattr("role","in",["user"])|map(attribute="content")|list }}
{{ l[:3]|sort }}
{{ ["b","A","c"]|sort }}
{{ ["b","A","c"]|sort(reverse=true, case_sensitive=true) }}
{{ ["a","A","b"]|unique|list }}
{{ "a b  c".split() }}
{{ "a,b,c".split(",",1) }}
{{ " a b  c ".split(None,1) }}
{{ "a\nb\r\nc".splitlines() }}
{{ "a\nb\n".splitlines(true) }}
{{ "abc".startswith("ab") }}
{{ "abc".startswith(("x","a")) }}
{{ "abc".endswith("bc") }}
{{ "abcabc".replace("b","X") }}
{{ "abcabc".replace("b","X",1) }}
{{ "abc"|replace("","-") }}
{{ d.keys()|list }}
{{ d.values()|list }}
{{ d.get("a") }}
{{ d.get("q") }}
{{ d.get("q", 5) }}
{{ d["Items"] }}
{{ d.b }}
{{ d|length }}
{{ d|tojson }}
{{ d|tojson(indent=2) }}
{{ [1,"é\n\"",none,true,1.5]|tojson }}
{{ "é"|tojson(ensure_ascii=true) }}
{{ d|tojson(separators=(",",":")) }}
{{ d|tojson(sort_keys=true) }}
{{ [] }}
{{ {} }}
{{ () }}
{{ (1,) }}
{{ {"a": (1,2)} }}
{{ "it's" }}
{{ ["it's", 'say "hi"', "both ' and \""] }}
{{ ["\n\t\\"] }}
{{ 1.0 }}
{{ 1e20 }}
{{ 1e-7 }}
{{ 0.1 + 0.2 }}
{{ 100000.0 }}
{{ 1e16 }}
{{ 123456789012345680.0 }}
{{ 3.0 * 2 }}
{{ "3.7"|int }}
{{ "x"|int }}
{{ "x"|int(4) }}
{{ 3.9|int }}
{{ range(5)|list }}
{{ range(1,10,3)|list }}
{{ range(5,0,-2)|list }}
{% set ns = namespace(x=1, y="a") %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}
{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = i + 10 %}{{ x }}{% endfor %}{{ x }}
{% if n > 5 and f %}A{% elif n %}B{% else %}C{% endif %}{{ "y" if n == 7 else "n" }}{{ "y" if n == 8 }}
{% for m in messages if m.role == "user" %}{{ loop.index }}{{ loop.last }}{{ loop.first }}{{ loop.length }}{{ loop.revindex }}{{ loop.previtem.content if loop.previtem is defined }}{% else %}none{% endfor %}
{% for m in [] %}x{% else %}none{% endfor %}
{% macro m(a, b="x", c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(b=3, a=4) }}{{ m() }}
{% set t %}block {{ n }}{% endset %}{{ t|upper }}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}
{% raw %}{{ x }}{% endraw %}
{# comment #}
{%- set a, b = 1, 2 %}{{ a }}{{ b }}
{{ "a" is string }}
{{ 1 is number }}
{{ 1 is integer }}
{{ true is integer }}
{{ 1.5 is float }}
{{ d is mapping }}
{{ l is sequence }}
{{ "a" is sequence }}
{{ l is iterable }}
{{ none is none }}
{{ x is not defined }}
{{ 3 is odd }}
{{ 4 is even }}
{{ 6 is divisibleby 3 }}
{{ 6 is divisibleby(4) }}
{{ 1 is eq 1 }}
{{ 1 is in [1] }}
{{ true is true }}
{{ 1 is true }}
{{ 1 is sameas 1 }}
{{ undefined_x is sequence }}
{{ undefined_x is iterable }}
{{ true is boolean }}
{{ messages|first }}
{{ l|last }}
{{ l|reverse|list }}
{{ "abc"|reverse }}
{{ "abc"|list }}
{{ "abc"|first }}
{{ []|first }}
{{ "a\nb\n\nc"|indent }}
{{ "a\nb\n\nc"|indent(2, true) }}
{{ "a\n\nb"|indent(2, blank=true) }}
{{ not true and false }}
{{ true or false and false }}
{{ 1 if true else 2 if false else 3 }}
{{ -2 ** 2 }}
{{ 2 * 3 + 4 ~ 5 }}
{{ "x" ~ 1 + 2 }}
{{ "a" "b" 'c' }}
{{ '\x41\u00e9\n\'' }}
{{ 1_000 }}
{{ "é\u4f60"|length }}
{{ messages[2].content.split("</think>")[-1].lstrip("\n") }}
{{ messages[2].content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n") }}
{{ l.append(1) }}
{{ undefined_x.y }}
{{ none.x }}
{{ n.x }}
{{ undefined_x + 1 }}
{{ 1 + "a" }}
{{ foo() }}
{{ raise_exception("no") }}
{{ x|nofilter }}
{{ x is notest }}
{{ "abc".nomethod() }}
{% foo %}
{% if %}
{% if x %}
{{ x
{{ "a }}
{{ a. }}
{% for %}{% endfor %}
{% generation %}{{ n }}{% set q = 1 %}{% endgeneration %}{{ q }}
{{ d.a.0 }}
{{ d.a[1] }}
{{ d.a[5] }}
{{ d["a"][0] }}
{{ d.a|map("string")|join }}
{{ ["a","b"]|map("upper")|list }}
{{ [0,1,""]|select|list }}
{{ [1,2,3,4]|select("odd")|list }}
{{ [1,2,3]|reject("eq",2)|list }}
{{ [1,2,3]|select(">", 1)|list }}
{{ messages|selectattr("tool_calls")|list }}
{{ messages|selectattr("content","defined")|list|length }}
{{ messages|map(attribute="foo", default="q")|list }}
{{ (messages|selectattr("role","eq","zzz")) is iterable }} {% if messages|selectattr("role","eq","zzz") %}T{% endif %}
{{ [1,2]|tojson|length }}
{{ 1|string + "a" }}
{{ {"a":1}.a }}
{{ [1,[2,[3]]] }}
{{ "x".join(["a","b"]) }}
{{ 5 in range(10) }}
{{ "a,b"|replace(",",";") }}
{{ d.items()|list }}
{{ nothing.x }}
{{ nothing + 1 }}
{{ nothing|trim }}
{% for i in [1] %}{{ loop.foo }}{% endfor %}
{{ (n, f) }}
{{ n, f }}
{{ [n,] }}
{{ {"a": 1,}["a"] }}
{{ d["b"] if d.b is defined and d.b == 1 else 0 }}
{{ "yes" if not messages[0].tool_calls and messages|length > 1 }}
{{ not n is none }}
{{ n is not none }}
{{ n is string or f is float }}
{{ messages[1:]|first|length }}
{{ l|length == 5 and "B" in l }}
{{ '\\d' }}
{{ "\d" }}
{% set ns = namespace() %}{% set ns.a = [] %}{% for i in range(3) %}{% set ns.a = ns.a + [i] %}{% endfor %}{{ ns.a }}
{% set ns.a = 1 %}
{% for i in 5 %}{% endfor %}
{% for a, b in [[1,2],[3,4]] %}{{ a + b }}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% set a, b = [1] %}
{% macro f(x) %}{{ n }}{{ x }}{% endmacro %}{% set n = 8 %}{{ f(1) }}
{% macro f(x) %}{{ f(x - 1) if x > 0 }}{{ x }}{% endmacro %}{{ f(3) }}
{% macro f() %}{% endmacro %}{{ f(1) }}
{% for i in range(2) %}{% for j in range(2) %}{{ i }}{{ j }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% if false %}{% set q = 1 %}{% endif %}{{ q }}
{% if true %}{% set q = 1 %}{% endif %}{{ q }}
{% for i in [1] %}{% set q = 1 %}{% endfor %}{{ q }}
{% break %}
{% include "x" %}
{% extends "x" %}
{{ 9223372036854775807 }}
{{ 1 // 0 }}
{{ 1.5 % 0 }}
{{ "a" < 1 }}
{{ l|sort }}
{{ l[::0] }}
{{ l["x"] }}
{{ "abc"[10] }}
{{ n() }}
{{ range(3)[1] }}
{{ [range(3)]|length }}
{{ "a,b".split("") }}
{{ 3 * [n] }}
{{ -n }} {{ +f }} {{ - -n }}
{{ "  x "|trim }}|{{ "xxabxx"|trim("x") }}|{{ "abc"|upper }}|{{ "ABC"|lower }}|{{ "hELLO wORLD"|capitalize }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k,v in d|items %}{{k}}{% endfor %}{% for (k, v) in d|items %}{{ k }}{% endfor %}
{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}
{{ -1|string }}
{{ - 1 | int }}
{{ "{} and {}, {0}".format(1) }}
{{ "{} and {}".format(1, "b") }} {{ "{1}{0}{x} {{}}".format(1, 2, x=n) }}
{{ d|dictsort }}{{ d|dictsort(true) }}{{ {"a": 2, "b": 1}|dictsort(by="value") }}{{ d|dictsort(reverse=true) }}
{{ 1 == "a" }} {{ true == "x" }} {{ 1 in ["a"] }} {{ 0 == [] }} {{ 1.5 == {} }} {{ 1 != "1" }} {{ none == 0 }} {{ "" == none }} {{ d == l }}
{{ {1: 2, "": 3} }}
{% for i in [1,2] %}{% break %}{% else %}E{% endfor %}
{% for i in [1,2] %}{% continue %}{% else %}E{% endfor %}
{% for i in [1,2] %}{% if i == 2 %}{% break %}{% endif %}{% else %}E{% endfor %}
{% for i in [] %}{% else %}{% set y = 1 %}{% endfor %}[{{ y }}]
{% for i in [1,2] %}{% set y %}a{% break %}{% endset %}b{% endfor %}
{% set a = 5 %}{% macro m(a=a) %}{{ a }}{% endmacro %}{{ m() }}
{% set c = 7 %}{% macro m(a, b=c, c=1) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}
{{ (l|map("string"))[:1] }}
{{ "9007199254740993"|int }} {{ " 12 "|int }} {{ "+-5"|int }} {{ "-5"|int }} {{ "+5"|int }} {{ "1.9"|int }}
{{ 0 ** -1 }}
{{ range(3)|list }} {{ range(3)|length }} {{ d.keys()|list|length }} {{ "b" in d.keys() }} {{ 2 in range(3) }} {{ d.values()|length }}
{{ "héé"[1] }} {{ "héé"[-1] }} {{ "héé"[5] }}
{% for i in [1] %}{{ loop is mapping }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.nothing is defined }}{% endfor %}
{% for i in [1,2,3] %}{{ loop.index0 }}{{ loop.revindex0 }}{{ loop.previtem is defined }}{{ loop.nextitem }}{% endfor %}
{% for i in [1] %}{% set j = loop %}{% for k in [1,2] %}{{ j.index }}{{ loop.index }}{% endfor %}{% endfor %}
{{ ["a\u3000b", "\u00a0", "\x7f\x00", "\u200b", "é🙂", "\ue000", "\U000e0001", "it's"] }}
'''

# What only several lines show.
LAYOUTS = [
    'a\n  {% if n %}\n  b\n  {% endif %}\nc\n',
    '{%- if n -%}\n x \n{%- endif -%}\n y',
    '  {%+ if n %} a {%+ endif %}\n',
    '{% if n +%}\n a{% endif %}',
    'a {#- c -#} b',
    'a\n {# c #}\nb',
    '{{ n }}\n{{ n }}\n\n',
    'x{{- n -}} y',
    '\r\na\r\n{% if n %}\r\nb{% endif %}\r',
    '{% raw %}\n a {{ b }} {% endraw %}\n c',
    '{% raw -%}\n a{%- endraw -%}\n c',
    '  {{ n }}',
    '{{ n }}  {% if n %}  {% endif %}',
    '{%if n%}{%endif%}  \n',
    '\xa0{% if n %}\xa0\n{% endif %}',
    '{{n}}{%- if n %}\n\n{%- endif %}\n\n',
    "a{{{'b':1}}}c",
    "{{{'b':{'c':1}}['b']}}",
    "{% set x = {'a': 1} %}{{ x }}",
    '{ {{ n }} }',
    '{%- for i in [1,2] %}\n\t{{- i }}\n{%- endfor %}\n',
    "{{ '{{' }}{{ '%}' }}{{ '}}' }}",
    '{# {{ #}a',
    '{#-#}b',
    '{% raw %}{% endraw %}x',
    '{%- raw -%} x {%- endraw %}\n  y',
]


def render(source):
    try:
        return _compile_jinja_template(source).render(**VARIABLES)
    except Exception:  # jinja2 raises Python's errors, too
        return None


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    sources = LINES.strip("\n").split("\n") + LAYOUTS
    cases = [{"source": source, "text": render(source)} for source in sources]
    OUT.write_text(json.dumps({"variables": VARIABLES, "cases": cases}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
