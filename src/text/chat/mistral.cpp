#include <fmt/format.h>

#include <optional>
#include <vector>

#include "prepack/error.h"
#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "mistral";
constexpr std::string_view kSystemOpen = "[SYSTEM_PROMPT]";

/// Where a system message goes. Each version of the template has a way of its own.
enum class SystemPlace {
  kNowhere,       // 7B's first: refused, also where the template leaves it out
  kInFirstUser,   // v1: before the content of the first user message
  kInLastUser,    // v3: before that of the last, which must end the conversation
  kTurnOfItsOwn,  // v7: [SYSTEM_PROMPT], wherever it comes
  kFirstTurn,     // Small 3.1: the same, and only where it comes first
};

/// What differs between the versions.
struct Version {
  std::string_view user_open;   // "[INST] "
  std::string_view user_close;  // " [/INST]"
  std::string_view answer_open;
  std::string_view answer_close;  // behind EOS
  bool trims_answers = false;
  bool alternates = false;  // user, assistant, user, ...; others are refused
  SystemPlace system = SystemPlace::kNowhere;
  bool skips_empty_system = false;  // where it has no turn of its own
  std::string_view system_open;
  // The literals of the message that stands where no system message is given, with the date
  // between them.
  std::vector<std::string> default_system;
};

class Mistral : public ChatForm {
 public:
  Mistral(ChatTokens tokens, Version version)
      : tokens_(std::move(tokens)), version_(std::move(version)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& options) const override {
    const bool own_turn = version_.system == SystemPlace::kTurnOfItsOwn;
    const bool first_turn =
        version_.system == SystemPlace::kFirstTurn && messages[0].role == "system";
    const bool joins_user = (version_.system == SystemPlace::kInFirstUser ||
                             version_.system == SystemPlace::kInLastUser) &&
                            messages[0].role == "system";
    const size_t first = first_turn || joins_user ? 1 : 0;
    if (version_.alternates) check_alternation(messages, first);
    const size_t holder = version_.system == SystemPlace::kInFirstUser ? 1 : messages.size() - 1;
    if (joins_user && (holder >= messages.size() || messages[holder].role != "user")) {
      throw InvalidArgument(version_.system == SystemPlace::kInFirstUser
                                ? "a system message needs a user message behind it"
                                : "with a system message the last message must be the user's");
    }
    std::string prompt = tokens_.bos;
    if (!version_.default_system.empty() && messages[0].role != "system") {
      prompt += system_turn(default_system(options));
    }
    if (first_turn) prompt += system_turn(messages[0].content);
    for (size_t i = first; i < messages.size(); ++i) {
      const auto& [role, content] = messages[i];
      if (role == "system") {
        if (content.empty() && version_.skips_empty_system) continue;
        if (!own_turn) fail_role(i, "user\" or \"assistant", role);
        prompt += system_turn(content);
      } else if (role == "assistant") {
        prompt += fmt::format("{}{}{}{}", version_.answer_open,
                              version_.trims_answers ? strip(content) : content, tokens_.eos,
                              version_.answer_close);
      } else {
        const auto system = joins_user && i == holder ? messages[0].content + "\n\n" : "";
        prompt += fmt::format("{}{}{}{}", version_.user_open, system, content, version_.user_close);
      }
    }
    return prompt;
  }

 private:
  std::string system_turn(std::string_view content) const {
    return fmt::format("{}{}[/SYSTEM_PROMPT]", version_.system_open, content);
  }

  std::string default_system(const ChatOptions& options) const {
    const auto date = options.date.value_or(local_date());
    const auto words = date_words(date);
    const auto today =
        fmt::format("{}-{:02}-{}", words.year, static_cast<unsigned>(date.month()), words.day);
    std::string text;
    for (const auto& literal : version_.default_system) {
      text += (&literal == version_.default_system.data() ? "" : today) + literal;
    }
    return text;
  }

  ChatTokens tokens_;
  Version version_;
};

constexpr std::string_view kAlternation =
    "{%if (message.role=='user')!=(loop.index0%2==0)%}{{raise_exception()}}{%endif%}";
/// v3 looks for the order before it writes anything.
constexpr std::string_view kAlternationBefore =
    "{%set ns=namespace()%}{%set ns.index=0%}{%for message in loop_messages%}"
    "{%if (message.role=='user')!=(ns.index%2==0)%}{{raise_exception()}}{%endif%}"
    "{%set ns.index=ns.index+1%}{%endfor%}";
/// Mistral Small 3.1 fills the list whose order it checks in a loop's own scope: it stays empty.
constexpr std::string_view kNoAlternation =
    "{%set filtered_messages=[]%}{%for message in loop_messages%}"
    "{%set filtered_messages=filtered_messages+[message]%}{%endfor%}"
    "{%for message in filtered_messages%}"
    "{%if (message.role=='user')!=(loop.index0%2==0)%}{{raise_exception()}}{%endif%}{%endfor%}";
constexpr std::string_view kFindSystem =
    "{%if messages[0].role=='system'%}{%set system_message=messages[0].content%}"
    "{%set loop_messages=messages[1:]%}{%else%}";

