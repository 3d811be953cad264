// The process that `scripts/fuzz` runs.

import Foundation
import ImageFormats
import ImageFuzzing

/// Which reader the inputs go to; `scripts/fuzz` names it.
private let format: ImageFormat = {
    let name = ProcessInfo.processInfo.environment["LATHE_FUZZ_FORMAT"] ?? ""
    guard let format = ImageFormat(rawValue: name) else { fatalError("LATHE_FUZZ_FORMAT is '\(name)', no format") }
    return format
}()

/// Called once: writes the seeds and ends where that is all that is wanted.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> CInt {
    let environment = ProcessInfo.processInfo.environment
    guard let directory = environment["LATHE_FUZZ_SEEDS"] else { return 0 }
    do {
        try FuzzSeeds.write(format, into: directory, images: environment["LATHE_FUZZ_IMAGES"])
    } catch {
        fatalError("the seeds could not be written: \(error)")
    }
    exit(0)
}

/// Called for each input; a trap is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
    guard var trial = try? FuzzTrial() else { return -1 }
    if let violation = trial.run(FuzzInput(decoding: bytes), as: format) { fatalError(violation) }
    return 0
}

/// Half of the mutations are libFuzzer's own, which know what the code compared; the other half know what an image is made of.
@_cdecl("LLVMFuzzerCustomMutator")
public func mutate(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ longest: Int, _ seed: CUnsignedInt) -> Int {
    if seed % 2 == 0 { return unsafe mutateBytes(data, size, longest) }
    let old = unsafe FuzzInput(decoding: [UInt8](UnsafeBufferPointer(start: data, count: size)))
    var mutator = FuzzMutator(seed: UInt64(seed))
    let new = mutator.mutated(old).encoded
    guard new.count <= longest else { return unsafe mutateBytes(data, size, longest) }
    for (index, byte) in new.enumerated() { unsafe data[index] = byte }
    return new.count
}

@_silgen_name("LLVMFuzzerMutate")
private func mutateBytes(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ longest: Int) -> Int

/// What the package manager makes the program's `main`: hands over to libFuzzer, whose own `main` it would be otherwise.
@_cdecl("FuzzTarget_main")
public func run(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
    var count = count
    var arguments = unsafe arguments
    return unsafe drive(&count, &arguments) { unsafe testOneInput($0, $1) }
}

@_silgen_name("LLVMFuzzerRunDriver")
private func drive(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>, Int) -> CInt
) -> CInt
