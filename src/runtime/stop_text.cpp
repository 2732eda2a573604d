#include "runtime/stop_text.h"

#include <algorithm>
#include <utility>

namespace prepack {

StopText::StopText(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase(stops_, "");
}

std::string StopText::push(std::string_view piece) {
  if (found_) return "";
  pending_ += piece;
  if (const auto begin = find_stop()) {
    found_ = true;
    return std::exchange(pending_, "").substr(0, *begin);
  }
  // The longest end of the text that is the beginning of a stop text.
  size_t held = 0;
  for (const auto& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, pending_.size()); n > held; --n) {
      if (pending_.ends_with(std::string_view(stop).substr(0, n))) held = n;
    }
  }
  auto certain = pending_.substr(0, pending_.size() - held);
  pending_.erase(0, certain.size());
  return certain;
}

std::optional<size_t> StopText::find_stop() const {
  size_t first_end = std::string::npos;
  std::optional<size_t> begin;
  for (const auto& stop : stops_) {
    const size_t place = pending_.find(stop);
    if (place == std::string::npos) continue;
    const size_t end = place + stop.size();
    if (end > first_end || (end == first_end && place > *begin)) continue;
    first_end = end;
    begin = place;
  }
  return begin;
}

std::string StopText::finish() { return std::exchange(pending_, ""); }

}  // namespace prepack
