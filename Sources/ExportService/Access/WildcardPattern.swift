/// A text with wildcards: `*` for any characters, none too, and `?` for one.
struct WildcardPattern: Hashable, Sendable {
    let text: String
    private let scalars: [UnicodeScalar]
    private let ignoresCase: Bool

    /// - Parameter ignoresCase: of ASCII letters.
    init(_ text: String, ignoresCase: Bool = false) {
        self.text = text
        self.ignoresCase = ignoresCase
        scalars = Self.scalars(text, ignoresCase)
    }

    /// Takes at most as many steps as the product of both lengths, whatever they hold.
    func matches(_ text: String) -> Bool {
        let text = Self.scalars(text, ignoresCase)
        var (place, position) = (0, 0)
        // Where the last `*` stands, and what it has taken so far: only that one can ever take more.
        var star: (place: Int, position: Int)?
        while position < text.count {
            if place < scalars.count, scalars[place] == "*" {
                star = (place, position)
                place += 1
            } else if place < scalars.count, scalars[place] == "?" || scalars[place] == text[position] {
                place += 1
                position += 1
            } else if let last = star {
                star = (last.place, last.position + 1)
                (place, position) = (last.place + 1, last.position + 1)
            } else {
                return false
            }
        }
        return scalars[place...].allSatisfy { $0 == "*" }
    }

    private static func scalars(_ text: String, _ ignoresCase: Bool) -> [UnicodeScalar] {
        text.unicodeScalars.map { scalar in
            guard ignoresCase, ("A"..."Z").contains(scalar) else { return scalar }
            return UnicodeScalar(UInt8(scalar.value) | 0x20)
        }
    }
}
