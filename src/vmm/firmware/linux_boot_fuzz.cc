#include <sys/mman.h>

#include <stdexcept>

#include "base/file.h"
#include "vmm/firmware/linux_boot.h"

// A kernel's file, twice into the same memory as at a start and a reset: what is told of it lies in memory, or it is
// refused with one line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::vector<std::uint8_t> bytes(8 << 20);
  memory::GuestMemory memory;
  memory.add({0, {bytes.data(), bytes.size()}, -1, 0});
  const auto file = [&](const char* name) {
    base::UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
    base::write_all(fd.get(), {reinterpret_cast<const char*>(data), size}, name);
    return firmware::Image(name, std::move(fd));
  };
  try {
    firmware::Linux linux(file("kernel"), file("initrd"));
    for (const bool blank : {true, false}) {
      linux.load(memory, blank);
      linux.describe({.command_line = "quiet", .acpi_rsdp = 1, .map = {{0, bytes.size()}}}, memory);
    }
  } catch (const std::runtime_error&) {
  }
  return 0;
}
