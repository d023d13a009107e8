#include "vmm/hypervisor/kvm/vm.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/file.h"
#include "vmm/hypervisor/kvm/lists.h"

namespace kvm {

int control(int fd, unsigned long request, unsigned long argument, const char* name) {
  for (;;) {
    const int result = ::ioctl(fd, request, argument);
    if (result >= 0) return result;
    if (errno != EINTR) base::throw_errno(errno, name);
  }
}

/// A memory slot of the machine.
class Slot : public hypervisor::MappedMemory {
 public:
  Slot(Vm& vm, std::uint64_t address, std::span<std::uint8_t> bytes, bool read_only) : vm_(vm) {
    {
      const base::Lock lock(vm.mutex_);
      for (number_ = 0; number_ < vm.slots_.size() && vm.slots_[number_];) ++number_;
      if (number_ == vm.most_slots_) throw std::runtime_error("this host's KVM has no more memory slots");
      if (number_ == vm.slots_.size()) vm.slots_.push_back(true);
      vm.slots_[number_] = true;
    }
    try {
      set(address, bytes, read_only ? KVM_MEM_READONLY : 0);
    } catch (...) {
      release();
      throw;
    }
  }
  ~Slot() override {
    kvm_userspace_memory_region nothing{};
    nothing.slot = number_;
    ::ioctl(vm_.fd(), KVM_SET_USER_MEMORY_REGION, &nothing);
    release();
  }

 private:
  void set(std::uint64_t address, std::span<std::uint8_t> bytes, std::uint32_t flags) {
    kvm_userspace_memory_region region{};
    region.slot = number_;
    region.flags = flags;
    region.guest_phys_addr = address;
    region.memory_size = bytes.size();
    region.userspace_addr = reinterpret_cast<std::uint64_t>(bytes.data());
    control(vm_.fd(), KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
  }
  void release() {
    const base::Lock lock(vm_.mutex_);
    vm_.slots_[number_] = false;
  }

  Vm& vm_;
  unsigned number_ = 0;
};

namespace {

class IoEvent : public hypervisor::WriteEvent {
 public:
  IoEvent(int vm, const kvm_ioeventfd& event) : vm_(vm), event_(event) {
    control(vm_, KVM_IOEVENTFD, &event_, "KVM_IOEVENTFD");
  }
  ~IoEvent() override {
    event_.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
    ::ioctl(vm_, KVM_IOEVENTFD, &event_);
  }

 private:
  int vm_;
  kvm_ioeventfd event_;
};

}  // namespace

/// An irqfd with a route of its own. The kernel's table of routes is replaced as a whole, which is slow, so a message
/// that changed is put there only when it is next sent, or at once where somebody else holds its eventfd.
class Vm::Message : public irq::Message {
 public:
  explicit Message(Vm& vm) : vm_(vm) {}
  ~Message() override {
    if (!event_) return;
    attach(event_.get(), KVM_IRQFD_FLAG_DEASSIGN);
    vm_.free_gsi(gsi_);
  }
  void set(std::uint64_t address, std::uint32_t data) override {
    const base::Lock lock(mutex_);
    if (address == route_.address && data == route_.data) return;
    route_ = {address, data};
    changed_ = true;
    if (lent_) commit();
  }
  void send() override {
    const base::Lock lock(mutex_);
    try {
      commit();
    } catch (const std::exception&) {  // out of descriptors or of routes: this way is slower and needs neither
      kvm_msi message{};
      message.address_lo = static_cast<std::uint32_t>(route_.address);
      message.address_hi = static_cast<std::uint32_t>(route_.address >> 32);
      message.data = route_.data;
      ::ioctl(vm_.fd(), KVM_SIGNAL_MSI, &message);
      return;
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof one);
  }
  int eventfd() override {
    const base::Lock lock(mutex_);
    commit();
    lent_ = true;
    return event_.get();
  }

 private:
  void commit() REQUIRES(mutex_) {
    if (!event_) {
      base::UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      if (!event) base::throw_errno(errno, "eventfd");
      gsi_ = vm_.allocate_gsi();
      try {
        vm_.route(gsi_, route_);
        attach(event.get(), 0);
      } catch (...) {
        vm_.free_gsi(gsi_);
        throw;
      }
      event_ = std::move(event);
    } else if (changed_) {
      vm_.route(gsi_, route_);
    }
    changed_ = false;
  }
  void attach(int event, std::uint32_t flags) {
    kvm_irqfd irqfd{};
    irqfd.fd = static_cast<std::uint32_t>(event);
    irqfd.gsi = gsi_;
    irqfd.flags = flags;
    control(vm_.fd(), KVM_IRQFD, &irqfd, "KVM_IRQFD");
  }

