#include "prepack/chat_template.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "prepack/error.h"
#include "support/catch.h"
#include "text/chat/plain_text.h"
#include "text/tokenizer_file.h"

// The expected prompts were rendered by transformers (scripts/make_chat_template_data.py).

namespace prepack {
namespace {

using nlohmann::json;

json test_data() {
  return text::read_json(std::filesystem::path(PREPACK_SOURCE_DIR) / "tests" / "data" /
                         "chat_templates.json");
}

std::vector<ChatMessage> messages_of(const json& conversation) {
  std::vector<ChatMessage> messages;
  for (const auto& [role, content] :
       conversation.get<std::vector<std::pair<std::string, std::string>>>()) {
    messages.push_back({role, content});
  }
  return messages;
}

/// {"date": "2025-03-09" or null, "enable_thinking": true}
ChatOptions options_of(const json& options) {
  ChatOptions result{.enable_thinking = options["enable_thinking"]};
  if (options["date"].is_null()) return result;
  const std::string date = options["date"];
  result.date = std::chrono::year(std::stoi(date.substr(0, 4))) /
                static_cast<unsigned>(std::stoi(date.substr(5, 2))) /
                static_cast<unsigned>(std::stoi(date.substr(8, 2)));
  return result;
}

/// null: the conversation is refused.
void check_prompt(const ChatTemplate& chat, const json& conversation, const ChatOptions& options,
                  const json& expected) {
  INFO(conversation);
  const auto messages = messages_of(conversation);
  if (expected.is_null()) {
    CHECK_THROWS_AS(chat.apply(messages, options), InvalidArgument);
  } else {
    CHECK(chat.apply(messages, options) == expected.get<std::string>());
  }
}

/// A folder of its own for one test, removed at the end.
struct TemporaryFolder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("prepack_chat_template_" + std::to_string(reinterpret_cast<uintptr_t>(this)));
  TemporaryFolder() { std::filesystem::create_directories(path); }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  void write(const char* name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }
};

const char* const kPlainChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{{ '<|im_start|>assistant\\n' }}";

TEST_CASE("conversations are written as transformers writes them", "[chat_template]") {
  const json data = test_data();
  for (const json& entry : data["templates"]) {
    const auto chat =
        ChatTemplate::recognise(entry["source"].get<std::string>(), entry["bos"], entry["eos"]);
    CHECK(chat.name() == entry["form"].get<std::string>());
    INFO(entry["name"]);
    const auto options = entry.contains("options") ? options_of(entry["options"]) : ChatOptions{};
    for (size_t i = 0; i < data["conversations"].size(); ++i) {
      check_prompt(chat, data["conversations"][i], options, entry["prompts"][i]);
    }
    for (const json& other : entry.value("cases", json::array())) {
      INFO(other["options"]);
      check_prompt(chat, other["conversation"], options_of(other["options"]), other["prompt"]);
    }
  }
}

TEST_CASE("templates that write today's date do so where none is given", "[chat_template]") {
  const json data = test_data();
  const std::vector<ChatMessage> messages = {{"user", "Hello"}};
  for (const json& entry : data["templates"]) {
    if (!entry.contains("options") || entry["options"]["date"].is_null()) continue;
    const auto chat = ChatTemplate::recognise(entry["source"].get<std::string>());
    const auto today = [] {
      const std::time_t now = std::time(nullptr);
      std::tm local{};
      localtime_r(&now, &local);
      return std::chrono::year(local.tm_year + 1900) / (local.tm_mon + 1) / local.tm_mday;
    };
    const auto before = chat.apply(messages, {.date = today()});
    const auto written = chat.apply(messages);
    const auto after = chat.apply(messages, {.date = today()});
    CHECK((written == before || written == after));  // midnight may come between
    CHECK(written != chat.apply(messages, {.date = std::chrono::year(2001) / 2 / 3}));
  }
  const auto bad = std::chrono::year(2001) / 2 / 30;
  const auto smollm3 = std::ranges::find_if(
      data["templates"], [](const json& entry) { return entry["form"] == "smollm3"; });
  REQUIRE(smollm3 != data["templates"].end());
  const auto chat = ChatTemplate::recognise((*smollm3)["source"].get<std::string>());
  CHECK_THROWS_AS(chat.apply(messages, {.date = bad}), InvalidArgument);
}

TEST_CASE("a conversation that cannot be written says which message", "[chat_template]") {
  const auto chat = ChatTemplate::recognise(kPlainChatMl);
  CHECK_THROWS_AS(chat.apply({}), InvalidArgument);
  CHECK_THROWS_WITH(chat.apply(std::vector<ChatMessage>{{"user", "a"}, {"tool", "b"}}),
                    ContainsSubstring("message 1: ") && ContainsSubstring("got \"tool\""));
  CHECK_THROWS_WITH(chat.apply(std::vector<ChatMessage>{{"user", "a\xFF"}}),
                    "message 0: not valid UTF-8 at byte 1");
}

TEST_CASE("a template of an unknown form is refused with the reason", "[chat_template]") {
  const auto refuse = [](const std::string& source, const std::string& reason) {
    CHECK_THROWS_WITH(ChatTemplate::recognise(source), ContainsSubstring(reason));
    CHECK_THROWS_AS(ChatTemplate::recognise(source), LoadError);
  };
  refuse("", "is of no known form");
  refuse("{{ messages }}", "is of no known form");
  refuse(std::string(kPlainChatMl) + "{{ strftime_now('%d') }}", "current date");
  refuse(std::string(kPlainChatMl) + "{% if enable_thinking %}", "hidden reasoning");
  refuse(std::string(kPlainChatMl) + "{{ message['content'] | trim }}", "differently");
  refuse("{{ '<|im_start|>' }}", "does not write the role so");
  const json data = test_data();
  for (const json& entry : data["templates"]) {
    std::string source = entry["source"];
    if (entry["form"] != "llama3") continue;
    refuse(source + "{{ date_string }}", "current date");
    refuse(source.replace(source.find(" | trim"), 7, ""), "does not write the content so");
  }
}

TEST_CASE("a template that writes a little differently is refused", "[chat_template]") {
  // What each form writes, with one piece of it changed.
  const std::map<std::string, std::vector<std::pair<std::string, std::string>>> changes = {
      {"Mistral 7B v0.3",
       {{"loop.last and system", "loop.index0 == 2 and system"},
        {"\\n\\n\" + message[\"content\"]", "\\n\" + message[\"content\"]"},
        {"|trim + eos_token", "|upper + eos_token"},
        {"\"[INST] \" + message", "\"[INST]: \" + message"},
        {"{{- bos_token }}", ""}}},
      {"Mistral 7B v0.2, with a system message", {{"{{- ' [INST] '", "{{ ' [INST] '"}}},
      {"Mistral Nemo", {{"message[\"content\"] + eos", "message[\"content\"]|trim|upper + eos"}}},
      {"Mistral Large 2411", {{"'[SYSTEM_PROMPT] ' +", "'[SYSTEM_PROMPT]  ' +"}}},
      {"Mistral Small 3",
       {{"%Y-%m-%d", "%d.%m.%Y"},
        {"\" + today + \"", "\" + yesterday + \""},
        {"= default_system_message", "= \"\""}}},
      {"Llama 3.1",
       {{"December 2023", "December 2024"},
        {"message['content'] | trim", "message['content']"},
        {"\"Today Date: \"", "\"Date: \""},
        {"{%- set date_string = \"26 Jul 2024\" %}", ""},
        {"{{- bos_token }}", ""}}},
      {"Llama 3.2",
       {{"%d %b %Y", "%d %B %Y"}, {"if strftime_now is defined", "if today is defined"}}},
      {"Phi-3 mini",
       {{"'<|user|>\n'", "'<|user|>'"},
        {"message['content'] + '<|end|>", "message['content'] | trim + '<|end|>"},
        {"%}{{'<|user|>", "%}\n  {{'<|user|>"},
        {"'<|end|>\n'}}{% elif", "'<|end|>\n'}}\n{% elif"},
        {"{{ '<|assistant|>\n' }}", ""}}},
      {"Phi-3 small", {{"+ '|>' + '\n'", "+ '|>'"}, {"{{ bos_token }}", "{{ bos_token + '\n' }}"}}},
      {"Phi-3, laid out over lines", {{"{{- '<|user|>", "{{ '<|user|>"}, {" -}}\n", " }}\n"}}},
      {"Phi-3 mini, first, with system messages",
       {{"== 'system'", "in ['system', 'user']"}, {"'<|system|>'", "'<|user|>'"}}},
      {"Phi-4 mini", {{"'|>' + message", "'|>\n' + message"}, {"{% endfor %}", "{% endfor %} "}}},
      {"Phi-4 mini reasoning",
       {{"%} {{ message", "%}{{ message"},
        {"%} {{ message", "%}  {{ message"},
        {"is Phi", "isn\\'t Phi"},
        {"{{ '<|end|>' }}", "{{ '<|end|>' }} "}}},
      {"Phi-4",
       {{"user<|im_sep|>", "user<|im_sep|>\n"},
        {"system<|im_sep|>", "system<|im_sep|>\n"},
        {"message['content'] + '<|im_end|>", "message['content'] | trim + '<|im_end|>"},
        {"{% endfor %}", "{% endfor %} "},
        {"{% if add", "{{ eos_token }}{% if add"},
        {"{{ '<|im_start|>assistant<|im_sep|>' }}", ""}}},
      {"Phi-4, first",
       {{"message['content'] + '<|im_end|>'}}{% endif", "message['content']}}{% endif"},
        {"<|im_end|><|im_start|>", "<|im_end|>\n<|im_start|>"}}},
      {"Phi-4 reasoning",
       {{".<|im_end|>", ".<|im_end|>\n"},
        {"system<|im_sep|>", "system<|im_sep|>{{ bos_token }}"},
        {"== 'user'", "!= 'system'"},
        {"{% generation %}", "{% generation %}{{ '<think>' }}"}}},
      {"Llama 2",
       {{"system_message = false %}", "system_message = 'Be kind.' %}"},
        {"{% for", "{% set system_message = 'Be kind.' %}{% for"}}},
      {"Mistral Small 3.1",
       {{"[/SYSTEM_PROMPT]' }}", "[/SYSTEM_PROMPT]' }}{{ '[SYSTEM_PROMPT]' }}"},
        {"{{- bos_token }}", ""},
        {"messages[1:]", "messages"},
        {"= default_system_message", "= \"\""}}},
      {"QwQ",
       {{"[-1].lstrip", "[1].lstrip"},
        {"<think>\\n' }}", "<think>' }}"},
        {"not loop.first", "loop.last"},
        {"{%- if add", "{%- if enable_thinking and add"}}},
      {"Qwen3 2507, instruct",
       {{"+ content + '<|im_end|>' + '\\n'", "+ content + '<|im_end|>'"},
        {"assistant\\n'", "assistant\\n<think>'"},
        {"'\\n' + content }}", "'\\n' + content | trim }}"},
        {"{%- for message in messages",
         "{{- '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{%- for message in messages"},
        {"not loop.first", "loop.last"}}},
      {"Qwen3 2507, thinking", {{"<think>\\n' }}", "<think>' }}"}, {"add_gen", "not add_gen"}}},
      {"Yi 1.5",
       {{"{{ system_message }}", "{{ system_message + '\\n' }}"},
        {"== 'user'", "!= 'assistant'"},
        {"content + '<|im_end|>' +", "content +"},
        {"{% if messages", "{% set system_message = 'Be kind.' %}{% if messages"},
        {"{% endfor %}", "{% endfor %} "}}},
      {"Qwen3",
       {{"loop.index0 > ns.last", "loop.index0 >= ns.last"},
        {"loop.last or (not", "(not"},
        {"[-1].lstrip", "[1].lstrip"},
        {"'<think>\\n\\n</think>\\n\\n'", "'<think></think>'"}}},
      {"SmolLM3",
       {{"June 2025", "June 2026"},
        {"%d %B %Y", "%Y"},
        {".replace(\"/think\", \"\")", ""},
        {"enable_thinking = true", "enable_thinking = false"},
        {"</think>\\n\" + content", "</think>\" + content"},
        {"{%- elif reasoning_mode", "{%- elif not reasoning_mode"}}},
  };
  size_t num_changed = 0;
  const json data = test_data();
  for (const json& entry : data["templates"]) {
    const auto found = changes.find(entry["name"]);
    if (found == changes.end()) continue;
    for (const auto& [piece, other] : found->second) {
      INFO(entry["name"] << ": " << piece);
      std::string source = entry["source"];
      REQUIRE(source.find(piece) != std::string::npos);
      for (size_t at = 0; (at = source.find(piece, at)) != std::string::npos; at += other.size()) {
        source.replace(at, piece.size(), other);
      }
      CHECK_THROWS_AS(ChatTemplate::recognise(source), LoadError);
    }
    ++num_changed;
  }
  CHECK(num_changed == changes.size());
}

TEST_CASE("a template that writes more than its form is refused", "[chat_template]") {
  const auto refuse = [](const std::string& source) {
    INFO(source);
    CHECK_THROWS_AS(ChatTemplate::recognise(source, "<s>", "</s>"), LoadError);
  };
  const auto change = [](std::string source, const std::string& piece, const std::string& other) {
    for (size_t at = 0; (at = source.find(piece, at)) != std::string::npos; at += other.size()) {
      source.replace(at, piece.size(), other);
    }
    return source;
  };
  // Each is in some of the published templates, and decides what they write.
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"for message in messages %}", "for message in messages[:2] %}"},
      {"for message in messages %}", "for message in messages if message['role'] != 'system' %}"},
      {"for message in messages -%}", "for message in messages if message.role != 'system' -%}"},
      {"for message in loop_messages %}", "for message in loop_messages[:2] %}"},
      {"{%- endfor %}", "{{- eos_token }}{%- endfor %}"},
      {"{% endfor %}", "{{ eos_token }}{% endfor %}"},
      {"{%- endfor %}", "{%- endfor %}x"},
      {"{% endfor %}", "{% endfor %}x"},
      {"{%- if add_generation_prompt", "{%- if not add_generation_prompt"},
      {"{% if add_generation_prompt", "{% if not add_generation_prompt"},
      {"'<|im_end|>' + '\\n'", "'<|im_end|>'"},
      {"'<|im_end|>' + '\n'", "'<|im_end|>'"},
      {"'<|end|>\n'", "'<|end|>'"},
      {"<|end_header_id|>\\n\\n", "<|end_header_id|>\\n"},
      {"<|end_header_id|>\n\n", "<|end_header_id|>\n"},
      {"loop.index0", "loop.index"},
      {"== 'assistant'", "== 'model'"},
      {"== \"assistant\"", "== \"model\""},
  };
  const json data = test_data();
  std::vector<size_t> num_changed(changes.size());
  for (const json& entry : data["templates"]) {
    INFO(entry["name"]);
    const std::string source = entry["source"];
    const std::string whole = source.substr(0, source.find_last_not_of('\n') + 1);
    refuse(whole + "{{ '<think>' }}");
    refuse(whole + "{% if messages %}{{ '<think>' }}{% endif %}");
    refuse(whole + "x");
    refuse("x" + source);
    refuse("{{ '<s>' }}" + source);
    refuse("{{ 'Be kind.' }}" + source);
    refuse("{% set messages = messages[:2] %}" + source);
    refuse("{% set add_generation_prompt = false %}" + source);
    for (size_t i = 0; i < changes.size(); ++i) {
      const auto changed = change(source, changes[i].first, changes[i].second);
      if (changed == source) continue;
      refuse(changed);
      ++num_changed[i];
    }
    // Without the minus, what lies between the tags is written.
    const auto spaced = change(source, "{{-", "{{");
    if (text::writes_plain_text(spaced) && !text::writes_plain_text(source)) refuse(spaced);
    const auto lines = change(change(source, "%}{", "%}\n{"), "}}{", "}}\n{");
    if (text::writes_plain_text(lines) && !text::writes_plain_text(source)) refuse(lines);
  }
  CHECK(std::ranges::find(num_changed, 0) == num_changed.end());

  const std::string plain = kPlainChatMl;
  refuse(change(plain, "{% for", "{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{% for"));
  refuse(change(plain, "{% for", "{{ bos_token }}{% for"));
  refuse(change(plain, "{% endfor", "{% if loop.last %}{{ eos_token }}{% endif %}{% endfor"));
}

