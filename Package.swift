// swift-tools-version: 6.2

import PackageDescription

import class Foundation.ProcessInfo

/// Applied to every target of ours: warnings are errors, and imports say what they expose.
///
/// Not `MemberImportVisibility`: structures of the kernel (`stat`, `timespec`) belong to whichever module of C the compiler
/// meets first, which changes with the names of the files.
let settings: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// Products of other packages, by their own names.
extension Target.Dependency {
    static var argumentParser: Self { .product(name: "ArgumentParser", package: "swift-argument-parser") }
    static var benchmark: Self { .product(name: "Benchmark", package: "benchmark") }
    static var crypto: Self { .product(name: "Crypto", package: "swift-crypto") }
    static var dequeModule: Self { .product(name: "DequeModule", package: "swift-collections") }
    static var grdb: Self { .product(name: "GRDB", package: "GRDB.swift") }
    static var grdbSQLite: Self { .product(name: "GRDBSQLite", package: "GRDB.swift") }
    static var heapModule: Self { .product(name: "HeapModule", package: "swift-collections") }
    static var httpTypes: Self { .product(name: "HTTPTypes", package: "swift-http-types") }
    static var logging: Self { .product(name: "Logging", package: "swift-log") }
    static var nioCore: Self { .product(name: "NIOCore", package: "swift-nio") }
    static var nioEmbedded: Self { .product(name: "NIOEmbedded", package: "swift-nio") }
    static var nioHTTP1: Self { .product(name: "NIOHTTP1", package: "swift-nio") }
    static var nioPosix: Self { .product(name: "NIOPosix", package: "swift-nio") }
    static var nioSSL: Self { .product(name: "NIOSSL", package: "swift-nio-ssl") }
    static var nioTLS: Self { .product(name: "NIOTLS", package: "swift-nio") }
    static var serviceLifecycle: Self { .product(name: "ServiceLifecycle", package: "swift-service-lifecycle") }
    static var tomlKit: Self { .product(name: "TOMLKit", package: "TOMLKit") }
    static var unixSignals: Self { .product(name: "UnixSignals", package: "swift-service-lifecycle") }
}

let package = Package(
    name: "inferq",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "inferq", targets: ["inferq"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CSystemd", providers: [.apt(["libsystemd-dev"])]),
        .target(name: "CEmbedded", exclude: ["openapi.json", "page.html"]),
        .target(
            name: "InferqCore",
            dependencies: [
                .crypto,
                .heapModule,
                .logging,
                .serviceLifecycle,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "InferqStore",
            dependencies: [
                "CSQLite",
                "InferqCore",
                .crypto,
                .grdb,
                .grdbSQLite,
                .logging,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "InferqQueue",
            dependencies: [
                "InferqCore",
                "InferqStore",
                .crypto,
                .dequeModule,
                .logging,
                .serviceLifecycle,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "InferqHTTP",
            dependencies: [
                "CEmbedded",
                "InferqCore",
                "InferqQueue",
                "InferqStore",
                .crypto,
                .dequeModule,
                .httpTypes,
                .logging,
                .nioCore,
                .nioHTTP1,
                .nioPosix,
                .nioSSL,
                .nioTLS,
                .serviceLifecycle,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "InferqRedis",
            dependencies: [
                "CHiredis",
                "InferqCore",
                "InferqQueue",
                "InferqStore",
                .logging,
                .serviceLifecycle,
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "inferq",
            dependencies: [
                "CSystemd",
                "InferqCore",
                "InferqHTTP",
                "InferqQueue",
                "InferqRedis",
                "InferqStore",
                .argumentParser,
                .logging,
                .nioCore,
                .nioHTTP1,
                .nioPosix,
                .nioSSL,
                .serviceLifecycle,
                .tomlKit,
                .unixSignals,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "TestSupport",
            dependencies: [
                "InferqCore",
                "InferqQueue",
                "InferqStore",
                .grdb,
                .grdbSQLite,
                .logging,
                .serviceLifecycle,
            ],
            path: "Tests/TestSupport",
            swiftSettings: settings
        ),
        .testTarget(
            name: "InferqCoreTests",
            dependencies: [
                "TestSupport",
                "InferqCore",
                .crypto,
                .logging,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "InferqStoreTests",
            dependencies: [
                "TestSupport",
                "InferqCore",
                "InferqStore",
                .crypto,
                .grdb,
                .grdbSQLite,
                .logging,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "InferqQueueTests",
            dependencies: [
                "TestSupport",
                "InferqCore",
                "InferqQueue",
                "InferqStore",
                .grdb,
                .logging,
                .serviceLifecycle,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "InferqHTTPTests",
            dependencies: [
                "TestSupport",
                "InferqCore",
                "InferqQueue",
                "InferqStore",
                "InferqHTTP",
                .httpTypes,
                .logging,
                .nioCore,
                .nioEmbedded,
                .nioHTTP1,
                .nioPosix,
                .nioSSL,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "InferqRedisTests",
            dependencies: [
                "TestSupport",
                "InferqCore",
                "InferqQueue",
                "InferqStore",
                "InferqRedis",
                .logging,
                .serviceLifecycle,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "inferqTests",
            dependencies: [
                "TestSupport",
                "inferq",
                "InferqCore",
                "InferqHTTP",
                "InferqRedis",
                "InferqStore",
                .logging,
                .nioCore,
            ],
            swiftSettings: settings
        ),
    ]
)

// What is measured by itself has package access, so these targets are part of this package; but nobody who builds the
// program needs what they depend on (`make bench-micro`).
if ProcessInfo.processInfo.environment["INFERQ_MICRO"] != nil {
    package.dependencies.append(.package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []))
    package.targets += [
        .target(
            name: "MicroCases",
            dependencies: [
                "InferqCore",
                "InferqQueue",
                "InferqStore",
                "InferqHTTP",
                .httpTypes,
                .logging,
                .nioCore,
                .nioEmbedded,
                .serviceLifecycle,
            ],
            path: "Benchmarks/MicroCases",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "MicroCount",
            dependencies: ["MicroCases", .argumentParser],
            path: "Benchmarks/MicroCount",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "MicroTime",
            dependencies: ["MicroCases", .benchmark],
            path: "Benchmarks/MicroTime",
            swiftSettings: settings,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
    ]
}
