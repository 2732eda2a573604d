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
  size_t first_stop = std::string::npos;
  for (const auto& stop : stops_) first_stop = std::min(first_stop, pending_.find(stop));
  if (first_stop != std::string::npos) {
    found_ = true;
    return std::exchange(pending_, "").substr(0, first_stop);
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

std::string StopText::finish() { return std::exchange(pending_, ""); }

}  // namespace prepack
