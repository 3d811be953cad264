import Foundation
import LatheTestSupport
import Testing

/// The bytes of an image do not depend on the processor that it is made on: libraries choose other code by what it can do.
@Suite(.requiresOtherProcessors) struct ProcessorTests {
    /// SSE4.2 without AVX; AVX2; all that the emulator has.
    ///
    /// ISA-L's CRC-64 takes a carry-less multiplication for granted, which the first Nehalem did not have.
    static let models = ["Nehalem,+pclmulqdq", "Haswell", "max"]

    /// One of each library, and each level of those whose code depends on the processor most.
    static let outputs: [[String]] = [
        ["-O", "qcow2", "-o", "compression_level=1"], ["-O", "qcow2", "-o", "compression_level=2"],
        ["-O", "qcow2", "-o", "compression_level=6"], ["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
        ["-O", "vmdk", "-c"], ["-O", "raw.tar.gz"],
    ]

    @Test(arguments: outputs) func everyProcessorMakesTheSameBytes(output: [String]) throws {
        let directory = try TemporaryDirectory()
        let source = directory.file("source.raw")
        try Data(Content.mixed(length: 384 << 10, seed: 41)).write(to: URL(filePath: source))
        let convert = ["convert", "-q", "--overwrite", "--threads", "1"] + output + [source]
        let native = try lathe(convert + [directory.file("native")])
        #expect(native.status == 0, "\(native.testDescription)")
        for model in Self.models {
            // The emulator warns of features that it does not have; they are none that change bytes.
            let emulated = try RunningProcess(
                "qemu-x86_64", ["-cpu", model, try LatheBinary.path()] + convert + [directory.file(model)]
            ).outcome()
            #expect(emulated.status == 0, "\(emulated.testDescription)")
            try Tool.run("cmp", [directory.file("native"), directory.file(model)])
        }
    }
}

extension Trait where Self == ConditionTrait {
    /// Debian's qemu-user, and a program of ours that it has processors for.
    static var requiresOtherProcessors: Self {
        #if arch(x86_64)
            return .enabled(if: Peers.canRun("qemu-x86_64"), "qemu-x86_64 is not installed")
        #else
            return .disabled("the bytes are held against those of models of x86-64")
        #endif
    }
}