/// The system message of v7 that stands where none is given.
void read_default_system(SourceReader& reader, Version& version) {
  const bool has_date = reader.take("{%set today=strftime_now('%Y-%m-%d')%}");
  if (!reader.take("{%set default_system_message='")) return;
  do {
    version.default_system.push_back(reader.take_literal());
  } while (has_date && reader.take("+today+'"));
  reader.expect("%}", "a system message that is understood");
}

/// What stands before the messages: BOS, and the search for the system message.
/// @return whether a system message that comes first is no longer among the messages
bool read_beginning(SourceReader& reader, Version& version) {
  read_default_system(reader, version);
  const bool has_default = !version.default_system.empty();
  const bool begins_with_bos = reader.take("{{bos_token}}");
  const bool finds_system = reader.take(kFindSystem);
  if (finds_system) {
    if (has_default) reader.expect("{%set system_message=default_system_message%}", "it so");
    reader.expect("{%set loop_messages=messages%}{%endif%}", "all messages");
    version.alternates = !has_default && reader.take(kAlternationBefore);
  }
  if (!begins_with_bos) reader.expect("{{bos_token}}", "BOS first");
  if (!has_default) return finds_system;
  require_template(finds_system && begins_with_bos, kForm, "its own system message so");
  reader.expect("{{'", "the system message so");
  version.system_open = kSystemOpen;
  reader.expect(fmt::format("{}'+system_message+'[/SYSTEM_PROMPT]'}}}}", kSystemOpen),
                "the system message so");
  reader.take(kNoAlternation);
  return true;
}

void read_user_turns(SourceReader& reader, bool finds_system, Version& version) {
  // A default stands in a turn of its own.
  const bool joins = finds_system && version.default_system.empty();
  reader.expect("{%if message.role=='user'%}", "user messages so");
  if (joins) {
    const bool in_first = reader.take("{%if loop.first and system_message is defined%}");
    if (!in_first) {
      reader.expect("{%if loop.last and system_message is defined%}", "the system message there");
    }
    version.system = in_first ? SystemPlace::kInFirstUser : SystemPlace::kInLastUser;
  }
  for (const std::string_view open : {"[INST] ", "[INST]", " [INST] "}) {
    for (const std::string_view close : {" [/INST]", "[/INST]"}) {
      const auto turn = [&](std::string_view system) {
        return fmt::format("{{{{'{}'+{}message.content+'{}'}}}}", open, system, close);
      };
      const bool is_so =
          joins
              ? reader.take(turn("system_message+'\\n\\n'+") + "{%else%}" + turn("") + "{%endif%}")
              : reader.take(turn(""));
      if (!is_so) continue;
      version.user_open = open;
      version.user_close = close;
      return;
    }
  }
  reader.fail("user messages so");
}

/// @return whether all that is not the user's is written as an answer
bool read_answers(SourceReader& reader, Version& version) {
  const bool is_any = reader.take("{%else%}");
  if (!is_any) reader.expect("{%elif message.role=='assistant'%}", "assistant messages so");
  for (const std::string_view open : {"", " "}) {
    for (const std::string_view trim : {"", "|trim"}) {
      for (const std::string_view close : {"", " "}) {
        const auto before = open.empty() ? "" : fmt::format("'{}'+", open);
        const auto behind = close.empty() ? "" : fmt::format("+'{}'", close);
        if (!reader.take(
                fmt::format("{{{{{}message.content{}+eos_token{}}}}}", before, trim, behind))) {
          continue;
        }
        version.answer_open = open;
        version.answer_close = close;
        version.trims_answers = !trim.empty();
        return is_any;
      }
    }
  }
  reader.fail("assistant messages so");
}

void read_system_turns(SourceReader& reader, Version& version) {
  if (!reader.take("{%elif message.role=='system'%}")) return;
  for (const std::string_view open : {"[SYSTEM_PROMPT] ", "[SYSTEM_PROMPT]"}) {
    const bool differs = !version.system_open.empty() && version.system_open != open;
    if (differs ||
        !reader.take(fmt::format("{{{{'{}'+message.content+'[/SYSTEM_PROMPT]'}}}}", open))) {
      continue;
    }
    version.system = SystemPlace::kTurnOfItsOwn;
    version.system_open = open;
    return;
  }
  reader.fail("system messages so");
}

}  // namespace

ChatFormPtr recognise_mistral(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("[INST]") || source.has("<<SYS>>")) return nullptr;
  SourceReader reader(source, kForm);
  Version version;
  const bool finds_system = read_beginning(reader, version);
  reader.expect(finds_system ? "{%for message in loop_messages%}" : "{%for message in messages%}",
                "all messages");
  if (reader.take(kAlternation)) version.alternates = true;
  read_user_turns(reader, finds_system, version);
  read_system_turns(reader, version);
  const bool answers_others = read_answers(reader, version);
  const bool refuses_others = !answers_others && reader.take("{%else%}{{raise_exception()}}");
  reader.expect("{%endif%}{%endfor%}", "messages so");
  reader.expect_end();
  const bool is_turn = version.system == SystemPlace::kTurnOfItsOwn;
  if (!version.default_system.empty() && !is_turn) version.system = SystemPlace::kFirstTurn;
  version.skips_empty_system =
      !is_turn && !answers_others && !refuses_others && !version.alternates;
  return std::make_shared<Mistral>(tokens, std::move(version));
}

}  // namespace prepack::text
