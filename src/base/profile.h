#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

namespace prepack {

/// What the time of prefills and decode steps goes to; the products are named as in the decoder.
enum class Part {
  kEmbedding,
  kNorm,
  kQkvProj,
  kRope,
  kCacheWrite,
  kAttention,
  kOProj,
  kGateUpProj,
  kSwiglu,
  kDownProj,
  kLmHead,
  kSampling,
  kRest,  // all that no ProfiledPart covers: planning, index tensors, copies
};
constexpr size_t kNumParts = static_cast<size_t>(Part::kRest) + 1;

/// "embedding", "norm", "qkv_proj" and so on.
std::string_view to_string(Part part);

/// Seconds by part.
struct PartTimes {
  std::array<double, kNumParts> seconds{};

  double of(Part part) const { return seconds[static_cast<size_t>(part)]; }
  double total() const;
  PartTimes& operator+=(const PartTimes& other);
};

/// Measures where the wall time of its thread goes, from construction on. A stopwatch that runs for
/// one part at a time, so that the parts add up to the whole. Of several in a thread the newest
/// measures. On a GPU it would see the calls alone, whose work ends later.
class Profiler {
 public:
  Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Up to now.
  PartTimes times();

 private:
  friend class ProfiledPart;
  using Clock = std::chrono::steady_clock;

  /// Null where the thread has none.
  static Profiler*& of_this_thread();

  /// Runs for `part` from now on; returns the part that it ran for until now.
  Part run_for(Part part);

  Profiler* outer_;
  Part part_ = Part::kRest;
  Clock::time_point since_;
  PartTimes times_;
};

/// Has the thread's profiler run for a part until the end of the scope. Where parts nest, the
/// innermost counts. Without a profiler this costs a look at a pointer.
class ProfiledPart {
 public:
  explicit ProfiledPart(Part part);
  ~ProfiledPart();
  ProfiledPart(const ProfiledPart&) = delete;
  ProfiledPart& operator=(const ProfiledPart&) = delete;

 private:
  Profiler* profiler_;  // outlives this
  Part outer_ = Part::kRest;
};

/// Calls f() as a part.
template <typename F>
auto profiled(Part part, const F& f) {
  const ProfiledPart scope(part);
  return f();
}

}  // namespace prepack