TEST_CASE("what no conversation reaches of a template does not matter", "[chat_template]") {
  const std::vector<ChatMessage> messages = {{"user", "a"}};
  const std::string plain = kPlainChatMl;
  for (const auto& source : {
           "{% if tools %}{{ tools | tojson }}\n text {% else %}" + plain + "{% endif %}",
           "{% if tools is not none and messages %}{{ 'x' }}{% endif %}" + plain,
           "{%- if not tools is defined %}{%- set tools = none %}{%- endif %}" + plain,
           "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"
           "{% endif %}" +
               plain,
           "{# a comment #}\n{% set unread = messages | length %}" + plain,
       }) {
    INFO(source);
    const auto chat = ChatTemplate::recognise(source);
    CHECK(chat.apply(messages) == ChatTemplate::recognise(plain).apply(messages));
  }
  for (const auto& source : {
           "{% if tools or messages %}{{ 'x' }}{% endif %}" + plain,
           "{% if not (tools and messages) %}{{ 'x' }}{% endif %}" + plain,
           "{% if 'x' if messages else tools %}{{ 'x' }}{% endif %}" + plain,
           "{% set tools = messages %}{% if tools %}{{ 'x' }}{% endif %}" + plain,
           "{% if tools %}" + plain,
           plain + "{% else %}",
           plain + "{% endif %}",
       }) {
    INFO(source);
    CHECK_THROWS_AS(ChatTemplate::recognise(source), LoadError);
  }
}

