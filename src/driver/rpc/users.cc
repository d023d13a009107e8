#include "driver/rpc/users.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <vector>

#include "driver/core/error.h"

namespace rpc {

struct Users::User {
  struct Waiter {
    Account* account;
    std::function<void()> turn;
  };
  std::vector<Account*> accounts;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Waiter> waiting;  // by the time used, then by when they came
  std::uint64_t used = 0;                                             // of the loop's time, nanoseconds
  std::uint64_t now = 0;     // the time used by the client whose turn it was last
  std::uint64_t passed = 0;  // had the pass, nanoseconds
};

/// Who waits for the pass.
struct Users::Entrant {
  Entrant(Account& of, core::asio::io_context& context) : account(of), signal(context) {
    account.users_->entrants_.push_back(this);
  }
  Entrant(const Entrant&) = delete;
  Entrant& operator=(const Entrant&) = delete;
  ~Entrant() { account.users_->entrants_.remove(this); }

  Account& account;
  core::Signal signal;
  bool called = false;
};

Users::Users(core::Loop& loop) : loop_(loop) {}
Users::~Users() = default;

std::size_t Users::clients(Id id) const {
  const auto found = users_.find(id);
  return found == users_.end() ? 0 : found->second.accounts.size();
}

Users::Account::Account(std::shared_ptr<Users> users, Id id, std::function<void()> close)
    : users_(std::move(users)), id_(id), user_(users_->users_[id]), close_(std::move(close)), used_(user_.now) {
  user_.accounts.push_back(this);
}

Users::Account::~Account() {
  holds(0);
  closed();
  std::erase(user_.accounts, this);
  if (user_.accounts.empty()) users_->users_.erase(id_);
}

void Users::Account::closed() {
  closed_ = true;
  std::vector<std::function<void()>> turns;
  users_->waiting_ -= std::erase_if(user_.waiting, [&](auto& one) {
    if (one.second.account != this) return false;
    turns.push_back(std::move(one.second.turn));
    return true;
  });
  for (const auto& turn : turns) turn();
  for (Entrant* one : users_->entrants_) {
    if (&one->account == this) one->signal.notify();
  }
}

// --- time

bool Users::Account::crowded() const {
  return users_->waiting_ > 0;
}

void Users::Account::spent(Duration time) {
  const auto used = static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count());
  // Who was away has not saved up what it did not use.
  used_ = std::max(used_, user_.now) + used;
  user_.used = std::max(user_.used, users_->now_) + used;
  // What kept nobody waiting is no debt towards those who come later.
  if (user_.waiting.empty()) user_.now = std::max(user_.now, used_);
  if (users_->waiting_ == 0) users_->now_ = std::max(users_->now_, user_.used);
}

void Users::Account::await_turn(std::function<void()> turn) {
  const auto place = std::pair(std::max(used_, user_.now), ++users_->order_);
  user_.waiting.emplace(place, User::Waiter{this, std::move(turn)});
  ++users_->waiting_;
  users_->go_on();
}

/// After all that is ready now.
void Users::go_on() {
  if (std::exchange(going_on_, true)) return;
  core::asio::post(loop_.context(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->give_turn();
  });
}

void Users::give_turn() {
  going_on_ = false;
  const auto start = [this](const User& user) { return std::max(user.used, now_); };
  User* next = nullptr;
  for (auto& [id, user] : users_) {
    if (!user.waiting.empty() && (!next || start(user) < start(*next))) next = &user;
  }
  if (!next) return;
  now_ = start(*next);
  const auto first = next->waiting.begin();
  next->now = first->first.first;
  const auto turn = std::move(first->second.turn);
  next->waiting.erase(first);
  if (--waiting_ > 0) go_on();
  turn();
}

// --- memory

void Users::Account::holds(std::size_t bytes) {
  if (!id_.readonly || bytes == held_) return;
  const bool more = bytes > held_;
  users_->held_ += bytes - held_;
  held_ = bytes;
  if (more) users_->close_the_largest();
}

void Users::close_the_largest() {
  std::size_t left = held_;  // without those that are closed now: what they still hold goes with their calls
  while (left > held_by_readers) {
    const Account* largest = nullptr;
    std::size_t most = 0;
    for (const auto& [id, user] : users_) {
      const Account* of_user = nullptr;
      std::size_t sum = 0;
      for (const Account* one : user.accounts) {
        if (one->closed_) continue;
        sum += one->held_;
        if (!of_user || one->held_ > of_user->held_) of_user = one;
      }
      if (sum <= most) continue;
      most = sum;
      largest = of_user;
    }
    if (!largest) return;
    left -= largest->held_;
    largest->close_();
  }
}

// --- the pass

core::Task<Users::Pass> Users::pass(Account* account) {
  if (!account->id_.readonly) co_return Pass(nullptr);
  Users& users = *account->users_;
  if (users.passed_) {
    Entrant entrant(*account, users.loop_.context());
    while (!entrant.called && !account->closed_) co_await entrant.signal.wait();
    if (!entrant.called) throw core::Error(core::ErrorCode::operation_aborted, "the client is gone");
  }
  users.passed_ = true;
  co_return Pass(account);
}

/// Hands the pass on to the user who had it least, and of its calls to the first.
void Users::leave(User& user, Duration had) {
  passed_ = false;
  user.passed = std::max(user.passed, pass_now_) + static_cast<std::uint64_t>(std::chrono::nanoseconds(had).count());
  const auto start = [this](const Entrant* one) { return std::max(one->account.user_.passed, pass_now_); };
  Entrant* next = nullptr;
  for (Entrant* one : entrants_) {
    if (!one->account.closed_ && (!next || start(one) < start(next))) next = one;
  }
  pass_now_ = next ? start(next) : std::max(pass_now_, user.passed);
  if (!next) return;
  passed_ = next->called = true;
  next->signal.notify();
}

}  // namespace rpc
