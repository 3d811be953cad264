internal import ECSServer

/// The page for people at `/console`: what the gateway gives out for each path, without a signature.
///
/// It is a client of the API as any other, and signs what it asks in the browser; so the pages themselves hold nothing that
/// is anybody's. They are files beside this one, which the package manager puts into the program.
enum ConsolePages {
    /// By path: the type of the content, and its bytes.
    static var all: [String: StaticPage] {
        [
            "/console": StaticPage(contentType: "text/html; charset=utf-8", PackageResources.console_html),
            "/console/console.css": StaticPage(contentType: "text/css; charset=utf-8", PackageResources.console_css),
            "/console/console.js": StaticPage(
                contentType: "text/javascript; charset=utf-8", PackageResources.console_js),
            "/console/client.js": StaticPage(contentType: "text/javascript; charset=utf-8", PackageResources.client_js),
            "/console/rows.js": StaticPage(contentType: "text/javascript; charset=utf-8", PackageResources.rows_js),
            "/console/view.js": StaticPage(contentType: "text/javascript; charset=utf-8", PackageResources.view_js),
            "/console/icon.svg": StaticPage(contentType: "image/svg+xml", PackageResources.icon_svg),
        ]
    }
}