TEST_CASE("a template of very deep branches or brackets is refused", "[chat_template]") {
  std::string branches, brackets;
  for (int i = 0; i < 100'000; ++i) {
    branches += "{% if a %}";
    brackets += '(';
  }
  for (const auto& source : {branches, "{% if " + brackets + " %}" + kPlainChatMl}) {
    CHECK_THROWS_AS(ChatTemplate::recognise(source), LoadError);
  }
}

TEST_CASE("text between the tags is found as Jinja writes it", "[chat_template]") {
  for (const auto* source :
       {"", "\n", "{{ a }}", "{% a %}\n", "{% a %}\n{% b %}\n\n", "  {% a %}\n  {% b %}",
        "{# a #}\n{{ b }}", "{% a -%}  {{ b }}", "{{ a -}} \n {{ b }}", "{% a %}\n  {{- b }}",
        "{{ '}} {{' }}", "{{ '\\' }}' }}{{ b }}", "{{ a }}\r\n", "{% a %}\r\n{{ b }}"}) {
    INFO(source);
    CHECK_FALSE(text::writes_plain_text(source));
  }
  for (const auto* source :
       {" ", "a", "{{ a }}\n{% b %}", "{% a %} {{ b }}", "{% a %}\n {{ b }}", "{% a %}\n\n{% b %}",
        "{{ a }}  {% b %}", "{% a %} {% b %}", "{% a %}\n  {%+ b %}", "{% a +%}\n{% b %}",
        "{{ a }}\n{{- b }}c", "{{ a }}\n\n", "{# a #} {{ b }}"}) {
    INFO(source);
    CHECK(text::writes_plain_text(source));
  }
}

