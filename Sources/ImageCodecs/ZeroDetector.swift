internal import CISAL

/// Tells whether bytes are all zero, at memory speed; it stops at the first that is not.
public enum ZeroDetector {
    public static func isZero(_ bytes: Span<UInt8>) -> Bool {
        unsafe bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return true }
            // ISA-L only reads, though its prototype does not say const.
            return unsafe isal_zero_detect(UnsafeMutableRawPointer(mutating: base), buffer.count) == 0
        }
    }
}
