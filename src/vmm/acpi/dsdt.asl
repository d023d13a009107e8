// What a guest's kernel is told of the machine beside the fixed tables (ACPI 6.4). The numbers are those of
// machine/q35_layout.h.
DefinitionBlock ("", "DSDT", 2, "STRATO", "VIRTQ35 ", 1)
{
    External (LBUS, IntObj)  // the last bus of PCI (tables.cc)

    // Soft off: what is written to SLP_TYP (PM1 control).
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_SEG, 0)
            Name (_BBN, 0)
            Method (_CRS, 0, Serialized)
            {
                Name (ROOM, ResourceTemplate ()
                {
                    WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xff, 0, 0x100, , , BUSN)
                    IO (Decode16, 0xcf8, 0xcf8, 1, 8)
                    WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0cf7, 0, 0x0cf8)
                    WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0d00, 0xffff, 0, 0xf300)
                    DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                                 0, 0xc0000000, 0xefffffff, 0, 0x30000000)
                })
                CreateWordField (ROOM, BUSN._MAX, LAST)
                CreateWordField (ROOM, BUSN._LEN, SIZE)
                LAST = LBUS
                SIZE = LBUS + 1
                Return (ROOM)
            }

            // What the operating system may do by itself: everything of PCI Express but LTR, hot plugging included.
            Name (CTRL, 0)
            Method (_OSC, 4, Serialized)
            {
                CreateDWordField (Arg3, 0, CDW1)
                If (Arg0 == ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766"))
                {
                    CreateDWordField (Arg3, 4, CDW2)
                    CreateDWordField (Arg3, 8, CDW3)
                    CTRL = CDW3 & 0x1f
                    If (Arg1 != 1) { CDW1 |= 0x08 }
                    If (CDW3 != CTRL) { CDW1 |= 0x10 }
                    CDW3 = CTRL
                }
                Else
                {
                    CDW1 |= 0x04
                }
                Return (Arg3)
            }

            // INTx of slot s, pin p reaches input 16 + (s + p) % 4 of the IOAPIC.
            Method (_PRT, 0, Serialized)
            {
                Local0 = Package (128) {}
                Local1 = 0
                While (Local1 < 128)
                {
                    Local2 = Local1 >> 2
                    Local3 = Local1 & 3
                    Local4 = Package (4) { 0, 0, 0, 0 }
                    Local4 [0] = (Local2 << 16) | 0xffff
                    Local4 [1] = Local3
                    Local4 [3] = 16 + ((Local2 + Local3) & 3)
                    Local0 [Local1] = Local4
                    Local1++
                }
                Return (Local0)
            }

            Device (ISA)
            {
                Name (_ADR, 0x001f0000)

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x70, 0x70, 1, 2)
                        IRQNoFlags () { 8 }
                    })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x3f8, 0x3f8, 1, 8)
                        IRQNoFlags () { 4 }
                    })
                }
            }
        }

        // Where the kernel tells that it has panicked (platform/panic.h).
        Device (PEVT)
        {
            Name (_HID, "QEMU0001")
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x505, 0x505, 1, 1) })
            Name (_STA, 0x0b)
        }

        // Configuration space by memory, and ports that belong to no device: not to be given to one.
        Device (RES0)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                DWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0, 0xb0000000, 0xbfffffff, 0, 0x10000000)
                IO (Decode16, 0x600, 0x600, 1, 0x10)
            })
        }
    }
}
