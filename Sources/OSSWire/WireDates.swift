/// A time of day in the proleptic Gregorian calendar, UTC, to the second.
struct CivilTime: Hashable {
    var year: Int
    var month: Int
    var day: Int
    var hour: Int
    var minute: Int
    var second: Int

    /// - Parameter seconds: since 1970-01-01 UTC.
    init(_ seconds: UInt64) {
        // Nothing that can be written with four digits for the year is later.
        let seconds = min(seconds, 253_402_300_799)
        let days = Int(seconds / 86_400)
        let rest = Int(seconds % 86_400)
        (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60)
        // Years are counted from March 1 of the year 0, so that the leap day is the last of its year; 146,097 days are 400
        // years, and 153 days are the five months from March, or August, on.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
    }

    /// Nil where the fields are no time from 1970 to 9999; a leap second counts as the one before it.
    init?(year: Int?, month: Int?, day: Int?, hour: Int?, minute: Int?, second: Int?) {
        guard let year, let month, let day, let hour, let minute, let second, (1970...9999).contains(year),
            (1...12).contains(month), (0...23).contains(hour), (0...59).contains(minute), (0...60).contains(second)
        else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...lengths[month - 1]).contains(day) else { return nil }
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, min(second, 59))
    }

    private var daysSince1970: Int {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// Since 1970-01-01 UTC.
    var seconds: UInt64 { UInt64(daysSince1970 * 86_400 + hour * 3600 + minute * 60 + second) }

    /// From 0, Sunday.
    var weekday: Int { (daysSince1970 + 4) % 7 }
}

extension Int {
    /// In decimal with zeros in front.
    func digits(_ count: Int) -> String {
        let text = String(self)
        return String(repeating: "0", count: Swift.max(0, count - text.count)) + text
    }
}

extension Substring {
    /// The number where all characters are decimal digits, else nil.
    fileprivate var number: Int? {
        utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } ? Int(self) : nil
    }
}

/// Dates of HTTP headers: `Wed, 28 Dec 2022 10:27:41 GMT` (RFC 9110, section 5.6.7, IMF-fixdate).
public enum HTTPDate {
    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// - Parameter seconds: since 1970-01-01 UTC.
    public static func format(_ seconds: UInt64) -> String {
        let time = CivilTime(seconds)
        let date = "\(time.day.digits(2)) \(months[time.month - 1]) \(time.year.digits(4))"
        let clock = "\(time.hour.digits(2)):\(time.minute.digits(2)):\(time.second.digits(2))"
        return "\(weekdays[time.weekday]), \(date) \(clock) GMT"
    }

    /// Seconds since 1970-01-01 UTC; nil where the text is no such date.
    ///
    /// The day of the week is not looked at.
    public static func parse(_ text: String) -> UInt64? {
        let words = text.split(separator: " ")
        guard text.utf8.count <= 40, words.count == 6, words[0].hasSuffix(","), words[5] == "GMT",
            let month = months.firstIndex(of: String(words[2]))
        else { return nil }
        let clock = words[4].split(separator: ":", omittingEmptySubsequences: false)
        guard clock.count == 3 else { return nil }
        return CivilTime(
            year: words[3].number, month: month + 1, day: words[1].number, hour: clock[0].number,
            minute: clock[1].number, second: clock[2].number)?.seconds
    }
}

/// Dates of ISO 8601, in UTC: `20221228T102741Z` in signatures, `2022-12-28T10:27:41.000Z` in bodies.
public enum ISO8601 {
    /// - Parameter seconds: since 1970-01-01 UTC.
    public static func formatBasic(_ seconds: UInt64) -> String {
        let time = CivilTime(seconds)
        let day = "\(time.year.digits(4))\(time.month.digits(2))\(time.day.digits(2))"
        return "\(day)T\(time.hour.digits(2))\(time.minute.digits(2))\(time.second.digits(2))Z"
    }

    /// With three digits of milliseconds, which are zero.
    ///
    /// - Parameter seconds: since 1970-01-01 UTC.
    public static func format(_ seconds: UInt64) -> String {
        let time = CivilTime(seconds)
        let day = "\(time.year.digits(4))-\(time.month.digits(2))-\(time.day.digits(2))"
        return "\(day)T\(time.hour.digits(2)):\(time.minute.digits(2)):\(time.second.digits(2)).000Z"
    }

    /// Seconds since 1970-01-01 UTC of `yyyymmddThhmmssZ`; nil for any other text.
    public static func parseBasic(_ text: String) -> UInt64? {
        guard text.utf8.count == 16, text.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let characters = Array(text)
        guard characters[8] == "T", characters[15] == "Z" else { return nil }
        func number(_ range: Range<Int>) -> Int? { Substring(String(characters[range])).number }
        return CivilTime(
            year: number(0..<4), month: number(4..<6), day: number(6..<8), hour: number(9..<11),
            minute: number(11..<13), second: number(13..<15))?.seconds
    }

    /// Seconds since 1970-01-01 UTC of `yyyy-mm-ddThh:mm:ssZ`, with or without a fraction, which is dropped; nil for any
    /// other text.
    public static func parse(_ text: String) -> UInt64? {
        let halves = text.split(separator: "T", omittingEmptySubsequences: false)
        guard text.utf8.count <= 40, halves.count == 2, halves[1].hasSuffix("Z") else { return nil }
        let time = halves[1].dropLast().split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(time.count), time.count == 1 || (time[1].number != nil && !time[1].isEmpty)
        else { return nil }
        let day = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        let clock = time[0].split(separator: ":", omittingEmptySubsequences: false)
        guard day.count == 3, clock.count == 3 else { return nil }
        return CivilTime(
            year: day[0].number, month: day[1].number, day: day[2].number, hour: clock[0].number,
            minute: clock[1].number, second: clock[2].number)?.seconds
    }
}
