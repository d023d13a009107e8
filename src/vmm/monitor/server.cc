#include "vmm/monitor/server.h"

#include "vmm/monitor/qmp_session.h"

namespace monitor {

Server::Server(MachineControl& machine) : machine_(machine) {}

Server::~Server() {
  for (const auto& [chardev, session] : sessions_) chardev->attach({});
}

void Server::add(chardev::Chardev& chardev) {
  auto& session =
      *sessions_
           .emplace_back(&chardev, std::make_unique<QmpSession>(
                                       machine_, QmpSession::Peer{
                                                     .write = [&chardev](auto bytes) { return chardev.write(bytes); },
                                                     .hang_up = [&chardev] { chardev.hang_up(); }}))
           .second;
  chardev.attach({.room = [&session] { return session.room(); },
                  .take = [&session, &chardev](
                              std::span<const std::uint8_t> bytes) { session.take(bytes, chardev.take_descriptors()); },
                  .writable =
                      [&session, &chardev] {
                        session.writable();
                        chardev.room_again();
                      },
                  .keep = false,
                  .connected = [&session](bool there) { session.connected(there); }});
}

void Server::tell(const Event& event) {
  for (const auto& [chardev, session] : sessions_) session->tell(event);
}

}  // namespace monitor
