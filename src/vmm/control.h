#pragma once

#include <functional>

#include "vmm/machine/machine.h"
#include "vmm/monitor/machine_control.h"

/// A machine as its monitors drive it.
class Control : public monitor::MachineControl {
 public:
  explicit Control(machine::Machine& machine) : machine_(machine) {}

  const cmdline::Config& config() const override { return machine_.config(); }
  std::string arch() const override { return "x86_64"; }

  monitor::Status status() const override;
  void stop() override { machine_.pause(); }
  void cont() override { machine_.resume(); }
  void reset() override { machine_.reset(false); }
  void powerdown() override { machine_.press_power_button(); }
  void quit() override { machine_.quit("host-qmp-quit"); }

  std::vector<monitor::Vcpu> vcpus() const override;
  std::vector<bool> vcpus_halted() override { return machine_.vcpus_halted(); }
  std::vector<monitor::Iothread> iothreads() const override;
  std::vector<monitor::Chardev> chardevs() const override;
  std::vector<monitor::Block> blocks() const override;
  std::vector<std::string> device_ids() const override { return machine_.devices().ids(); }

  std::optional<std::uint64_t> balloon() const override { return {}; }
  void set_balloon(std::uint64_t bytes) override;

  void add_device(const cmdline::Device& device) override;
  void remove_device(const std::string& id) override;
  void add_drive(const cmdline::Drive& drive) override;
  void remove_drive(const std::string& id) override;
  void add_netdev(const cmdline::Netdev& netdev) override;
  void remove_netdev(const std::string& id) override;
  std::string add_chardev(const cmdline::Chardev& chardev) override;
  void remove_chardev(const std::string& id) override;
  void add_object(const cmdline::Object& object) override;
  void remove_object(const std::string& id) override;
  void set_iops(const std::string& id, std::uint64_t iops) override;
  void set_link(const std::string& id, bool up) override;

 private:
  machine::Machine& machine_;
};

/// A machine's event as monitors tell it.
monitor::Event to_monitor(const machine::Event& event);
