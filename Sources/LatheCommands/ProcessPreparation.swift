internal import Glibc

/// What must be so before the process opens or writes anything.
enum ProcessPreparation {
    static func prepare() {
        // A reader that goes away and a limit on file sizes are errors of write(2), not reasons to die in silence.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        occupyStandardDescriptors()
    }

    /// Opens `/dev/null` for each standard stream that the caller has closed.
    ///
    /// The next file opened would get its number, and messages would be written into the destination.
    private static func occupyStandardDescriptors() {
        var number: Int32
        repeat { number = unsafe open("/dev/null", O_RDWR) } while 0...STDERR_FILENO ~= number
        if number > STDERR_FILENO { close(number) }
    }
}
