#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string_view>

namespace prepack {

/// Reads a device's name: "cpu", "cuda", "cuda:1", or "auto", which is the first CUDA device where
/// there is one and the library's CUDA half was built, else the CPU. Loads the CUDA half when it is
/// needed; a program that stays on the CPU never does.
/// @throws InvalidArgument for an unknown name, or a CUDA device that is not there
c10::Device select_device(std::string_view name);

/// Waits until the device has done what it was given; returns at once on the CPU.
void synchronize(c10::Device device);

/// CPU threads for a process that is told nothing else: one per core, or what OMP_NUM_THREADS says,
/// else no more than the CPUs whose time the process's control group may take, rounded up: with
/// more, threads would stand still for most of each period, and the others wait for them. To be
/// asked before at::set_num_threads.
int default_threads();

/// Bytes that this process may still take: on the CPU what the system has available, within the
/// limits of the process's control group; on a CUDA device its free memory.
int64_t available_memory(c10::Device device);

/// What the process has in memory, in bytes.
int64_t resident_memory();

/// Largest resident set of the process so far, in bytes.
int64_t peak_resident_memory();

/// Most bytes of tensors held at one time on a CUDA device; 0 for the CPU.
int64_t peak_device_memory(c10::Device device);

}  // namespace prepack
