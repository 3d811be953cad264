internal import Glibc

/// What a failed call on `path` becomes.
func storeError(_ operation: String, _ number: Int32, path: String) -> StoreError {
    let text = unsafe String(cString: strerror(number))
    let place = "\(operation) \(path)"
    switch number {
    case ENOSPC, EDQUOT:
        return StoreError(.noSpace, "\(text); free some space where the bucket is", operation: place)
    case EFBIG:
        return StoreError(
            .inputOutput, "\(text): the file system or a limit of this process does not allow a file this long",
            operation: place)
    case EMFILE, ENFILE, ENOMEM, EAGAIN:
        return StoreError(.inputOutput, text, persistence: .transient, operation: place)
    default:
        return StoreError(.inputOutput, text, operation: place)
    }
}

/// Makes a call again for as long as a signal interrupts it.
func uninterrupted<Answer: SignedInteger>(_ call: () -> Answer) -> Answer {
    while true {
        let answer = call()
        if answer >= 0 || errno != EINTR { return answer }
    }
}

/// Seconds since 1970-01-01 UTC.
func secondsNow() -> UInt64 {
    var time = timespec()
    guard unsafe clock_gettime(CLOCK_REALTIME, &time) == 0 else { return 0 }
    return UInt64(clamping: time.tv_sec)
}

/// So many bits of chance as text, for names that nobody else takes.
func randomName() -> String {
    var generator = SystemRandomNumberGenerator()
    return hexadecimal(generator.next(), digits: 16) + hexadecimal(generator.next(), digits: 16)
}

/// A number in upper-case hexadecimal digits, with zeros in front.
func hexadecimal(_ number: UInt64, digits: Int) -> String {
    let text = String(number, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}

/// Which content a file has, as far as its status tells: another file, or one that was written to, has another identity.
struct FileIdentity: Hashable, Sendable {
    var inode: UInt64
    var seconds: UInt64
    var nanoseconds: UInt64
    var length: UInt64

    init(_ status: stat) {
        inode = UInt64(status.st_ino)
        seconds = UInt64(bitPattern: Int64(status.st_mtim.tv_sec))
        nanoseconds = UInt64(bitPattern: Int64(status.st_mtim.tv_nsec))
        length = UInt64(max(0, status.st_size))
    }

    var text: String {
        [inode, seconds, nanoseconds, length].map { String($0, radix: 16) }.joined(separator: "-")
    }
}

extension stat {
    private var kind: mode_t { st_mode & mode_t(S_IFMT) }
    var isFile: Bool { kind == mode_t(S_IFREG) }
    var isFolder: Bool { kind == mode_t(S_IFDIR) }
    var length: UInt64 { UInt64(max(0, st_size)) }
    /// In seconds since 1970-01-01 UTC.
    var modified: UInt64 { UInt64(clamping: st_mtim.tv_sec) }
}
