#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "driver/core/error.h"
#include "driver/protocol/types.h"

/// Sets of the host's processors as the wire has them: a bit each, the lowest of the first byte first.
namespace api {

/// The processors of a client's map. Throws Error INVALID_ARG: for an empty one with the words `empty`, and for numbers
/// that no description can have.
inline std::vector<unsigned> read_cpumap(const std::vector<std::uint8_t>& map, const char* empty) {
  constexpr unsigned most = 1024;
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < map.size() * 8; ++cpu)
    if (map[cpu / 8] >> cpu % 8 & 1) cpus.push_back(cpu);
  if (cpus.empty()) throw core::Error(core::ErrorCode::invalid_arg, empty);
  if (cpus.back() >= most)
    throw core::Error(core::ErrorCode::invalid_arg,
                      "there is no processor " + std::to_string(cpus.back()) + " (allowed: below 1024)");
  return cpus;
}

/// Puts a map of `length` bytes behind the others; what does not fit is left out, as libvirt.
inline void append_cpumap(std::vector<std::uint8_t>& maps, const std::vector<unsigned>& cpus, std::int32_t length) {
  const std::size_t begin = maps.size(), bytes = length > 0 ? static_cast<std::size_t>(length) : 0;
  maps.resize(begin + bytes);
  for (const unsigned cpu : cpus)
    if (cpu / 8 < bytes) maps[begin + cpu / 8] |= static_cast<std::uint8_t>(1u << cpu % 8);
}

/// Bounds what a client asks for: `count` maps of `length` bytes. Throws Error: INTERNAL_ERROR with libvirt's words.
inline void require_cpumaps(std::int32_t count, std::int32_t length, const std::string& name) {
  using protocol::max::cpumaps;
  if (count < 0 || std::cmp_greater(count, protocol::max::vcpuinfo))
    throw core::Error(core::ErrorCode::internal_error, name + " too large", core::ErrorDomain::none);
  if (length < 0 || std::int64_t{count} * length > cpumaps)
    throw core::Error(core::ErrorCode::internal_error, name + " * maplen too large", core::ErrorDomain::none);
}

}  // namespace api
