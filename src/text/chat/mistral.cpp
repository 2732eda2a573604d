#include <fmt/format.h>

#include <optional>
#include <vector>

#include "prepack/error.h"
#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "mistral";

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
  bool alternates = true;  // user, assistant, user, ...; others are refused
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

void read_user_turns(const ChatSource& source, Version& version) {
  for (const std::string_view open : {"[INST] ", "[INST]", " [INST] "}) {
    for (const std::string_view close : {" [/INST]", "[/INST]"}) {
      if (!source.writes_content(fmt::format("'{}'+", open), fmt::format("+'{}'", close))) continue;
      version.user_open = open;
      version.user_close = close;
      return;
    }
  }
  require_template(false, kForm, "user messages so");
}

void read_answers(const ChatSource& source, Version& version) {
  for (const std::string_view open : {"", " "}) {
    for (const std::string_view trim : {"", "|trim"}) {
      for (const std::string_view close : {"", " "}) {
        const auto before = open.empty() ? "" : fmt::format("'{}'+", open);
        const auto behind = close.empty() ? "" : fmt::format("+'{}'", close);
        if (!source.writes_content(before, fmt::format("{}+eos_token{}", trim, behind))) continue;
        version.answer_open = open;
        version.answer_close = close;
        version.trims_answers = !trim.empty();
        return;
      }
    }
  }
  require_template(false, kForm, "assistant messages so");
}

/// The system message of v7 that stands where none is given.
void read_default_system(const ChatSource& source, Version& version) {
  constexpr std::string_view kVariable = "set default_system_message =";
  if (!source.has("default_system_message")) return;
  const size_t at = source.raw().find(kVariable);
  const auto literals = at == std::string_view::npos
                            ? std::nullopt
                            : parse_literals(source.raw().substr(at + kVariable.size()), "today");
  require_template(literals.has_value(), kForm, "a system message that is understood");
  if (literals->size() > 1) {
    source.require(kForm, "{%-settoday=strftime_now('%Y-%m-%d')%}", "the date so");
  }
  const auto sets_system = [&](std::string_view given) {
    return source.has_compact(
        fmt::format("{{%-ifmessages[0]['role']=='system'%}}{}{{%-else%}}"
                    "{{%-setsystem_message=default_system_message%}}"
                    "{{%-setloop_messages=messages%}}{{%-endif%}}",
                    given));
  };
  constexpr std::string_view kGiven =
      "{%-setsystem_message=messages[0]['content']%}{%-setloop_messages=messages[1:]%}";
  // Of models that see images, whose contents may be lists.
  constexpr std::string_view kGivenOrListed =
      "{%-ifmessages[0]['content']isstring%}{%-setsystem_message=messages[0]['content']%}{%-else%}"
      "{%-setsystem_message=messages[0]['content'][0]['text']%}{%-endif%}"
      "{%-setloop_messages=messages[1:]%}";
  constexpr std::string_view kEitherGivenOrListed =
      "{%-ifmessages[0]['content']isstring%}{%-setsystem_message=messages[0]['content']%}"
      "{%-setloop_messages=messages[1:]%}{%-else%}"
      "{%-setsystem_message=messages[0]['content'][0]['text']%}"
      "{%-setloop_messages=messages[1:]%}{%-endif%}";
  require_template(
      sets_system(kGiven) || sets_system(kGivenOrListed) || sets_system(kEitherGivenOrListed),
      kForm, "its own system message so");
  source.require(
      kForm, fmt::format("{{{{-'{}'+system_message+'[/SYSTEM_PROMPT]'}}}}", version.system_open),
      "the system message so");
  const auto compact = source.compact();
  require_template(compact.find("bos_token") < compact.find("[/SYSTEM_PROMPT]"), kForm,
                   "BOS before the system message");
  version.default_system = *literals;
}

void read_system(const ChatSource& source, Version& version) {
  if (source.has("[SYSTEM_PROMPT]")) {
    constexpr std::string_view kClose = "+'[/SYSTEM_PROMPT]'";
    for (const std::string_view open : {"[SYSTEM_PROMPT] ", "[SYSTEM_PROMPT]"}) {
      if (source.writes_content(fmt::format("'{}'+", open), kClose)) {
        version.system = SystemPlace::kTurnOfItsOwn;
        version.system_open = open;
      }
    }
    constexpr std::string_view kFirstOpen = "[SYSTEM_PROMPT]";
    const bool is_only_one = source.raw().find(kFirstOpen) == source.raw().rfind(kFirstOpen);
    if (is_only_one && source.has("default_system_message") &&
        source.writes(fmt::format("'{}'+system_message{}", kFirstOpen, kClose))) {
      version.system = SystemPlace::kFirstTurn;
      version.system_open = kFirstOpen;
    }
    require_template(!version.system_open.empty(), kForm, "system messages so");
    read_default_system(source, version);
    return;
  }
  source.refuse(kForm, "strftime_now", "it writes the current date, which is not supported");
  if (!source.has("system_message")) {
    source.refuse(kForm, "'system'", "its system message is not understood");
    source.refuse(kForm, "\"system\"", "its system message is not understood");
    return;
  }
  source.require(kForm,
                 "{%-setsystem_message=messages[0]['content']%}{%-setloop_messages=messages[1:]%}",
                 "the system message so");
  require_template(
      source.writes_content(fmt::format("'{}'+system_message+'\\n\\n'+", version.user_open),
                            fmt::format("+'{}'", version.user_close)),
      kForm, "the system message so");
  const bool in_first = source.has_compact("{%-ifloop.firstandsystem_messageisdefined%}");
  const bool in_last = source.has_compact("{%-ifloop.lastandsystem_messageisdefined%}");
  require_template(in_first != in_last, kForm, "the system message there");
  version.system = in_first ? SystemPlace::kInFirstUser : SystemPlace::kInLastUser;
}

}  // namespace

ChatFormPtr recognise_mistral(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("[INST]") || source.has("<<SYS>>")) return nullptr;
  require_template(source.writes("bos_token"), kForm, "BOS first");
  source.refuse_plain_text(kForm);
  Version version;
  read_user_turns(source, version);
  read_answers(source, version);
  read_system(source, version);
  // Mistral Small 3.1 fills the list whose order it checks in a loop's own scope: it stays empty.
  version.alternates = source.has("must alternate") &&
                       !source.has_compact("{%-setfiltered_messages=filtered_messages+[message]%}");
  version.skips_empty_system =
      version.system != SystemPlace::kTurnOfItsOwn && !source.has("raise_exception");
  source.refuse(kForm, "strip", "it writes messages differently");
  if (!version.trims_answers) source.refuse(kForm, "trim", "it writes messages differently");
  return std::make_shared<Mistral>(tokens, std::move(version));
}

}  // namespace prepack::text