TEST_CASE("a folder's template is found in either file", "[chat_template]") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(load_chat_template(folder.path), LoadError);
  folder.write("tokenizer_config.json", R"({"bos_token": null})");
  CHECK_THROWS_WITH(load_chat_template(folder.path), ContainsSubstring("has no chat_template"));

  json config = {{"chat_template", kPlainChatMl}, {"eos_token", {{"content", "</s>"}}}};
  folder.write("tokenizer_config.json", config.dump());
  CHECK(load_chat_template(folder.path).name() == "chatml");

  config["chat_template"] = {{{"name", "tool_use"}, {"template", "x"}},
                             {{"name", "default"}, {"template", kPlainChatMl}}};
  folder.write("tokenizer_config.json", config.dump());
  CHECK(load_chat_template(folder.path).name() == "chatml");

  config["chat_template"].erase(1);
  folder.write("tokenizer_config.json", config.dump());
  CHECK_THROWS_AS(load_chat_template(folder.path), LoadError);

  folder.write("chat_template.jinja", kPlainChatMl);
  CHECK(load_chat_template(folder.path).name() == "chatml");
  folder.write("chat_template.jinja", "nothing");
  CHECK_THROWS_WITH(load_chat_template(folder.path), ContainsSubstring("chat_template.jinja: "));
}

}  // namespace
}  // namespace prepack
