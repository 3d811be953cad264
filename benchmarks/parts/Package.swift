// swift-tools-version: 6.2
// A package of its own, so that whoever uses Lathe's libraries does not get the benchmark's dependencies.

import PackageDescription

let package = Package(
    name: "parts",
    dependencies: [
        .package(name: "lathe", path: "../.."),
        .package(url: "https://github.com/google/swift-benchmark", from: "0.1.2"),
    ],
    targets: [
        .executableTarget(
            name: "parts",
            dependencies: [
                .product(name: "ImageCodecs", package: "lathe"), .product(name: "ImageFormats", package: "lathe"),
                .product(name: "ImageModel", package: "lathe"), .product(name: "ImagePipeline", package: "lathe"),
                .product(name: "Benchmark", package: "swift-benchmark"),
            ],
            swiftSettings: [.swiftLanguageMode(.v6), .strictMemorySafety(), .treatAllWarnings(as: .error)])
    ]
)
