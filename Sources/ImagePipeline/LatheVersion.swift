/// The version of Lathe, as `--version` and manifests say it.
public enum LatheVersion {
    public static let current = "0.1.0"
}
