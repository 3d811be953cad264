/// `0x` and all digits of the type, for messages.
func hex(_ value: some FixedWidthInteger & UnsignedInteger) -> String {
    let digits = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: max(0, type(of: value).bitWidth / 4 - digits.count)) + digits
}

/// The printed form of a UUID that is stored with its first three fields little-endian, as VirtualBox does.
func uuidText(littleEndianFields bytes: [UInt8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
    return uuidText(order.map { bytes[$0] })
}

/// The printed form of 16 bytes in the order of RFC 9562.
func uuidText(_ bytes: [UInt8]) -> String {
    var text = ""
    for (index, byte) in bytes.enumerated() {
        if [4, 6, 8, 10].contains(index) { text += "-" }
        text += String(hex(byte).dropFirst(2))
    }
    return text
}

/// The stored form of a printed UUID's bytes, first three fields little-endian; the map is its own inverse.
func littleEndianFields(_ bytes: [UInt8]) -> [UInt8] {
    [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map { bytes[$0] }
}
