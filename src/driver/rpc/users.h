#pragma once

#include <sys/types.h>

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <utility>

#include "driver/core/loop.h"

namespace rpc {

/// Shares out among users what their clients cost each other. The loop's time is given in turns, to the user and of its
/// clients to that one which had least of it (start-time fair queueing). What readers make the daemon hold has one
/// bound; beyond it the client that holds most, of the user that holds most, is closed.
class Users : public std::enable_shared_from_this<Users> {
 public:
  /// Readers are users of their own: whoever may write does not wait for them.
  struct Id {
    uid_t uid;
    bool readonly;
    auto operator<=>(const Id&) const = default;
  };
  struct User;
  using Clock = std::chrono::steady_clock;
  using Duration = Clock::duration;

  /// How long a turn is.
  static constexpr std::chrono::milliseconds turn_length{2};
  /// What all readers may make the daemon hold: one reply of the largest size, and some more.
  static constexpr std::size_t held_by_readers = 40 * 1024 * 1024;

  /// One client.
  class Account {
   public:
    /// `close` ends the client, with closed().
    Account(std::shared_ptr<Users> users, Id id, std::function<void()> close);
    Account(const Account&) = delete;
    Account& operator=(const Account&) = delete;
    ~Account();

    /// Whether anybody waits for a turn.
    bool crowded() const;
    /// It had that much of the loop's time.
    void spent(Duration time);
    /// Has `turn` called from the loop when it is this client's, or once it is gone.
    void await_turn(std::function<void()> turn);
    /// It makes the daemon hold that many bytes now. May close this client, or another.
    void holds(std::size_t bytes);
    /// The client is gone: what it waits for need not be waited for.
    void closed();

   private:
    friend class Users;
    const std::shared_ptr<Users> users_;
    const Id id_;
    User& user_;
    const std::function<void()> close_;
    std::uint64_t used_;  // of the loop's time, nanoseconds, from where its user was when it came
    std::size_t held_ = 0;
    bool closed_ = false;
  };

  /// To do what takes so much memory that but one reader at a time may.
  class Pass {
   public:
    explicit Pass(Account* account) : account_(account) {}
    Pass(Pass&& other) noexcept : account_(std::exchange(other.account_, nullptr)), since_(other.since_) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (account_) account_->users_->leave(account_->user_, Clock::now() - since_);
    }

   private:
    Account* account_;
    Clock::time_point since_ = Clock::now();
  };
  /// Waits for it until the user is the one who had it least; a writer need not. The caller keeps the account alive,
  /// also as long as it has the pass. Throws Error where the client leaves.
  static core::Task<Pass> pass(Account* account);

  std::size_t clients(Id id) const;

  explicit Users(core::Loop& loop);
  Users(const Users&) = delete;
  Users& operator=(const Users&) = delete;
  ~Users();

 private:
  struct Entrant;
  void go_on();
  void give_turn();
  void close_the_largest();
  void leave(User& user, Duration had);

  core::Loop& loop_;
  std::map<Id, User> users_;
  std::uint64_t now_ = 0;    // the time used by the user whose turn it was last
  std::uint64_t order_ = 0;  // of those that wait
  std::size_t waiting_ = 0;
  bool going_on_ = false;
  std::size_t held_ = 0;
  bool passed_ = false;         // somebody has the pass
  std::uint64_t pass_now_ = 0;  // how long it had it to whom it was given last
  std::list<Entrant*> entrants_;
};

}  // namespace rpc
