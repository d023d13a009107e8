#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "vmm/monitor/machine_control.h"

namespace monitor {

/// A machine of words: it notes what it is told and has what a test gives it.
class FakeMachine : public MachineControl {
 public:
  std::vector<std::string> calls;
  cmdline::Config plan;
  std::string state = "running";
  std::vector<cmdline::Device> devices;
  std::vector<cmdline::Drive> drives;
  std::vector<cmdline::Netdev> netdevs;
  std::vector<cmdline::Chardev> added_chardevs;
  std::vector<Block> disks;
  std::optional<std::uint64_t> balloon_bytes;
  std::string refusal;  ///< what the next addition fails with
  std::function<void(const Event&)> told;

  const cmdline::Config& config() const override { return plan; }
  std::string arch() const override { return "x86_64"; }
  Status status() const override { return {state, state == "running"}; }
  void stop() override {
    state = "paused";
    tell({Event::Kind::stop, false, {}, 0});
  }
  void cont() override {
    state = "running";
    tell({Event::Kind::resume, false, {}, 0});
  }
  void reset() override { note("reset"); }
  void powerdown() override { note("powerdown"); }
  void quit() override {
    note("quit");
    tell({Event::Kind::shutdown, false, "host-qmp-quit", 0});
  }
  std::vector<Vcpu> vcpus() const override { return {{100}, {101}}; }
  std::vector<bool> vcpus_halted() override { return {false, true}; }
  std::vector<Iothread> iothreads() const override { return {{"iothread1", 200}}; }
  std::vector<Chardev> chardevs() const override { return {{"charconsole0", "pty:/dev/pts/3", true}}; }
  std::vector<Block> blocks() const override { return disks; }
  std::vector<std::string> device_ids() const override { return {"disk0", "port0"}; }
  std::optional<std::uint64_t> balloon() const override { return balloon_bytes; }
  void set_balloon(std::uint64_t bytes) override { note("balloon " + std::to_string(bytes)); }
  void add_device(const cmdline::Device& device) override {
    accept();
    devices.push_back(device);
  }
  void remove_device(const std::string& id) override {
    if (std::ranges::find(devices, id, cmdline::id_of) == devices.end()) {
      throw Refusal(Refusal::Class::device_not_found, "Device '" + id + "' not found");
    }
    note("remove device " + id);
  }
  void add_drive(const cmdline::Drive& drive) override {
    accept();
    drives.push_back(drive);
  }
  void remove_drive(const std::string& id) override { note("remove drive " + id); }
  void add_netdev(const cmdline::Netdev& netdev) override {
    accept();
    netdevs.push_back(netdev);
  }
  void remove_netdev(const std::string& id) override { note("remove netdev " + id); }
  std::string add_chardev(const cmdline::Chardev& chardev) override {
    accept();
    added_chardevs.push_back(chardev);
    return chardev.kind == cmdline::Chardev::Kind::pty ? "pty:/dev/pts/9" : "unix:" + chardev.path;
  }
  void remove_chardev(const std::string& id) override { note("remove chardev " + id); }
  void add_object(const cmdline::Object& object) override {
    accept();
    note("add " + std::visit([](const auto& one) { return one.id; }, object));
  }
  void remove_object(const std::string& id) override { note("remove object " + id); }
  void set_iops(const std::string& id, std::uint64_t iops) override { note("iops " + id + ' ' + std::to_string(iops)); }
  void set_link(const std::string& id, bool up) override { note("link " + id + (up ? " up" : " down")); }

 private:
  void note(std::string what) { calls.push_back(std::move(what)); }
  void tell(const Event& event) {
    if (told) told(event);
  }
  void accept() {
    if (!refusal.empty()) throw std::runtime_error(std::exchange(refusal, {}));
  }
};

}  // namespace monitor