  Vm& vm_;
  base::Mutex mutex_;
  Route route_;
  base::UniqueFd event_;
  unsigned gsi_ = 0;
  bool changed_ = false, lent_ = false;
};

Vm::Vm() : kvm_(base::open_file("/dev/kvm", O_RDWR)) {
  constexpr int api = 12;
  if (control(kvm_.get(), KVM_GET_API_VERSION, 0UL, "KVM_GET_API_VERSION") != api) {
    throw std::runtime_error("this host's KVM has another API version than 12");
  }
  constexpr struct {
    int number;
    const char* name;
  } needed[] = {{KVM_CAP_IRQCHIP, "an interrupt controller in the kernel"},
                {KVM_CAP_IOEVENTFD, "ioeventfd"},
                {KVM_CAP_IRQFD, "irqfd"},
                {KVM_CAP_IRQ_ROUTING, "interrupt routing"},
                {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
                {KVM_CAP_READONLY_MEM, "read-only memory"}};
  for (const auto& one : needed) {
    if (::ioctl(kvm_.get(), KVM_CHECK_EXTENSION, one.number) <= 0) {
      throw std::runtime_error(std::string("this host's KVM lacks ") + one.name);
    }
  }
  vm_.reset(control(kvm_.get(), KVM_CREATE_VM, 0UL, "KVM_CREATE_VM"));
  run_size_ = static_cast<std::size_t>(control(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0UL, "KVM_GET_VCPU_MMAP_SIZE"));
  most_slots_ = static_cast<unsigned>(::ioctl(kvm_.get(), KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS));
  most_gsis_ = static_cast<unsigned>(::ioctl(kvm_.get(), KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING));

  // Three pages of a task state and one of an identity map, which Intel's KVM wants, below the flash.
  constexpr std::uint64_t identity_map = 0xfeff'c000, task_state = identity_map + 0x1000;
  std::uint64_t address = identity_map;
  control(vm_.get(), KVM_SET_IDENTITY_MAP_ADDR, &address, "KVM_SET_IDENTITY_MAP_ADDR");
  control(vm_.get(), KVM_SET_TSS_ADDR, static_cast<unsigned long>(task_state), "KVM_SET_TSS_ADDR");
  control(vm_.get(), KVM_CREATE_IRQCHIP, 0UL, "KVM_CREATE_IRQCHIP");
  kvm_pit_config pit{};
  pit.flags = KVM_PIT_SPEAKER_DUMMY;
  control(vm_.get(), KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2");
  for (std::uint32_t i = 0; i < chips_.size(); ++i) {
    chips_[i].chip_id = i;
    control(vm_.get(), KVM_GET_IRQCHIP, &chips_[i], "KVM_GET_IRQCHIP");
  }
  control(vm_.get(), KVM_GET_PIT2, &pit_, "KVM_GET_PIT2");
  const base::Lock lock(mutex_);
  commit_routes();
}

void Vm::stop_clock() {
  kvm_clock_data now{};
  if (::ioctl(vm_.get(), KVM_GET_CLOCK, &now) == 0) stopped_at_ = now.clock;
}

void Vm::start_clock() {
  if (!stopped_at_) return;
  kvm_clock_data then{};
  then.clock = *std::exchange(stopped_at_, {});
  ::ioctl(vm_.get(), KVM_SET_CLOCK, &then);
}

void Vm::reset() {
  for (kvm_irqchip& chip : chips_) control(vm_.get(), KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
  control(vm_.get(), KVM_SET_PIT2, &pit_, "KVM_SET_PIT2");
}

std::unique_ptr<hypervisor::MappedMemory> Vm::map(std::uint64_t address, std::span<std::uint8_t> bytes,
                                                  bool read_only) {
  return std::make_unique<Slot>(*this, address, bytes, read_only);
}

std::unique_ptr<hypervisor::WriteEvent> Vm::on_write(std::uint64_t address, unsigned size,
                                                     std::optional<std::uint64_t> value, int eventfd) {
  kvm_ioeventfd event{};
  event.addr = address;
  event.len = size;
  event.fd = eventfd;
  if (value) {
    event.datamatch = *value;
    event.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  }
  return std::make_unique<IoEvent>(vm_.get(), event);
}

void Vm::set_line(unsigned gsi, bool high) {
  kvm_irq_level level{};
  level.irq = gsi;
  level.level = high;
  control(vm_.get(), KVM_IRQ_LINE, &level, "KVM_IRQ_LINE");
}

std::unique_ptr<irq::Message> Vm::make_message() {
  return std::make_unique<Message>(*this);
}

unsigned Vm::allocate_gsi() {
  const base::Lock lock(mutex_);
  for (unsigned gsi = pins; gsi < most_gsis_; ++gsi) {
    if (routes_.emplace(gsi, Route{}).second) return gsi;
  }
  throw std::runtime_error("this host's KVM has no more interrupt routes");
}

void Vm::free_gsi(unsigned gsi) {
  const base::Lock lock(mutex_);
  routes_.erase(gsi);  // leaves the kernel's table with the next change
}

void Vm::route(unsigned gsi, const Route& message) {
  const base::Lock lock(mutex_);
  routes_[gsi] = message;
  commit_routes();
}

void Vm::commit_routes() {
  std::vector<kvm_irq_routing_entry> entries;
  const auto chip = [&](unsigned gsi, std::uint32_t which, std::uint32_t pin) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = which;
    entry.u.irqchip.pin = pin;
    entries.push_back(entry);
  };
  for (unsigned gsi = 0; gsi < pins; ++gsi) {
    if (gsi == 2) continue;  // the PICs' own cascade
    if (gsi < 16) chip(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
    chip(gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);  // the timer is wired to pin 2 (the MADT says so)
  }
  for (const auto& [gsi, message] : routes_) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<std::uint32_t>(message.address);
    entry.u.msi.address_hi = static_cast<std::uint32_t>(message.address >> 32);
    entry.u.msi.data = message.data;
    entries.push_back(entry);
  }
  std::vector<std::uint8_t> table = to_bytes(entries);
  control(vm_.get(), set_gsi_routing, table.data(), "KVM_SET_GSI_ROUTING");
}

}  // namespace kvm
