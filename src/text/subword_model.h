#pragma once

#include <string_view>

#include "prepack/token.h"
#include "text/scratch.h"

namespace prepack::text {

/// Turns words into tokens.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;

  /// Appends the tokens of a pre-tokenized piece of text to `out`.
  virtual void encode(std::string_view piece, Scratch& scratch, TokenIds& out) const = 0;
};

}  // namespace prepack::text
