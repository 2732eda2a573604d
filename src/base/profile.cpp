#include "base/profile.h"

#include <numeric>

namespace prepack {

std::string_view to_string(Part part) {
  switch (part) {
    case Part::kEmbedding:
      return "embedding";
    case Part::kNorm:
      return "norm";
    case Part::kQkvProj:
      return "qkv_proj";
    case Part::kRope:
      return "rope";
    case Part::kCacheWrite:
      return "cache_write";
    case Part::kAttention:
      return "attention";
    case Part::kOProj:
      return "o_proj";
    case Part::kGateUpProj:
      return "gate_up_proj";
    case Part::kSwiglu:
      return "swiglu";
    case Part::kDownProj:
      return "down_proj";
    case Part::kLmHead:
      return "lm_head";
    case Part::kSampling:
      return "sampling";
    case Part::kRest:
      return "rest";
  }
  return "unknown";
}

double PartTimes::total() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

PartTimes& PartTimes::operator+=(const PartTimes& other) {
  for (size_t i = 0; i < kNumParts; ++i) seconds[i] += other.seconds[i];
  return *this;
}

Profiler*& Profiler::of_this_thread() {
  static thread_local Profiler* profiler = nullptr;
  return profiler;
}

Profiler::Profiler() : outer_(of_this_thread()) {
  of_this_thread() = this;
  since_ = Clock::now();
}

Profiler::~Profiler() { of_this_thread() = outer_; }

PartTimes Profiler::times() {
  run_for(part_);
  return times_;
}

Part Profiler::run_for(Part part) {
  const auto now = Clock::now();
  times_.seconds[static_cast<size_t>(part_)] += std::chrono::duration<double>(now - since_).count();
  since_ = now;
  const auto before = part_;
  part_ = part;
  return before;
}

ProfiledPart::ProfiledPart(Part part) : profiler_(Profiler::of_this_thread()) {
  if (profiler_ != nullptr) outer_ = profiler_->run_for(part);
}

ProfiledPart::~ProfiledPart() {
  if (profiler_ != nullptr) profiler_->run_for(outer_);
}

}  // namespace prepack
