#include "vmm/monitor/qmp_session.h"

#include <chrono>
#include <utility>

namespace monitor {

void QmpSession::connected(bool there) {
  forget();
  connected_ = there;
  if (there) send(greeting());
}

/// Nothing of one peer reaches the next.
void QmpSession::forget() {
  client_ = {};
  input_.clear();
  output_.clear();
  held_.clear();
  last_told_.reset();
  begin_ = scanned_ = 0;
  gone_ = 0;
  scanner_ = {};
  skip_ = Skip::nothing;
}

void QmpSession::take(std::span<const std::uint8_t> bytes, std::vector<base::UniqueFd> descriptors) {
  if (!connected_) return;
  client_.descriptors.came(std::move(descriptors), gone_ + input_.size());
  input_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  read_requests();
}

void QmpSession::writable() {
  flush();
  read_requests();
}

void QmpSession::tell(const Event& event) {
  if (!connected_) return;
  if (output_.size() > enough && event == last_told_) return;
  using namespace std::chrono;
  const auto now = duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
  const std::string text = monitor::tell(event, now / 1'000'000, now % 1'000'000);
  if (busy_ || !client_.begun()) {
    hold(text);
  } else {
    send(text);
    last_told_ = event;
    if (output_.size() > most_output) peer_.hang_up();
  }
}

/// Whether a byte is still part of what was refused.
bool QmpSession::skip(char byte) {
  if (skip_ == Skip::to_end) {
    const bool was_too_deep = scanner_.too_deep();
    try {
      if (scanner_.ends(byte)) skip_ = Skip::nothing;
      return true;
    } catch (const qmp::ProtocolError&) {
      if (scanner_.too_deep() && !was_too_deep) return true;  // of what is too long already
      skip_ = Skip::to_object;
      scanner_ = {};
    }
  }
  if (skip_ == Skip::nothing) return false;
  if (byte == '\n' || byte == '{') skip_ = Skip::nothing;
  return byte != '{';
}

void QmpSession::read_requests() {
  if (busy_) return;
  while (scanned_ < input_.size() && output_.size() < enough) {
    const char byte = input_[scanned_];
    if (skip(byte)) {
      begin_ = ++scanned_;
      continue;
    }
    ++scanned_;
    try {
      if (scanner_.ends(byte)) {
        execute(std::string_view(input_).substr(begin_, scanned_ - begin_));
        begin_ = scanned_;
      } else if (!scanner_.inside()) {
        begin_ = scanned_;  // space between requests
      }
    } catch (const qmp::ProtocolError& error) {
      skip_ = scanner_.too_deep() ? Skip::to_end : Skip::to_object;
      if (skip_ == Skip::to_object) scanner_ = {};
      refuse(error.what());
    }
  }
  input_.erase(0, begin_);
  gone_ += begin_;
  scanned_ -= std::exchange(begin_, 0);
  if (input_.size() == longest_request && scanned_ == input_.size()) {
    skip_ = Skip::to_end;
    refuse("the request is longer than " + std::to_string(longest_request) + " bytes");
    gone_ += input_.size();
    input_.clear();
    begin_ = scanned_ = 0;
  }
  if (output_.size() > most_output) peer_.hang_up();
}

void QmpSession::execute(std::string_view request) {
  busy_ = true;
  client_.descriptors.reached(gone_ + scanned_);
  send(answer(request, machine_, client_));
  busy_ = false;
  if (!client_.begun()) return;
  output_ += std::exchange(held_, {});
  flush();
}

void QmpSession::refuse(const std::string& why) {
  begin_ = scanned_;
  send(refuse_input(why));
}

void QmpSession::hold(const std::string& event) {
  held_ += event;
  held_ += "\r\n";
  while (held_.size() > enough) held_.erase(0, held_.find('\n') + 1);
}

void QmpSession::send(const std::string& text) {
  last_told_.reset();
  output_ += text;
  output_ += "\r\n";
  flush();
}

void QmpSession::flush() {
  if (output_.empty()) return;
  output_.erase(0, peer_.write({reinterpret_cast<const std::uint8_t*>(output_.data()), output_.size()}));
}

}  // namespace monitor
