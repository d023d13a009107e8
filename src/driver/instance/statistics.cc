#include "driver/instance/statistics.h"

namespace instance {

core::Task<Figures> ask(std::shared_ptr<Instance> subject, Questions questions, std::chrono::milliseconds limit) {
  Figures figures;
  if (!subject->active()) co_return figures;
  const Running& now = subject->running();
  figures.vcpus = now.vcpus;
  std::optional<emulator::Request> vcpus, blocks, memory, iothreads;
  if (questions.vcpus && now.vcpus.empty()) vcpus = emulator::query_vcpus(now.capabilities);
  if (questions.blocks) blocks = emulator::query_block_stats();
  if (questions.memory) memory = emulator::query_guest_memory(now.live, now.capabilities);
  if (questions.iothreads && now.live.iothreads > 0) iothreads = emulator::query_iothreads();
  const auto deadline = Monitor::Clock::now() + limit;
  try {
    const auto monitor = now.connected();
    const auto reply = [&](emulator::Request& request) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Monitor::Clock::now());
      return monitor->execute(std::move(request), left);
    };
    if (vcpus) {
      figures.vcpus = emulator::read_vcpus(co_await reply(*vcpus));
      if (subject->active() && subject->running().monitor == monitor) subject->running().vcpus = figures.vcpus;
    }
    if (blocks) {
      auto told = emulator::read_block_stats(co_await reply(*blocks));
      if (!told.empty()) figures.blocks = std::move(told);
    }
    if (memory) figures.memory = emulator::read_guest_memory(co_await reply(*memory));
    if (iothreads) figures.iothreads = emulator::read_iothreads(co_await reply(*iothreads));
  } catch (const core::Error& error) {
    figures.failed = error;
  } catch (const std::exception& error) {
    figures.failed = core::Error(core::ErrorCode::internal_error, error.what());
  }
  co_return figures;
}

}  // namespace instance
