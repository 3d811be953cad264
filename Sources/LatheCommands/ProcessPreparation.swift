internal import ArgumentParser
internal import Glibc

/// What must be so before the process opens or writes anything.
enum ProcessPreparation {
    static func prepare() {
        // A reader that goes away and a limit on file sizes are errors of write(2), not reasons to die in silence.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        occupyStandardDescriptors()
        allowManyFiles()
        endBadlyWithoutOutput()
    }

    /// What the parser of arguments prints (help, versions, completions) is written when the process ends; where that fails, it ends
    /// as a verb does whose result can't be printed.
    private static func endBadlyWithoutOutput() {
        atexit {
            guard fflush(nil) != 0 else { return }
            _exit(errno == EPIPE ? ExitStatus.readerGone.rawValue : ExitStatus.failure.rawValue)
        }
    }

    /// Takes as many open files as the system allows: the extents of one disk may be thousands.
    private static func allowManyFiles() {
        var limit = rlimit()
        guard unsafe getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        // select(2), which does not reach past 1024, is used by nothing here.
        limit.rlim_cur = min(limit.rlim_max, 16384)
        // Where it is refused, opening the files says why.
        _ = unsafe setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// How many files the process may have open at a time.
    static var fileLimit: Int {
        var limit = rlimit()
        guard unsafe getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
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
