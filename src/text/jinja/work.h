#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "prepack/error.h"

// What a rendering may take.

namespace prepack::jinja {

/// Why a template cannot be rendered. Whoever renders it adds the line.
class RenderError : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

// Beyond what any conversation needs, so that no template can use up the memory.
inline constexpr size_t kMaxTextBytes = size_t{64} << 20;
inline constexpr size_t kMaxItems = size_t{1} << 20;

/// What an item of a list counts.
inline constexpr size_t kItemBytes = 64;

/// Counts what a rendering does, in bytes that it makes or looks at, so that a template without end
/// is an error, however little it is.
/// @throws RenderError beyond the limit of the rendering that this thread is in
void charge(size_t num_bytes);

/// Of looking for a part of a text.
void charge_search(std::string_view text, std::string_view part);

/// A limit for what this thread does meanwhile.
class WorkLimit {
 public:
  explicit WorkLimit(int64_t num_bytes);
  ~WorkLimit();
  WorkLimit(const WorkLimit&) = delete;
  WorkLimit& operator=(const WorkLimit&) = delete;

 private:
  int64_t outer_;
};

}  // namespace prepack::jinja
