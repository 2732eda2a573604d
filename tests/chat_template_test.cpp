#include "prepack/chat_template.h"

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
    for (size_t i = 0; i < data["conversations"].size(); ++i) {
      INFO(entry["name"] << ": " << data["conversations"][i]);
      const auto messages = messages_of(data["conversations"][i]);
      if (entry["prompts"][i].is_null()) {
        CHECK_THROWS_AS(chat.apply(messages), InvalidArgument);
      } else {
        CHECK(chat.apply(messages) == entry["prompts"][i].get<std::string>());
      }
    }
  }
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
  // Every piece of every known source matters or is checked: without it, the same prompts or an
  // error.
  const json data = test_data();
  for (const json& entry : data["templates"]) {
    std::string source = entry["source"];
    if (entry["form"] != "llama3") continue;
    refuse(source + "{{ date_string }}", "current date");
    refuse(source.replace(source.find(" | trim"), 7, ""), "does not write the content so");
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
