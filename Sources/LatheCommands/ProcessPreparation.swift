internal import Glibc

/// What must be so before the process opens or writes anything.
enum ProcessPreparation {
    static func prepare() {
        // A reader that goes away and a limit on file sizes are errors of write(2), not reasons to die in silence.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        occupyStandardDescriptors()
    }

    /// Opens `/dev/null` for each standard stream that the caller has closed, the wrong way round.
    ///
    /// The next file opened would get its number, and messages would be written into the destination; this way, to read or
    /// write a closed stream is still an error.
    private static func occupyStandardDescriptors() {
        for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 {
            // The lowest number that is free is the one that is closed.
            _ = unsafe open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}
