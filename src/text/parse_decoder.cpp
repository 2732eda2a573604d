#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

std::string one_character(const Component& component, const char* key) {
  std::string text = component.text(key);
  if (text.empty() || utf8_length(text[0]) != text.size()) {
    component.at(key).fail("expected one character");
  }
  return text;
}

Decoder parse_metaspace(const Component& component) {
  Decoder decoder;
  decoder.form = Decoder::Form::kMetaspace;
  decoder.metaspace = one_character(component, "replacement");
  const bool prefixed = component.text_or("prepend_scheme", "always") != "never" &&
                        component.flag_or("add_prefix_space", true);
  decoder.strip_count = prefixed ? 1 : 0;
  return decoder;
}

void flatten(const Component& component, std::vector<Component>& steps) {
  if (component.type() != "Sequence") return steps.push_back(component);
  for (const Component& step : component.list("decoders")) flatten(step, steps);
}

/// Replace*, ByteFallback?, Fuse?, Strip? in this order: what the SentencePiece families use.
Decoder parse_pieces(const std::vector<Component>& steps) {
  Decoder decoder;
  decoder.form = Decoder::Form::kPieces;
  bool fused = false;
  for (const Component& step : steps) {
    const std::string type = step.type();
    const auto require_before = [&](bool reached, const char* what) {
      if (reached) step.fail(type + " after " + what + " is not supported");
    };
    require_before(decoder.strip_count > 0, "Strip");
    if (type == "Replace") {
      require_before(decoder.byte_fallback, "ByteFallback");
      require_before(fused, "Fuse");
      const Component pattern = step.at("pattern");
      if (!pattern.has("String")) pattern.fail("expected a String");
      Decoder::Replacement replacement{pattern.text("String"), step.text("content")};
      if (replacement.pattern.empty()) pattern.fail("an empty pattern is not supported");
      decoder.replacements.push_back(std::move(replacement));
    } else if (type == "ByteFallback") {
      require_before(fused, "Fuse");
      decoder.byte_fallback = true;
    } else if (type == "Fuse") {
      fused = true;
    } else if (type == "Strip") {
      if (!fused) step.fail("Strip is supported after Fuse only");
      if (step.integer_or("stop", 0) != 0) step.at("stop").fail("only 0 is supported");
      decoder.strip = one_character(step, "content");
      decoder.strip_count = step.integer_or("start", 0);
      if (decoder.strip_count < 0) step.at("start").fail("is negative");
    } else {
      step.fail_unknown_type();
    }
  }
  return decoder;
}

}  // namespace

Decoder parse_decoder(const Component& component) {
  if (component.is_null()) return {};
  std::vector<Component> steps;
  flatten(component, steps);
  if (steps.size() == 1 && steps[0].type() == "ByteLevel") {
    Decoder decoder;
    decoder.form = Decoder::Form::kByteLevel;
    return decoder;
  }
  if (steps.size() == 1 && steps[0].type() == "Metaspace") return parse_metaspace(steps[0]);
  return parse_pieces(steps);
}

}  // namespace prepack::text
