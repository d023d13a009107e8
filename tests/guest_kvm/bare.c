// Guests of a few instructions, one a SCENARIO: what a kernel does too seldom. kernel.py makes them what a monitor
// boots (Linux/x86 boot protocol, 64 bits).
__asm__("cli\n mov $0x80000, %rsp\n call scenario\n1: hlt\n jmp 1b\n");

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

static void put(u8 byte) {
  __asm__ volatile("outb %0, %1" ::"a"(byte), "Nd"((u16)0x3f8));
}
static void say(const char* text) {
  while (*text) put((u8)*text++);
}
static void say_number(u32 value) {
  for (int digit = 28; digit >= 0; digit -= 4) put((u8)("0123456789abcdef"[value >> digit & 15]));
  put('\n');
}
static void write8(u64 at, u8 value) {
  __asm__ volatile("movb %0, (%1)" ::"q"(value), "r"(at) : "memory");
}
static void write16(u64 at, u16 value) {
  __asm__ volatile("movw %0, (%1)" ::"r"(value), "r"(at) : "memory");
}
static void write32(u64 at, u32 value) {
  __asm__ volatile("movl %0, (%1)" ::"r"(value), "r"(at) : "memory");
}
static u32 read32(u64 at) {
  u32 value;
  __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(at) : "memory");
  return value;
}

static u64 config_of(u32 slot) {
  return 0xb0000000ul + (slot << 15);
}
// Virtio registers of a device in a slot of the root bus: BAR 2, 64 bits wide.
static void put_registers(u32 slot, u64 at) {
  write32(config_of(slot) + 0x18, (u32)at);
  write32(config_of(slot) + 0x1c, 0);
  write32(config_of(slot) + 0x04, 6);
}
// Brings a device up with one queue of one entry, whose rings lie at `ring`.
static void bring_up(u64 at, u32 ring) {
  const u8 steps[] = {0, 1, 3};
  for (int i = 0; i < 3; ++i) write8(at + 0x14, steps[i]);
  write32(at + 0x08, 1);
  write32(at + 0x0c, 1);  // VERSION_1
  write8(at + 0x14, 11);
  write16(at + 0x16, 0);
  write16(at + 0x18, 1);
  for (u32 part = 0; part < 3; ++part) {
    write32(at + 0x20 + 8 * part, ring + 0x1000 * part);
    write32(at + 0x24 + 8 * part, 0);
  }
  write16(at + 0x1c, 1);
  write8(at + 0x14, 15);
}

static const u64 registers = 0xc0000000ul, feature_select = 0x08;

#if SCENARIO == 1
// Adds to a register in one instruction, which is a read and a write of the device's, and says how often it was lost.
void scenario(void) {
  u32 lost = 0;
  put_registers(4, registers);
  write32(registers + feature_select, 0);
  say("begun\n");
  for (u32 n = 1; n <= 16384; ++n) {
    __asm__ volatile("incl (%0)" ::"r"(registers + feature_select) : "memory");
    if (read32(registers + feature_select) == n) continue;
    ++lost;
    write32(registers + feature_select, n);
  }
  say("lost ");
  say_number(lost);
}
#elif SCENARIO == 2
// Lays the registers of one running device over another's.
void scenario(void) {
  put_registers(4, registers);
  put_registers(5, registers + 0x10000);
  bring_up(registers, 0x2000000);
  bring_up(registers + 0x10000, 0x2010000);
  say("up\n");
  write32(config_of(5) + 0x18, (u32)registers);
  say("there ");
  say_number(read32(config_of(5) + 0x18));
}
#else
// Asks for an end or a new beginning and goes on, into a fault of which nothing may come: 3 by the fault itself, 4 by
// the keyboard controller, 5 by the reset register, 6 by soft off, 7 after a panic. A second processor does the same
// at the same time; where there is none, its start reaches nobody.
// Its code lies at 0x2000, what both know at 0x1000, and no vectors at 0x1010.
#if SCENARIO == 3
#define ASK ""
#elif SCENARIO == 4
#define ASK "mov $0xfe, %al\n out %al, $0x64\n"
#elif SCENARIO == 5
#define ASK "mov $0xcf9, %dx\n mov $2, %al\n out %al, %dx\n mov $6, %al\n out %al, %dx\n"
#elif SCENARIO == 6
#define ASK "mov $0x604, %dx\n mov $0x3400, %ax\n out %ax, %dx\n"
#else
#define ASK "mov $0x505, %dx\n mov $1, %al\n out %al, %dx\n"
#endif
__asm__(
    "second:\n .code16\n cli\n xor %ax, %ax\n mov %ax, %ds\n incb 0x1000\n"
    "1: cmpb $2, 0x1000\n jne 1b\n" ASK "lidt 0x1010\n int3\n .code64\n second_end:\n");
extern const u8 second[], second_end[];
static volatile u8* const met = (volatile u8*)0x1000;
static void start_second(u32 how) {
  write32(0xfee00310, 1u << 24);
  write32(0xfee00300, how);
  while (read32(0xfee00300) & 1u << 12) continue;
}
void scenario(void) {
  put('A');
  for (u32 i = 0; i < 0x20; ++i) met[i] = 0;
  const u32 size = (u32)((unsigned long)second_end - (unsigned long)second);
  for (u32 i = 0; i < size; ++i) ((volatile u8*)0x2000)[i] = second[i];
  start_second(0x4500);
  start_second(0x4602);
  for (u32 i = 0; i < 20000 && !*met; ++i) __asm__ volatile("pause");
  *met = 2;
  __asm__ volatile(ASK "lidt 0x1010\n int3\n");
}
#endif
