public import ArgumentParser
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
    public static func start() {
        ProcessPreparation.prepare()
        main()
    }
}
