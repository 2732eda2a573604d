#include "text/chat/reached.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "text/chat/condition.h"
#include "text/chat/expression.h"
#include "text/chat/plain_text.h"
#include "text/chat/source.h"

namespace prepack::text {
namespace {

constexpr int kMaxDepth = 100;

/// Appends a part of a template. Two outputs that meet become one.
void append(std::string& source, std::string_view part) {
  if (source.ends_with("}}") && part.starts_with("{{")) {
    source.resize(source.size() - 2);
    add_expression(source, part.substr(2));
  } else {
    source += part;
  }
}

class Walk {
 public:
  explicit Walk(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}

  std::string whole() {
    std::string source = body();
    while (at_ < pieces_.size()) {  // a branch's tag that belongs to no `if`
      source += fmt::format("{{%{}%}}", spell_expression(pieces_[at_++].text));
      source += body();
    }
    return source;
  }

 private:
  struct Branch {
    Condition condition;
    std::string body;
  };

  /// Up to the end of the branch.
  std::string body() {
    std::string source;
    while (at_ < pieces_.size()) {
      const Piece& piece = pieces_[at_];
      if (piece.kind == Piece::Kind::kText) {
        source += piece.text;
        ++at_;
        continue;
      }
      const std::string tag = spell_expression(piece.text);
      if (piece.kind == Piece::Kind::kOutput) {
        // Why a conversation is refused is not written.
        const bool refuses = tag.starts_with("raise_exception(");
        append(source, refuses ? "{{raise_exception()}}" : "{{" + tag + "}}");
        ++at_;
      } else if (has_keyword(tag, "if")) {
        append(source, choice());
      } else if (is_branch(tag)) {
        return source;
      } else {
        if (tag != "generation" && tag != "endgeneration") source += "{%" + tag + "%}";
        ++at_;
      }
    }
    return source;
  }

  static bool has_keyword(std::string_view tag, std::string_view keyword) {
    return find_words(tag, keyword) == 0;
  }
  static bool is_branch(std::string_view tag) {
    return has_keyword(tag, "elif") || tag == "else" || tag == "endif";
  }

  /// if ... elif ... else ... endif
  std::string choice() {
    if (++depth_ > kMaxDepth) fail_template("has too many branches within branches");
    std::vector<Branch> branches;
    while (true) {
      if (at_ == pieces_.size()) return "{%if%}";  // has no end: no form's
      const std::string tag = spell_expression(pieces_[at_++].text);
      if (tag == "endif") break;
      const Condition condition =
          tag == "else" ? Condition{true, "", {}}
                        : simplify_condition(tag.substr(has_keyword(tag, "elif") ? 4 : 2));
      branches.push_back({condition, body()});
    }
    --depth_;
    return write(branches);
  }

  static std::string write(const std::vector<Branch>& branches) {
    std::string source;
    std::vector<std::string> taken;  // the conditions under which an earlier branch is
    for (const auto& [condition, body] : branches) {
      const bool is_taken =
          !condition.known && std::ranges::find(taken, condition.text) != taken.end();
      if (condition.known == false || is_taken) continue;
      if (condition.known) {
        if (taken.empty()) return body;
        if (!body.empty()) source += "{%else%}" + body;
        break;
      }
      source += fmt::format("{{%{} {}%}}{}", taken.empty() ? "if" : "elif", condition.text, body);
      taken.insert(taken.end(), condition.alternatives.begin(), condition.alternatives.end());
      taken.push_back(condition.text);
    }
    return taken.empty() ? "" : source + "{%endif%}";
  }

  std::vector<Piece> pieces_;
  size_t at_ = 0;
  int depth_ = 0;  // of the branches that we are in
};

/// Not what our knowledge of conditions rests on.
bool may_be_dropped(std::string_view name) {
  const bool is_name = name.find_first_of(".,(%") == std::string_view::npos;
  return is_name && (name == "tools_in_user_message" || !is_known_variable(name));
}

/// {%set name=...%}, where the name stands nowhere else.
void drop_unread_variables(std::string& source) {
  constexpr std::string_view kSet = "{%set ";
  for (size_t at = 0; (at = source.find(kSet, at)) != std::string::npos;) {
    const std::string_view before = std::string_view(source).substr(0, at);
    const std::string_view set = std::string_view(source).substr(at);
    const size_t assigns = set.find('=');
    const size_t end = set.find("%}");
    if (assigns == std::string_view::npos || end == std::string_view::npos) return;
    const std::string_view name = set.substr(kSet.size(), assigns - kSet.size());
    if (may_be_dropped(name) && !has_word(before, name) && !has_word(set.substr(end), name)) {
      source.erase(at, end + 2);
    } else {
      at += kSet.size();
    }
  }
}

}  // namespace

std::string find_reached_source(std::string_view jinja) {
  std::string source = Walk(split_template(jinja)).whole();
  drop_unread_variables(source);
  return source;
}

}  // namespace prepack::text
