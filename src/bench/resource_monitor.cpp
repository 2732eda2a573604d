#include "bench/resource_monitor.h"

#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <string>

#include "bench/statistics.h"
#include "cuda/cuda_half.h"

namespace prepack::bench {
namespace {

constexpr std::chrono::milliseconds kWindow{50};

double clock_s(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Bytes in a line "VmRSS: 123 kB" of /proc/self/status.
int64_t read_status(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key; status.ignore(1 << 16, '\n')) {
    int64_t kib = 0;
    if (key == field + ":" && status >> kib) return kib * 1024;
  }
  return 0;
}

/// Makes the peak of resident memory what is resident now. (proc(5), clear_refs)
bool reset_peak_resident_memory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";
  file.close();
  return !file.fail();
}

}  // namespace

UtilisationMonitor::UtilisationMonitor(c10::Device device)
    : device_(device),
      start_s_(clock_s(CLOCK_MONOTONIC)),
      start_cpu_s_(clock_s(CLOCK_PROCESS_CPUTIME_ID)),
      thread_([this] { sample_until_stopped(); }) {}

UtilisationMonitor::~UtilisationMonitor() { join(); }

void UtilisationMonitor::join() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stop_signal_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void UtilisationMonitor::sample_until_stopped() {
  double last_s = start_s_;
  double last_cpu_s = start_cpu_s_;
  std::unique_lock lock(mutex_);
  while (!stop_signal_.wait_for(lock, kWindow, [this] { return stopped_; })) {
    if (device_.is_cuda()) {
      const double percent = load_cuda_half()->utilisation(device_.index());
      if (percent >= 0) samples_.push_back(percent);
      continue;
    }
    const double now_s = clock_s(CLOCK_MONOTONIC);
    const double cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    samples_.push_back((cpu_s - last_cpu_s) / (now_s - last_s));
    last_s = now_s;
    last_cpu_s = cpu_s;
  }
}

std::optional<Utilisation> UtilisationMonitor::stop() {
  const double elapsed_s = clock_s(CLOCK_MONOTONIC) - start_s_;
  const double cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_s_;
  join();
  if (device_.is_cuda() && samples_.empty()) return std::nullopt;
  // The mean over the whole time, which may be shorter than a window, is exact on a CPU.
  const double average = device_.is_cuda() ? mean(samples_) : cpu_s / elapsed_s;
  const double highest = samples_.empty() ? average : *std::ranges::max_element(samples_);
  return Utilisation{.mean = average, .max = highest};
}

PeakMemoryMeter::PeakMemoryMeter(c10::Device device) : device_(device) {
  if (device_.is_cuda()) {
    load_cuda_half()->reset_peak_memory(device_.index());
    held_ = load_cuda_half()->peak_memory(device_.index());
    return;
  }
  malloc_trim(0);
  if (reset_peak_resident_memory()) held_ = read_status("VmRSS");
}

std::optional<int64_t> PeakMemoryMeter::peak_bytes() const {
  if (!held_) return std::nullopt;
  const int64_t peak =
      device_.is_cuda() ? load_cuda_half()->peak_memory(device_.index()) : read_status("VmHWM");
  return std::max<int64_t>(peak - *held_, 0);
}

std::optional<int64_t> PeakMemoryMeter::whole_peak_bytes() const {
  const auto beyond = peak_bytes();
  return beyond ? std::optional(*held_ + *beyond) : std::nullopt;
}

}  // namespace prepack::bench
