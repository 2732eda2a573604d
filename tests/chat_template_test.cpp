#include "prepack/chat_template.h"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "prepack/error.h"
#include "support/catch.h"
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

/// {"date": "2025-03-09", "enable_thinking": false}, of which each may be null
ChatOptions options_of(const json& options) {
  ChatOptions result;
  if (!options["enable_thinking"].is_null()) result.enable_thinking = options["enable_thinking"];
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
    const ChatTemplate chat(entry["source"].get<std::string>(),
                            {{"bos_token", entry["bos"]}, {"eos_token", entry["eos"]}});
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
    const ChatTemplate chat(entry["source"].get<std::string>());
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
  const ChatTemplate chat("{{ strftime_now('%d') }}{{ messages[0].content }}");
  CHECK_THROWS_AS(chat.apply(messages, {.date = std::chrono::year(2001) / 2 / 30}),
                  InvalidArgument);
}

TEST_CASE("a conversation that cannot be written says which message", "[chat_template]") {
  const ChatTemplate chat(kPlainChatMl);
  CHECK_THROWS_AS(chat.apply({}), InvalidArgument);
  CHECK_THROWS_WITH(chat.apply(std::vector<ChatMessage>{{"user", "a"}, {"tool", "b"}}),
                    ContainsSubstring("message 1: ") && ContainsSubstring("got \"tool\""));
  CHECK_THROWS_WITH(chat.apply(std::vector<ChatMessage>{{"user", "a\xFF"}}),
                    "message 0: not valid UTF-8 at byte 1");
}

TEST_CASE("a conversation longer than any prompt is refused", "[chat_template]") {
  const ChatTemplate chat(kPlainChatMl);
  const ChatMessage message{"user", std::string(size_t{65} << 20, 'a')};
  CHECK_THROWS_AS(chat.apply({&message, 1}), InvalidArgument);
}

TEST_CASE("a template that refuses a conversation is quoted", "[chat_template]") {
  const ChatTemplate chat(
      "{% for message in messages %}\n{% if message.role == 'system' %}\n"
      "{{ raise_exception('No system messages, please!') }}{% endif %}{{ message.content }}{% endfor %}");
  const auto apply = [&](const char* role) {
    const ChatMessage message{role, "a"};
    return chat.apply({&message, 1});
  };
  CHECK(apply("user") == "a");
  CHECK_THROWS_AS(apply("system"), InvalidArgument);
  CHECK_THROWS_WITH(apply("system"), "the chat template, line 3: No system messages, please!");
}

TEST_CASE("a template that leaves a message out is refused", "[chat_template]") {
  const std::vector<ChatMessage> messages = {
      {"system", "s"}, {"user", "u"}, {"assistant", "<think>r</think>a"}, {"user", "v"}};
  const auto refuses = [&](const std::string& source, const std::string& index) {
    INFO(source);
    CHECK_THROWS_WITH(
        ChatTemplate(source).apply(messages),
        ContainsSubstring("message " + index + ": ") && ContainsSubstring("leaves out a message"));
  };
  const std::string all = "{% for m in messages %}";
  refuses(all + "{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}", "0");
  refuses("{{ messages[0].content }}{{ messages[1:3] }}", "3");
  refuses(
      "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join }}",
      "0");
  refuses(all + "{{ m.role }}{% if not loop.last %}{{ m.content | length }}{% endif %}{% endfor %}",
          "0");
  // That it cuts reasoning off, or writes a message elsewhere, is its right.
  for (const auto& source : {all + "{{ m.content.split('</think>')[-1] }}{% endfor %}",
                             all + "{{ m.content.split('<think>')[0] }}{% endfor %}",
                             all + "{{ m.content | tojson(ensure_ascii=true) }}{% endfor %}",
                             std::string("{% for m in messages[1:] %}{{ m.content }}{% endfor %}"
                                         "{{ messages[0].content | upper }}")}) {
    INFO(source);
    CHECK_NOTHROW(ChatTemplate(source).apply(messages));
  }
  // An empty message has nothing to lose.
  const ChatTemplate drops_system("{{ messages[1].content }}");
  CHECK(drops_system.apply(std::vector<ChatMessage>{{"system", ""}, {"user", "u"}}) == "u");
}

TEST_CASE("a template knows what transformers lets it know", "[chat_template]") {
  const ChatMessage message{"user", "a"};
  const auto apply = [&](const std::string& source, const ChatOptions& options = {}) {
    return ChatTemplate(source + "{{ messages[0].content }}", {{"bos_token", "<s>"}})
        .apply({&message, 1}, options);
  };
  CHECK(apply("{{ bos_token }}{{ eos_token }}") == "<s>a");
  CHECK(apply("{{ eos_token is defined }}") == "Falsea");
  CHECK_THROWS_AS(ChatTemplate("", {{"bos_token", "\xF0"}}), LoadError);
  CHECK(apply("{{ tools is none }}{{ documents is none }}") == "TrueTruea");
  CHECK(apply("{{ add_generation_prompt }}") == "Truea");
  CHECK(apply("{{ enable_thinking is defined }}") == "Falsea");
  CHECK(apply("{{ enable_thinking }}", {.enable_thinking = false}) == "Falsea");
  CHECK(apply("{{ enable_thinking }}", {.enable_thinking = true}) == "Truea");
  CHECK(apply("{{ date_string is defined }}") == "Falsea");
  const auto date = std::chrono::year(2025) / 3 / 9;
  CHECK(apply("{{ date_string }}", {.date = date}) == "09 Mar 2025a");
}

TEST_CASE("a folder's template is found in either file", "[chat_template]") {
  const TemporaryFolder folder;
  const ChatMessage message{"user", "a"};
  const auto written = [&] { return load_chat_template(folder.path).apply({&message, 1}); };
  const std::string plain = ChatTemplate(kPlainChatMl).apply({&message, 1});
  CHECK_THROWS_AS(load_chat_template(folder.path), LoadError);
  folder.write("tokenizer_config.json", R"({"bos_token": null})");
  CHECK_THROWS_WITH(load_chat_template(folder.path), ContainsSubstring("has no chat_template"));

  json config = {{"chat_template", kPlainChatMl}, {"eos_token", {{"content", "</s>"}}}};
  folder.write("tokenizer_config.json", config.dump());
  CHECK(written() == plain);

  config["chat_template"] = {{{"name", "tool_use"}, {"template", "x"}},
                             {{"name", "default"}, {"template", kPlainChatMl}}};
  folder.write("tokenizer_config.json", config.dump());
  CHECK(written() == plain);

  config["chat_template"].erase(1);
  folder.write("tokenizer_config.json", config.dump());
  CHECK_THROWS_AS(load_chat_template(folder.path), LoadError);

  folder.write("chat_template.jinja", kPlainChatMl);
  CHECK(written() == plain);
  folder.write("chat_template.jinja", "\n{% if %}");
  CHECK_THROWS_WITH(load_chat_template(folder.path),
                    ContainsSubstring("chat_template.jinja: the chat template, line 2: expected"));

  folder.write("chat_template.jinja", "{{ bos_token }}{{ eos_token }}{{ messages[0].content }}");
  config["bos_token"] = "<s>";
  folder.write("tokenizer_config.json", config.dump());
  CHECK(written() == "<s></s>a");
}

}  // namespace
}  // namespace prepack
