#include "text/decoder.h"

#include <optional>

#include "text/byte_level.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

void replace_all(std::string& text, std::string_view pattern, std::string_view content) {
  for (size_t at = 0; (at = text.find(pattern, at)) != std::string::npos; at += content.size()) {
    text.replace(at, pattern.size(), content);
  }
}

}  // namespace

void Decoder::push(std::string_view piece, StreamState& state, std::string& out) const {
  switch (form) {
    case Form::kJoined:
      if (state.num_tokens > 0) out.push_back(' ');
      out.append(piece);
      break;
    case Form::kByteLevel:
      append_bytes_of(piece, state.pending);
      state.pending.erase(0, append_lossy(state.pending, /*final=*/false, out));
      break;
    case Form::kMetaspace: {
      // The first piece loses all its spaces, not only the first one.
      std::string text(piece);
      const bool first = state.num_tokens == 0 && strip_count > 0;
      replace_all(text, metaspace, first ? "" : " ");
      out.append(text);
      break;
    }
    case Form::kPieces: {
      const std::string text = replace(piece);
      if (const auto byte = byte_fallback ? byte_of_piece(text) : std::nullopt) {
        state.pending.push_back(static_cast<char>(*byte));
      } else {
        flush_byte_run(state, out);
        append_stripped(text, state, out);
      }
      break;
    }
  }
  ++state.num_tokens;
}

void Decoder::finish(StreamState& state, std::string& out) const {
  if (form == Form::kPieces) {
    flush_byte_run(state, out);
  } else {
    append_lossy(state.pending, /*final=*/true, out);
  }
  state = {};
}

std::string Decoder::bytes(std::string_view piece) const {
  std::string result;
  switch (form) {
    case Form::kJoined:
      return result.append(" ").append(piece);
    case Form::kByteLevel:
      append_bytes_of(piece, result);
      return result;
    case Form::kMetaspace:
      result = piece;
      replace_all(result, metaspace, " ");
      return result;
    case Form::kPieces:
      result = replace(piece);
      if (const auto byte = byte_fallback ? byte_of_piece(result) : std::nullopt)
        result.assign(1, static_cast<char>(*byte));
      return result;
  }
  return result;
}

std::string Decoder::replace(std::string_view piece) const {
  std::string text(piece);
  for (const Replacement& r : replacements) replace_all(text, r.pattern, r.content);
  return text;
}

void Decoder::append_stripped(std::string_view text, StreamState& state, std::string& out) const {
  while (!text.empty() && state.num_stripped < strip_count) {
    if (!text.starts_with(strip)) {
      state.num_stripped = strip_count;
      break;
    }
    text.remove_prefix(strip.size());
    ++state.num_stripped;
  }
  out.append(text);
}

void Decoder::flush_byte_run(StreamState& state, std::string& out) const {
  // A run of byte pieces is text as a whole or not at all: one bad byte makes each of them U+FFFD.
  if (state.pending.empty()) return;
  if (!find_invalid_utf8(state.pending)) {
    append_stripped(state.pending, state, out);
  } else {
    for (size_t i = 0; i < state.pending.size(); ++i) {
      append_stripped(kReplacementCharacter, state, out);
    }
  }
  state.pending.clear();
}

}  // namespace prepack::text
