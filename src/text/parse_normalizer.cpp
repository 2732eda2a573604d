#include "text/tokenizer_json.h"

namespace prepack::text {
namespace {

Normalizer::Step parse_replace(const Component& replace) {
  const Component pattern = replace.at("pattern");
  const std::string content = replace.text("content");
  if (pattern.has("String")) {
    ReplaceText step{pattern.text("String"), content};
    if (step.pattern.empty()) pattern.fail("an empty pattern is not supported");
    return step;
  }
  if (!pattern.has("Regex")) pattern.fail("expected a String or a Regex");
  try {
    return ReplaceRegex{Regex(pattern.text("Regex")), content};
  } catch (const std::invalid_argument& error) {
    pattern.fail(error.what());
  }
}

void add_steps(const Component& normalizer, Normalizer& result) {
  const std::string type = normalizer.type();
  if (type == "Sequence") {
    for (const Component& step : normalizer.list("normalizers")) add_steps(step, result);
  } else if (type == "NFC") {
    result.add(UnicodeForm::kNfc);
  } else if (type == "NFD") {
    result.add(UnicodeForm::kNfd);
  } else if (type == "NFKC") {
    result.add(UnicodeForm::kNfkc);
  } else if (type == "NFKD") {
    result.add(UnicodeForm::kNfkd);
  } else if (type == "Prepend") {
    result.add(Prepend{normalizer.text("prepend")});
  } else if (type == "Replace") {
    result.add(parse_replace(normalizer));
  } else if (type == "Strip") {
    result.add(StripSpaces{normalizer.flag("strip_left"), normalizer.flag("strip_right")});
  } else {
    normalizer.fail_unknown_type();
  }
}

}  // namespace

Normalizer parse_normalizer(const Component& normalizer) {
  Normalizer result;
  if (!normalizer.is_null()) add_steps(normalizer, result);
  return result;
}

}  // namespace prepack::text
