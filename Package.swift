// swift-tools-version: 6.2
// The manifest is the architecture: each target may import what stands in its list and nothing else, and
// dependencies run downwards only. ARCHITECTURE.md says why each is there.

import PackageDescription

/// What every Swift target of ours is built with: Swift 6 mode, strict memory safety, and no warning left standing.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// `scripts/fuzz` sets it: then what reads images is built to tell a fuzzer which branches it takes, and there is a fuzzer.
let isFuzzing = Context.environment["LATHE_FUZZ"] == "1"
let fuzzing: [SwiftSetting] = isFuzzing ? [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])] : []

/// `scripts/test` sets it for the sanitizer: then there are only those targets that need none of the heavy packages, which take
/// longer to build than all else together.
let isEngineOnly = Context.environment["LATHE_ENGINE_ONLY"] == "1"

func module(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

/// A module that fuzzers look into.
func fuzzed(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings + fuzzing)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: settings)
}

let package = Package(
    name: "lathe",
    products: [
        .library(name: "ImageModel", targets: ["ImageModel"]),
        .library(name: "ImageCodecs", targets: ["ImageCodecs"]),
        .library(name: "ImageFormats", targets: ["ImageFormats"]),
        .library(name: "ImageFiles", targets: ["ImageFiles"]),
        .library(name: "ImagePipeline", targets: ["ImagePipeline"]),
        .library(name: "ObjectStorage", targets: ["ObjectStorage"]),
        .library(name: "ImageExport", targets: ["ImageExport"]),
        .library(name: "OSSClient", targets: ["OSSClient"]),
        .library(name: "OSSServer", targets: ["OSSServer"]),
        .library(name: "ExportService", targets: ["ExportService"]),
        .library(name: "ECSServer", targets: ["ECSServer"]),
        .executable(name: "lathe", targets: ["lathe"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        fuzzed("ImageModel"),
        fuzzed("ImageFormats", ["ImageModel"]),
        fuzzed(
            "ImageCodecs",
            ["ImageModel", "CISAL", "CDeflate", "CZlib", "CZstd", .product(name: "Crypto", package: "swift-crypto")]),
        module("ImageFiles", ["ImageModel", "CImageKernels"]),
        module("ImagePipeline", ["ImageModel", "ImageFormats", "ImageCodecs"]),
        module("ObjectStorage", ["ImageModel", "ImageCodecs", "ImageFiles"]),
        module(
            "ImageExport",
            ["ObjectStorage", "ImagePipeline", "ImageFiles", "ImageFormats", "ImageCodecs", "ImageModel"]),
        module("OSSWire", ["ObjectStorage", .product(name: "Crypto", package: "swift-crypto")]),
        module(
            "OSSClient",
            [
                "ObjectStorage", "OSSWire", "ImageCodecs", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]),
        module(
            "HTTPHost",
            [
                "CAllocator",
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        module(
            "OSSServer",
            [
                "HTTPHost", "ObjectStorage", "OSSWire", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        module("ECSWire", ["OSSWire", .product(name: "Crypto", package: "swift-crypto")]),
        module(
            "ECSServer",
            [
                "ECSWire", "HTTPHost", "OSSWire", .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        module(
            "ExportService",
            [
                "ECSWire", "OSSWire", "ObjectStorage", "ImageModel", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Crypto", package: "swift-crypto"), .product(name: "Logging", package: "swift-log"),
                .product(name: "Yams", package: "Yams"),
            ]),
        module("ImageBenchmark", ["ImagePipeline", "ImageFiles", "ImageFormats", "ImageModel"]),
        module(
            "LatheCommands",
            [
                "ExportService", "ECSServer", "ECSWire", "ImageExport", "OSSClient", "OSSServer", "OSSWire",
                "ObjectStorage", "ImageBenchmark", "ImagePipeline", "ImageFiles",
                "ImageFormats", "ImageCodecs", "ImageModel", "CImageKernels",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            // The pages of the console are in the program itself: it has no file beside it to lose.
            resources: [.embedInCode("Serve/Console")]),
        .executableTarget(name: "lathe", dependencies: ["LatheCommands"], swiftSettings: settings),
        .target(name: "CImageKernels", cSettings: [.treatAllWarnings(as: .error)]),
        .systemLibrary(name: "CISAL"), .systemLibrary(name: "CDeflate"), .systemLibrary(name: "CZstd"),
        .systemLibrary(name: "CZlib"), .systemLibrary(name: "CAllocator"),
        .target(
            name: "LatheTestSupport", dependencies: ["ImageModel", "ImageFormats"], path: "Tests/LatheTestSupport",
            swiftSettings: settings),
        // What one input of a fuzzer goes through, and the inputs that it starts from.
        .target(
            name: "ImageFuzzing", dependencies: ["ImageFormats", "ImageCodecs", "ImageModel", "LatheTestSupport"],
            path: "Tests/ImageFuzzing", swiftSettings: settings),
        tests(
            "HostileImageTests",
            ["ImageFuzzing", "ImagePipeline", "ImageFormats", "ImageModel", "LatheTestSupport"]),
        tests("ImageModelTests", ["ImageModel", "LatheTestSupport"]),
        tests("ImageCodecsTests", ["ImageCodecs", "ImageModel", "CDeflate", "CZlib", "CZstd", "LatheTestSupport"]),
        tests("ImageFormatsTests", ["ImageFormats", "ImageModel", "LatheTestSupport"]),
        tests(
            "ImageFilesTests",
            [
                "ImageFiles", "ImagePipeline", "ImageFormats", "ImageCodecs", "ImageModel", "CImageKernels",
                "LatheTestSupport",
            ]),
        tests(
            "ImagePipelineTests", ["ImagePipeline", "ImageFormats", "ImageCodecs", "ImageModel", "LatheTestSupport"]),
        // What every object store must do, run against each of them.
        .target(
            name: "ObjectStoreConformance", dependencies: ["ObjectStorage", "LatheTestSupport"],
            path: "Tests/ObjectStoreConformance", swiftSettings: settings),
        // A process for the tests of the directory store to kill.
        .executableTarget(
            name: "StoreWriter", dependencies: ["ObjectStorage", "LatheTestSupport"], path: "Tests/StoreWriter",
            swiftSettings: settings),
        tests(
            "ObjectStorageTests",
            [
                "StoreWriter", "ObjectStorage", "ObjectStoreConformance", "ImagePipeline", "ImageFormats",
                "ImageCodecs",
                "ImageFiles", "ImageModel", "LatheTestSupport",
            ]),
        tests(
            "ImageExportTests",
            [
                "ImageExport", "ObjectStorage", "ImagePipeline", "ImageFormats", "ImageCodecs", "ImageFiles",
                "ImageModel", "LatheTestSupport",
            ]),
        tests(
            "HTTPHostTests",
            [
                "HTTPHost", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
            ]),
        tests("OSSWireTests", ["OSSWire", "ObjectStorage", "LatheTestSupport"]),
        tests("ECSWireTests", ["ECSWire", "OSSWire", "LatheTestSupport"]),
        tests("ECSServerTests", ["ECSServer", "ECSWire", "OSSWire", "LatheTestSupport"], exclude: ["Peers"]),
        tests(
            "ExportServiceTests",
            [
                "ExportService", "LatheCommands", "OSSClient", "OSSServer", "ECSWire", "OSSWire", "ObjectStorage",
                "ObjectStoreConformance", "ImageModel", "LatheTestSupport",
                .product(name: "Logging", package: "swift-log"),
            ]),
        tests(
            "OSSClientTests",
            [
                "OSSClient", "OSSServer", "OSSWire", "ObjectStorage", "ObjectStoreConformance", "ImageModel",
                "LatheTestSupport", "ImageCodecs", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]),
        tests(
            "OSSServerTests",
            [
                "OSSServer", "OSSWire", "ObjectStorage", "LatheTestSupport",
            ], exclude: ["Peers"]),
        // What can be told of the benchmark without running it.
        tests(
            "ImageBenchmarkTests",
            ["ImageBenchmark", "ImagePipeline", "ImageFiles", "ImageFormats", "ImageModel", "LatheTestSupport"]),
        // Runs the real binary as its users do, so it sees no library of ours but the test support.
        tests("LatheCommandsTests", ["lathe", "ImageFormats", "LatheTestSupport"]),
        // The ExportImage service as its users meet it: the binary, the vendor's SDKs, a browser.
        tests("LatheServiceTests", ["lathe", "LatheTestSupport"], exclude: ["Peers"]),
    ]
)

/// Targets that bring the heavy packages in, and what is built on them.
let outsideTheEngine: Set = [
    "OSSClient", "HTTPHost", "OSSServer", "ECSServer", "ExportService", "LatheCommands", "lathe", "HTTPHostTests",
    "ECSServerTests", "ExportServiceTests", "OSSClientTests", "OSSServerTests", "LatheCommandsTests",
    "LatheServiceTests",
]

if isEngineOnly {
    package.targets.removeAll { outsideTheEngine.contains($0.name) }
    package.products.removeAll { outsideTheEngine.contains($0.name) }
    package.dependencies.removeAll { dependency in
        guard case .sourceControl(_, let location, _) = dependency.kind else { return false }
        return !location.hasSuffix("swift-crypto")
    }
}

if isFuzzing {
    package.targets.append(
        .executableTarget(
            name: "FuzzTarget", dependencies: ["ImageFuzzing", "ImageFormats"], path: "Tests/FuzzTarget",
            swiftSettings: settings + fuzzing, linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])]))
    package.products.append(.executable(name: "fuzz-images", targets: ["FuzzTarget"]))
}
