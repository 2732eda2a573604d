#pragma once

#include <c10/core/Device.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace prepack::bench {

/// How busy a device was. On a CPU in cores: 1.5 means that one and a half cores worked for this
/// process; on a CUDA device in percent, as NVML gives it.
struct Utilisation {
  double mean = 0;
  double max = 0;  // over windows of 50 ms
};

/// Samples the device from construction until `stop`.
class UtilisationMonitor {
 public:
  explicit UtilisationMonitor(c10::Device device);
  ~UtilisationMonitor();
  UtilisationMonitor(const UtilisationMonitor&) = delete;
  UtilisationMonitor& operator=(const UtilisationMonitor&) = delete;

  /// Ends the sampling. Call once. Nothing where it is not known: on a CUDA device without NVML, or
  /// in a time too short for a sample.
  std::optional<Utilisation> stop();

 private:
  void sample_until_stopped();
  void join();

  c10::Device device_;
  double start_s_;
  double start_cpu_s_;
  std::vector<double> samples_;
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable stop_signal_;
  std::thread thread_;
};

/// The peak of memory beyond what is held at construction: on a CPU of resident memory, on a CUDA
/// device of its tensors.
class PeakMemoryMeter {
 public:
  /// Gives the allocator's free memory back first, which would count as held.
  explicit PeakMemoryMeter(c10::Device device);

  /// Nothing where the system does not let the peak be reset.
  std::optional<int64_t> peak_bytes() const;

  /// The same with what was held at construction.
  std::optional<int64_t> whole_peak_bytes() const;

 private:
  c10::Device device_;
  std::optional<int64_t> held_;
};

}  // namespace prepack::bench
