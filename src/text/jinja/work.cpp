#include "text/jinja/work.h"

#include <limits>
#include <utility>

namespace prepack::jinja {
namespace {

thread_local int64_t work_left = std::numeric_limits<int64_t>::max();

}  // namespace

void charge(size_t num_bytes) {
  work_left -= static_cast<int64_t>(num_bytes);
  if (work_left < 0) throw RenderError("takes more work than any conversation needs");
}

void charge_search(std::string_view text, std::string_view part) {
  charge(text.size() * (1 + part.size() / 64));
}

WorkLimit::WorkLimit(int64_t num_bytes) : outer_(std::exchange(work_left, num_bytes)) {}

WorkLimit::~WorkLimit() { work_left = outer_; }

}  // namespace prepack::jinja
