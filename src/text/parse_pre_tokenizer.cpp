#include <fmt/format.h>

#include <map>

#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

SplitBehavior parse_behavior(const Component& split) {
  static const std::map<std::string, SplitBehavior, std::less<>> kNames = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const std::string name = split.text("behavior");
  const auto found = kNames.find(name);
  if (found == kNames.end())
    split.at("behavior").fail(fmt::format("\"{}\" is not supported", name));
  return found->second;
}

Split parse_split(const Component& split) {
  const Component pattern = split.at("pattern");
  const SplitBehavior behavior = parse_behavior(split);
  const bool invert = split.flag_or("invert", false);
  if (pattern.has("String")) {
    std::string text = pattern.text("String");
    if (text.empty()) pattern.fail("an empty pattern is not supported");
    return {std::move(text), behavior, invert};
  }
  if (!pattern.has("Regex")) pattern.fail("expected a String or a Regex");
  try {
    return {Regex(pattern.text("Regex")), behavior, invert};
  } catch (const std::invalid_argument& error) {
    pattern.fail(error.what());
  }
}

Metaspace parse_metaspace(const Component& metaspace) {
  Metaspace step{metaspace.text("replacement"), Metaspace::Prefix::kAlways,
                 metaspace.flag_or("split", true)};
  if (step.replacement.empty() || utf8_length(step.replacement[0]) != step.replacement.size()) {
    metaspace.at("replacement").fail("expected one character");
  }
  const std::string scheme = metaspace.text_or("prepend_scheme", "always");
  if (scheme == "first") {
    step.prefix = Metaspace::Prefix::kFirst;
  } else if (scheme == "never") {
    step.prefix = Metaspace::Prefix::kNever;
  } else if (scheme != "always") {
    metaspace.at("prepend_scheme").fail(fmt::format("\"{}\" is not supported", scheme));
  }
  // Before there was a prepend_scheme, add_prefix_space said whether there is a prefix.
  if (!metaspace.flag_or("add_prefix_space", true)) {
    if (metaspace.has("prepend_scheme") && scheme != "never") {
      metaspace.fail(fmt::format("add_prefix_space is false but prepend_scheme is \"{}\"", scheme));
    }
    step.prefix = Metaspace::Prefix::kNever;
  }
  return step;
}

void add_steps(const Component& pre_tokenizer, PreTokenizer& result, bool& byte_level) {
  const std::string type = pre_tokenizer.type();
  if (type == "Sequence") {
    for (const Component& step : pre_tokenizer.list("pretokenizers")) {
      add_steps(step, result, byte_level);
    }
    return;
  }
  if (byte_level) pre_tokenizer.fail("a step after ByteLevel is not supported");
  if (type == "Split") {
    result.add(parse_split(pre_tokenizer));
  } else if (type == "Digits") {
    result.add(Digits{pre_tokenizer.flag_or("individual_digits", false)});
  } else if (type == "Metaspace") {
    result.add(parse_metaspace(pre_tokenizer));
  } else if (type == "ByteLevel") {
    byte_level = true;
    result.add(ByteLevelSplit{pre_tokenizer.flag_or("add_prefix_space", true),
                              pre_tokenizer.flag_or("use_regex", true)});
  } else {
    pre_tokenizer.fail_unknown_type();
  }
}

}  // namespace

PreTokenizer parse_pre_tokenizer(const Component& pre_tokenizer, bool& byte_level) {
  PreTokenizer result;
  byte_level = false;
  if (!pre_tokenizer.is_null()) add_steps(pre_tokenizer, result, byte_level);
  return result;
}

}  // namespace prepack::text
