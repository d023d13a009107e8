#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "driver/core/loop.h"
#include "driver/protocol/domain_device.h"
#include "driver/protocol/procedures.h"
#include "driver/protocol/types.h"
#include "driver/rpc/connection.h"
#include "driver/rpc/stream.h"

namespace protocol {

/// The descriptors that came with a call, and the stream that one opens: what a handler may take besides its arguments.
using Fds = std::vector<base::UniqueFd>;
using StreamPtr = std::shared_ptr<rpc::Stream>;

/// Which function answers which procedure. A handler is a plain function of the client, the arguments where there are
/// any, and Fds or StreamPtr where it wants them; it returns the result or a Task of it:
///
///   DomainLookupByNameRet lookup_by_name(Client& client, const DomainLookupByNameArgs& args);
///   core::Task<void> domain_create(Client* client, DomainCreateArgs args);
///   core::Task<void> open_console(Client* client, DomainOpenConsoleArgs args, StreamPtr stream);
///
///   handlers.add<Procedure::domain_lookup_by_name>(lookup_by_name);
///
/// A coroutine takes all by value, the client as a pointer. What either throws becomes the error reply.
template <class Client>
class Handlers {
 public:
  template <auto P, class Result, class... Params>
  void add(Result (*handler)(Params...)) {
    static_assert((std::is_same_v<Params, StreamPtr> || ...) == Wire<P>::stream, "a stream's call takes a StreamPtr");
    table(P)[static_cast<std::size_t>(P) - 1] = {run<P, Result, Params...>, reinterpret_cast<void (*)()>(handler)};
  }

  bool has(Procedure procedure) const { return remote_[static_cast<std::size_t>(procedure) - 1].run; }

  /// Who answers a call of the remote program that has no handler, by what he throws or replies.
  void otherwise(void (*handler)(Client&, const rpc::Call&, const Row&)) { otherwise_ = handler; }

  /// Answers a call, now or by a coroutine. Throws core::Error where it does not get as far as the handler's reply.
  void serve(Client& client, rpc::Connection& connection, rpc::Call& call) const {
    const Row& row = admit(connection, call.header);
    const auto index = static_cast<std::size_t>(row.number) - 1;
    const Entry& entry = call.header.program == qemu_program ? qemu_[index] : remote_[index];
    if (entry.run) return entry.run(entry, client, connection, call, row);
    if (otherwise_ && call.header.program == remote_program) return otherwise_(client, call, row);
    throw no_support(row);
  }

 private:
  struct Entry {
    void (*run)(const Entry&, Client&, rpc::Connection&, rpc::Call&, const Row&) = nullptr;
    void (*handler)() = nullptr;
  };

  auto& table(Procedure) { return remote_; }
  auto& table(QemuProcedure) { return qemu_; }

  /// What a call is made with; a handler's parameters are picked from it by their types.
  template <class Args>
  struct Given {
    Client& client;
    rpc::Connection& connection;
    rpc::Call& call;
    Args args;

    template <class Param>
    Param get() {
      using Plain = std::remove_cvref_t<Param>;
      if constexpr (std::is_same_v<Plain, Client>) {
        return client;
      } else if constexpr (std::is_same_v<Plain, Client*>) {
        return &client;
      } else if constexpr (std::is_same_v<Plain, Fds>) {
        return std::move(call.fds);
      } else if constexpr (std::is_same_v<Plain, StreamPtr>) {
        return connection.open_stream(call.header);
      } else {
        static_assert(std::is_same_v<Plain, Args>, "the arguments that this procedure's Wire names");
        return std::forward<Param>(args);
      }
    }
  };

  template <class T>
  struct Deferred : std::false_type {
    using type = T;
  };
  template <class T>
  struct Deferred<core::Task<T>> : std::true_type {
    using type = T;
  };

  template <auto P, class Result, class... Params>
  static void run(const Entry& entry, Client& client, rpc::Connection& connection, rpc::Call& call, const Row& row) {
    using Args = typename Wire<P>::Args;
    using Value = typename Deferred<Result>::type;
    static_assert(std::is_same_v<std::conditional_t<std::is_void_v<Value>, Void, Value>, typename Wire<P>::Ret>,
                  "the result that this procedure's Wire names");
    Given<Args> given{client, connection, call, rpc::decode<Args>(call.payload)};
    if constexpr (requires { given.args.flags; }) check_flags(connection, row, given.args.flags);
    if constexpr (std::is_same_v<Args, DomainInterfaceAddressesArgs>) check_flags(connection, row, given.args.source);
    const auto handler = reinterpret_cast<Result (*)(Params...)>(entry.handler);
    if constexpr (Deferred<Result>::value) {
      // Decoded, the arguments take up to three times what they took as bytes.
      rpc::Connection::Running running(connection.shared_from_this(), 3 * call.payload.size());
      connection.loop().spawn(reply_later(std::move(running), call.header, handler(given.template get<Params>()...)));
    } else if constexpr (std::is_void_v<Result>) {
      handler(given.template get<Params>()...);
      connection.reply(call.header, Void{});
    } else {
      connection.reply(call.header, handler(given.template get<Params>()...));
    }
  }

  template <class Value>
  static core::Task<void> reply_later(rpc::Connection::Running running, rpc::Header call, core::Task<Value> task) {
    rpc::Connection& connection = running.connection();
    try {
      if constexpr (std::is_void_v<Value>) {
        co_await std::move(task);
        connection.reply(call, Void{});
      } else {
        connection.reply(call, co_await std::move(task));
      }
    } catch (const core::Error& error) {
      connection.reply_error(call, error);
    } catch (const std::exception& error) {
      connection.reply_error(call, core::Error(core::ErrorCode::internal_error, error.what()));
    }
  }

  static constexpr std::size_t last_remote =
      static_cast<std::size_t>(Procedure::network_event_callback_metadata_change);
  static constexpr std::size_t last_qemu = static_cast<std::size_t>(QemuProcedure::domain_monitor_command_with_files);
  std::array<Entry, last_remote> remote_{};
  std::array<Entry, last_qemu> qemu_{};
  void (*otherwise_)(Client&, const rpc::Call&, const Row&) = nullptr;
};

/// Sends an event to a client: send_event<Procedure::domain_event_callback_lifecycle>(connection, {callback, {…}}).
template <auto P>
void send_event(rpc::Connection& connection, const typename Wire<P>::Event& event) {
  connection.send_event(program_of(P), version, static_cast<std::int32_t>(P), event);
}

}  // namespace protocol
