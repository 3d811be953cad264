/// Names and secrets from the system's source of randomness.
enum RandomName {
    private static let small = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")

    /// As `m-bp67acfmxazb4p1a2b3c`: 20 characters are 103 bits, so that nobody guesses another account's.
    static func id(_ prefix: String) -> String { prefix + "-" + text(20, of: small) }

    /// An account's: sixteen digits, of which the first is not 0.
    static func account() -> String { text(1, of: Array("123456789")) + text(15, of: Array("0123456789")) }

    /// A role's: eighteen digits, of which the first is 3.
    static func roleID() -> String { "3" + text(17, of: Array("0123456789")) }

    static func accessKeyID() -> String { "LTAI5t" + text(18, of: letters) }

    static func sessionKeyID() -> String { "STS.NT" + text(26, of: letters) }

    /// 30 of 62 characters hold 178 bits.
    static func secret() -> String { text(30, of: letters) }

    /// What goes with a temporary key: 96 characters.
    static func token() -> String { text(96, of: letters) }

    private static func text(_ count: Int, of alphabet: [Character]) -> String {
        var generator = SystemRandomNumberGenerator()
        return String((0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] })
    }
}
