#pragma once

#include <string>
#include <string_view>

namespace prepack::text {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

/// Appends `text` (valid UTF-8) in a normal form to `out`.
void append_normalized(std::string_view text, UnicodeForm form, std::string& out);

/// True if `text` is certainly in that form already: all of it lies in the range of characters that
/// the form leaves alone.
bool is_plainly_normalized(std::string_view text, UnicodeForm form);

/// The White_Space property.
bool is_space(char32_t c);

/// General category N (what Rust's char::is_numeric says).
bool is_number(char32_t c);

/// A character that \w matches in Rust's regex crate: Alphabetic, M, Nd, Pc, Join_Control.
bool is_word(char32_t c);

}  // namespace prepack::text
