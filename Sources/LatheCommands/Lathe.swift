public import ArgumentParser
internal import ImageModel
internal import ImagePipeline

/// The `lathe` command: one subcommand a verb.
public struct Lathe: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "lathe",
        abstract: "Convert raw disk images to raw, vhd, qcow2, vmdk and vdi, and prove that the result is right.",
        discussion: """
            The same content, format and options give the same bytes: for any number of threads, from a sparse or a full \
            source, on every day and machine. Every conversion answers a fingerprint (CRC-64/XZ of the whole disk content), \
            which is the same in every format: compare it with that of 'lathe digest'. A CRC finds accidents; against \
            somebody who wants to deceive, use 'lathe digest --algorithm sha256'.

            What an image names (a backing file, an extent, a data file) is only opened beneath the directory that \
            --allow-backing gives. A destination appears under its name whole or not at all.

            Shell completions: lathe --generate-completion-script bash|zsh|fish
            """,
        version: LatheVersion.current,
        subcommands: [
            ConvertCommand.self, ExportCommand.self, InfoCommand.self, CheckCommand.self, MapCommand.self,
            CompareCommand.self, MeasureCommand.self, DigestCommand.self, VerifyCommand.self, ServeCommand.self,
            ImageCommand.self,
            AdminCommand.self, BenchCommand.self,
        ])

    public init() {}

    /// Parses the process's arguments, runs the verb and ends the process; the executable's only call.
    public static func start() -> Never {
        ProcessPreparation.prepare()
        guard let arguments = ProcessArguments.all else {
            Rendering.note("lathe: the arguments of the process can't be seen, so nothing was done")
            exit(withError: ExitStatus.usage)
        }
        do {
            var command = try parseAsRoot(arguments)
            let verb = type(of: command)
            // A verb is missing: that nothing was asked for is no success.
            guard verb.configuration.subcommands.isEmpty else {
                Rendering.note(helpMessage(for: verb))
                exit(withError: ExitStatus.usage)
            }
            try command.run()
        } catch {
            end(with: error)
        }
        exit(withError: nil)
    }

    /// Ends the process as an error says; help and versions are results, which are printed as such.
    private static func end(with error: any Error) -> Never {
        let (text, code) = (fullMessage(for: error), exitCode(for: error))
        guard !text.isEmpty else { exit(withError: code) }
        guard code.isSuccess else {
            Rendering.note(text)
            exit(withError: code)
        }
        do throws(ImageError) { try Rendering.write(text + "\n") } catch {
            guard error.code != .readerGone else { exit(withError: ExitStatus.readerGone) }
            Rendering.note("lathe: \(error)")
            exit(withError: ExitStatus.failure)
        }
        exit(withError: code)
    }
}
