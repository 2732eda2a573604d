#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "prepack/error.h"
#include "support/catch.h"
#include "text/jinja/template.h"
#include "text/tokenizer_file.h"

// The expected texts were rendered by jinja2 (scripts/make_jinja_data.py).

namespace prepack {
namespace {

using json = nlohmann::ordered_json;  // of dicts
using Variables = std::map<std::string, jinja::Value>;

jinja::Value to_value(const json& value) {
  if (value.is_null()) return jinja::None{};
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::vector<jinja::Value> items;
    for (const json& item : value) items.push_back(to_value(item));
    return items;
  }
  jinja::Dict dict;
  for (const auto& [key, item] : value.items()) dict.items.emplace_back(key, to_value(item));
  return dict;
}

std::string render(const std::string& source, const Variables& variables = {}) {
  return jinja::Template(source).render(variables, std::chrono::year(2025) / 3 / 9);
}

TEST_CASE("templates are rendered as jinja2 renders them", "[jinja]") {
  const json data = json::parse(
      text::read_file(std::filesystem::path(PREPACK_SOURCE_DIR) / "tests" / "data" / "jinja.json"));
  Variables variables;
  for (const auto& [name, value] : data["variables"].items()) {
    variables.emplace(name, to_value(value));
  }
  REQUIRE(data["cases"].size() > 200);
  for (const json& entry : data["cases"]) {
    const std::string source = entry["source"];
    INFO(source);
    if (entry["text"].is_null()) {
      CHECK_THROWS_AS(render(source, variables), Error);
    } else {
      CHECK(render(source, variables) == entry["text"].get<std::string>());
    }
  }
}

TEST_CASE("a template that is none is refused with the line", "[jinja]") {
  const auto refuse = [](const std::string& source, const std::string& reason) {
    INFO(source);
    CHECK_THROWS_AS(jinja::Template(source), LoadError);
    CHECK_THROWS_WITH(jinja::Template(source), ContainsSubstring(reason));
  };
  refuse("a\nb {{ c", "line 2: a tag does not end");
  refuse("{{ a b }}", "line 1: expected the end of the tag, got \"b\"");
  refuse("\n{% if a %}\n", "line 2: expected {% endif %}, got the end of the template");
  refuse("{% endif %}", "the block endif is not supported");
  refuse("{{ 'a }}", "a string does not end");
  refuse("{{ '\\xg1' }}", "no character");
  refuse("{{ (a] }}", "\"]\" closes nothing");
  refuse("{# a", "a comment does not end");
  refuse("{% raw %} a", "a raw block does not end");
  refuse("{{ a $ b }}", "\"$\"");
  refuse("{{ 99999999999999999999 }}", "an integer is too large");
  refuse("{{ \xFF }}", "not valid UTF-8 at byte 3");
}

TEST_CASE("what is not supported of Jinja is never left out", "[jinja]") {
  for (const auto* source :
       {"{% include 'a' %}", "{% import 'a' as b %}", "{% block a %}{% endblock %}",
        "{% filter upper %}a{% endfilter %}", "{% call f() %}{% endcall %}", "{% do f() %}",
        "{% set a | upper %}a{% endset %}", "{% for a in b recursive %}{% endfor %}",
        "{% for a in b %}{% macro c() %}{% endmacro %}{% endfor %}", "{{ '\\N{DIGIT ONE}' }}"}) {
    INFO(source);
    CHECK_THROWS_AS(jinja::Template(source), LoadError);
    CHECK_THROWS_WITH(jinja::Template(source), ContainsSubstring("not supported"));
  }
  // What no conversation reaches does not matter.
  for (const auto* source : {"{{ 'a' | wordwrap }}", "{{ 'a' is escaped }}"}) {
    INFO(source);
    CHECK(render(std::string("{% if false %}") + source + "{% endif %}b") == "b");
    CHECK_THROWS_AS(render(source), InvalidArgument);
    CHECK_THROWS_WITH(render(source),
                      ContainsSubstring("line 1: the ") && ContainsSubstring("is not supported"));
  }
  CHECK_THROWS_WITH(render("{{ '{:>3}'.format(1) }}"), ContainsSubstring("is not supported"));
  CHECK_THROWS_WITH(render("{{ 'a'.rjust(3) }}"), "line 1: a text has no 'rjust'");
  CHECK_THROWS_WITH(render("\n{{ '%s' % 1 }}"), "line 2: a text % an integer has no result");
}

TEST_CASE("a template that refuses says why", "[jinja]") {
  CHECK_THROWS_AS(render("{{ raise_exception('no') }}"), InvalidArgument);
  CHECK_THROWS_WITH(render("\n\n{{ raise_exception('Only users!') }}"), "line 3: Only users!");
  CHECK_THROWS_WITH(render("{{ a.b }}"), "line 1: 'a' is undefined");
}

TEST_CASE("what is gone through once in Jinja is not gone through twice", "[jinja]") {
  CHECK(render("{% set g = [1, 2] | map('string') %}{{ g | join(',') }}") == "1,2");
  CHECK_THROWS_WITH(render("{% set g = [1, 2] | map('string') %}{{ g | join }}{{ g | join }}"),
                    ContainsSubstring("gone through twice"));
  CHECK_THROWS_WITH(render("{{ {'a': 1}.items() }}"), ContainsSubstring("has no text"));
  CHECK_THROWS_WITH(render("{{ range(3) }}"), ContainsSubstring("has no text"));
}

TEST_CASE("the date is that which is asked for", "[jinja]") {
  CHECK(render("{{ strftime_now('%d %b %Y, %A, %j') }}") == "09 Mar 2025, Sunday, 068");
  CHECK(render("{{ strftime_now('%-d %B, 100%%, %H:%M:%S.%f%z, %') }}") ==
        "9 March, 100%, 00:00:00.000000, %");
  CHECK(jinja::Template("{{ strftime_now('%Y') }}").render({}, std::nullopt) >= "2025");
}

TEST_CASE("a template that takes up time or memory without end is refused", "[jinja]") {
  const std::string deep(100'000, '(');
  std::string blocks, sum = "1";
  for (int i = 0; i < 100'000; ++i) blocks += "{% if a %}";
  for (int i = 0; i < 100'000; ++i) sum += "+1";
  for (const auto& source : {"{{ " + deep, blocks, "{{ " + sum + " }}"}) {
    CHECK_THROWS_AS(jinja::Template(source), LoadError);
  }
  const std::string forever = "{% for i in range(100000) %}";
  const std::string long_text = "{% set a = 'a' * 20000000 %}";
  const std::string shared_lists =
      "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}"
      "{% set n.b = [n.b, n.b] %}{% endfor %}";
  for (const auto& source : {
           forever + forever + forever + "{% endfor %}{% endfor %}{% endfor %}",
           "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}" + std::string(),
           "{% set n = namespace(a='x') %}" + forever + "{% set n.a = n.a + n.a %}{% endfor %}",
           "{% set n = namespace(a=[1]) %}" + forever + "{% set n.a = n.a + n.a %}{% endfor %}",
           "{% set n = namespace(a=[1]) %}" + forever + "{% set n.a = [n.a] %}{% endfor %}",
           "{% set n = namespace(a=1) %}" + forever + "{% set n.a = [n.a, n.a] %}{% endfor %}",
           "{% set n = namespace(a=1) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}"
           "{% endfor %}{{ n.a }}" +
               std::string(),
           "{% set n = namespace(a=2) %}" + forever + "{% set n.a = n.a * n.a %}{% endfor %}",
           "{{ 'a' * 1000000000 }}" + std::string(),
           "{{ [1] * 1000000000 }}" + std::string(),
           "{{ range(1000000000) }}" + std::string(),
           // Copies, comparisons and searches count too.
           long_text + "{{ a | replace('', a) }}",
           long_text + "{{ ('x\n' * 1000000) | indent(a) }}",
           long_text + "{{ ('{0}' * 1000000).format(a) }}",
           long_text + "{{ range(100000) | join(a) }}",
           long_text + "{{ a.split('a') }}",
           long_text + "{{ a.strip(a) }}",
           long_text + "{{ (a ~ 'b') in (a * 2) }}",
           long_text + "{% set n = namespace(x=[]) %}" + forever +
               "{% set n.x = n.x + [a ~ n.x | length] %}{% endfor %}",
           long_text + "{% set b = a ~ '' %}" + forever + "{% if a == b %}{% endif %}{% endfor %}",
           "{{ range(100000) | unique | list | length }}" + std::string(),
           shared_lists + "{{ n.a == n.b }}",
           shared_lists + "{{ n.a < n.b }}",
           "{% set n = namespace(x=1) %}" + forever + "{% set n.x = {'a': n.x}.get %}{% endfor %}",
       }) {
    INFO(source);
    CHECK_THROWS_AS(render(source), InvalidArgument);
  }
}

}  // namespace
}  // namespace prepack
