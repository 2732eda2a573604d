#include "runtime/control_group.h"

#include <cstdint>
#include <filesystem>
#include <limits>

#include "support/catch.h"
#include "support/temp_dir.h"

namespace prepack {
namespace {

using testing::TempDir;

constexpr double kNoCpuLimit = std::numeric_limits<double>::infinity();
constexpr int64_t kNoMemoryLimit = std::numeric_limits<int64_t>::max();

TEST_CASE("a control group without files limits nothing", "[control_group]") {
  const TempDir folder;
  CHECK(ControlGroup(folder.path()).available_cpus() == kNoCpuLimit);
  CHECK(ControlGroup(folder.path()).available_memory() == kNoMemoryLimit);
}

TEST_CASE("a control group of version 2 says how much CPU time it leaves", "[control_group]") {
  const TempDir folder;
  folder.write("cpu.max", "150000 100000\n");
  CHECK(ControlGroup(folder.path()).available_cpus() == 1.5);
  folder.write("cpu.max", "max 100000\n");
  CHECK(ControlGroup(folder.path()).available_cpus() == kNoCpuLimit);
}

TEST_CASE("a control group of version 1 says how much CPU time it leaves", "[control_group]") {
  const TempDir folder;
  std::filesystem::create_directory(folder.path() / "cpu");
  folder.write("cpu/cpu.cfs_period_us", "50000\n");
  folder.write("cpu/cpu.cfs_quota_us", "200000\n");
  CHECK(ControlGroup(folder.path()).available_cpus() == 4.0);
  folder.write("cpu/cpu.cfs_quota_us", "-1\n");
  CHECK(ControlGroup(folder.path()).available_cpus() == kNoCpuLimit);
}

TEST_CASE("a control group of version 2 says how much memory it leaves", "[control_group]") {
  const TempDir folder;
  folder.write("memory.max", "1000000\n");
  folder.write("memory.current", "600000\n");
  folder.write("memory.stat", "active_file 50000\ninactive_file 200000\n");
  const ControlGroup group(folder.path());
  CHECK(group.available_memory() == 600000);
  folder.write("memory.current", "1300000\n");
  CHECK(group.available_memory() == 0);
  folder.write("memory.max", "max\n");
  CHECK(group.available_memory() == kNoMemoryLimit);
}

TEST_CASE("a control group of version 1 says how much memory it leaves", "[control_group]") {
  const TempDir folder;
  std::filesystem::create_directory(folder.path() / "memory");
  folder.write("memory/memory.limit_in_bytes", "1000000\n");
  folder.write("memory/memory.usage_in_bytes", "600000\n");
  folder.write("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100000\n");
  CHECK(ControlGroup(folder.path()).available_memory() == 500000);
}

}  // namespace
}  // namespace prepack
