#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>
#include <system_error>

#include "base/file.h"
#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/protocol/domain_device.h"

namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;
using Descriptor = core::asio::posix::stream_descriptor;

struct Device {
  const domain::CharacterSource* source = nullptr;
  std::string alias;
};

/// The device a client names; without a name the first console, else the first serial port.
Device find_device(const domain::Domain& live, const std::string& name) {
  Device found;
  const auto look = [&](const auto& devices) {
    for (const auto& device : devices) {
      if (!found.source && (name.empty() || device.info.alias == name)) found = {&device.source, device.info.alias};
    }
  };
  look(live.consoles);
  look(live.serials);
  if (found.source) return found;
  throw Error(ErrorCode::internal_error,
              name.empty() ? "cannot find character device <null>" : "cannot find character device " + name);
}

base::UniqueFd open_device(const Device& device) {
  const domain::CharacterSource& source = *device.source;
  if (source.type == domain::CharacterSource::Type::pty) {
    base::UniqueFd fd = base::open_file(source.path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    termios raw{};
    if (tcgetattr(fd.get(), &raw) == 0) {  // bytes pass unchanged
      cfmakeraw(&raw);
      tcsetattr(fd.get(), TCSANOW, &raw);
    }
    return fd;
  }
  if (source.type == domain::CharacterSource::Type::unix_socket) {
    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const base::UniqueFd at = base::open_file(base::folder_of(source.path), O_PATH | O_DIRECTORY);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(at.get()) + source.path.substr(source.path.rfind('/'));
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
      throw Error::system(errno, "cannot connect to '" + source.path + "'");
    }
    return fd;
  }
  throw Error(ErrorCode::internal_error, "character device " + device.alias + " is not using a PTY or UNIX socket");
}

/// What a console session's parts share; it ends with its stream.
struct Session {
  Session(core::asio::io_context& context, int fd) : device(context, fd) {}
  Descriptor device;
};

constexpr std::size_t chunk_size = 65536;

Task<void> from_device(std::shared_ptr<Session> session, StreamPtr stream) {
  std::vector<std::uint8_t> buffer(chunk_size);
  try {
    while (stream->open()) {
      boost::system::error_code error;
      co_await session->device.async_wait(Descriptor::wait_read,
                                          core::asio::redirect_error(core::asio::use_awaitable, error));
      if (error) break;
      const ssize_t got = ::read(session->device.native_handle(), buffer.data(), buffer.size());
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) {  // the emulator is gone
        co_await stream->end_of_data();
        break;
      }
      co_await stream->write({buffer.data(), static_cast<std::size_t>(got)});
    }
  } catch (const Error&) {
    // The client takes no more. What it has sent may still be on its way to the device.
  }
}

/// A guest that takes nothing does not keep the device open.
Task<void> close_with(std::shared_ptr<Session> session, StreamPtr stream) {
  co_await stream->ended();
  session->device.close();
}

Task<void> to_device(std::shared_ptr<Session> session, StreamPtr stream) {
  try {
    while (auto chunk = co_await stream->read()) {
      const auto* bytes = std::get_if<rpc::Bytes>(&*chunk);
      for (std::size_t at = 0; bytes && at < bytes->size();) {
        const ssize_t put = ::write(session->device.native_handle(), bytes->data() + at, bytes->size() - at);
        if (put >= 0) {
          at += static_cast<std::size_t>(put);
        } else if (errno == EAGAIN) {
          co_await session->device.async_wait(Descriptor::wait_write, core::asio::use_awaitable);
        } else if (errno != EINTR) {
          const std::string why = std::generic_category().message(errno);
          throw Error(ErrorCode::system_error, "cannot write to stream: " + why, core::ErrorDomain::streams);
        }
      }
    }
    co_await stream->finish();
  } catch (const Error& error) {
    stream->abort(error);  // unless it has ended: aborted by the client, taken over
  } catch (const boost::system::system_error&) {
    // It has ended, and the device is closed with it.
  }
}

Task<void> open_console(Client* client, DomainOpenConsoleArgs args, StreamPtr stream) {
  enum { force = 1, safe = 2 };
  require_flags(args.flags, force | safe, "virDomainOpenConsole");
  const auto subject = client->find(args.dom);
  subject->running();
  const Device device = find_device(subject->description(), args.dev_name.value_or(""));
  std::erase_if(client->driver().consoles, [](const auto& one) { return one.second.expired(); });
  auto& current = client->driver().consoles[{subject->uuid(), device.alias}];
  if (const auto other = current.lock(); other && other->open()) {
    if (!(args.flags & force))
      throw Error(ErrorCode::operation_failed, "Active console session exists for this domain");
    other->abort(Error(ErrorCode::operation_aborted, "the console was taken over by another client"));
  }
  base::UniqueFd fd = open_device(device);
  current = stream;
  auto session = std::make_shared<Session>(client->driver().loop.context(), fd.release());
  client->driver().loop.spawn(from_device(session, stream));
  client->driver().loop.spawn(to_device(session, stream));
  client->driver().loop.spawn(close_with(session, stream));
  co_return;
}

}  // namespace

void add_console(Handlers& handlers) {
  handlers.add<Procedure::domain_open_console>(open_console);
}

}  // namespace api
