#include "text/normalizer.h"

#include "text/utf8.h"

namespace prepack::text {
namespace {

struct Input {
  std::string_view text;
  bool at_start;
  Scratch& scratch;
};

// Each overload writes the changed text to `out`, or returns false if nothing changes.

bool apply_step(const UnicodeForm& form, const Input& in, std::string& out) {
  if (is_plainly_normalized(in.text, form)) return false;
  append_normalized(in.text, form, out);
  return true;
}

bool apply_step(const Prepend& step, const Input& in, std::string& out) {
  if (in.text.empty()) return false;
  out.append(step.prefix).append(in.text);
  return true;
}

bool apply_step(const ReplaceText& step, const Input& in, std::string& out) {
  size_t copied = 0;
  for (size_t at; (at = in.text.find(step.pattern, copied)) != std::string_view::npos;) {
    out.append(in.text.substr(copied, at - copied)).append(step.content);
    copied = at + step.pattern.size();
  }
  if (copied == 0) return false;
  out.append(in.text.substr(copied));
  return true;
}

bool apply_step(const ReplaceRegex& step, const Input& in, std::string& out) {
  size_t copied = 0;
  size_t start = 0;
  Regex::Match match;
  while (start <= in.text.size() && step.pattern.find(in.text, start, in.scratch.regex, match)) {
    out.append(in.text.substr(copied, match.begin - copied)).append(step.content);
    copied = start = match.end;
    if (match.begin == match.end) start += start < in.text.size() ? utf8_length(in.text[start]) : 1;
  }
  out.append(in.text.substr(copied));
  return true;
}

bool apply_step(const StripSpaces& step, const Input& in, std::string& out) {
  std::string_view text = in.text;
  for (size_t end = 0; step.left && !text.empty(); end = 0) {
    if (!is_space(next_char(text, end))) break;
    text.remove_prefix(end);
  }
  while (step.right && !text.empty()) {
    const size_t begin = previous_char_start(text, text.size());
    size_t at = begin;
    if (!is_space(next_char(text, at))) break;
    text = text.substr(0, begin);
  }
  out.append(text);
  return true;
}

bool apply_step(const SentencePieceSpaces& step, const Input& in, std::string& out) {
  std::string_view text = in.text;
  if (step.remove_extra_whitespaces) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  if (text.empty()) return true;
  if (step.add_dummy_prefix && (in.at_start || !step.only_at_start)) out.append(kMetaspace);
  bool after_space = false;
  for (const char c : text) {
    if (c != ' ') {
      out.push_back(c);
    } else if (!(step.remove_extra_whitespaces && after_space)) {
      out.append(kMetaspace);
    }
    after_space = c == ' ';
  }
  while (step.remove_extra_whitespaces && out.ends_with(kMetaspace)) {
    out.resize(out.size() - kMetaspace.size());
  }
  return true;
}

}  // namespace

std::string_view Normalizer::apply(std::string_view text, bool at_start, Scratch& scratch) const {
  for (const Step& step : steps_) {
    std::string& out = scratch.normalizing;
    out.clear();
    const Input in{text, at_start, scratch};
    if (!std::visit([&](const auto& s) { return apply_step(s, in, out); }, step)) continue;
    scratch.normalized.swap(out);
    text = scratch.normalized;
  }
  return text;
}

}  // namespace prepack::text
