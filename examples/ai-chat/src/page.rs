//! Serves the page's files.

use anyhow::{Context, Result};
use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::routing::get;
use std::fs;
use std::path::{Path, PathBuf};

/// Where `npm run build` puts the page.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/page/dist");

/// A page that needs no build, for a checkout without Node.js.
const PLAIN: [(&str, &[u8]); 3] = [
    ("index.html", include_bytes!("../plain/index.html")),
    ("app.js", include_bytes!("../plain/app.js")),
    ("style.css", include_bytes!("../plain/style.css")),
];

/// Scripts, styles and requests from this origin only; nothing inline; not in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The routes of the page in a folder; of the built or the plain page if none is given.
pub(crate) fn routes(folder: Option<PathBuf>) -> Result<Router> {
    let built = || Some(PathBuf::from(BUILT)).filter(|folder| folder.join("index.html").is_file());
    let files = match folder.or_else(built) {
        Some(folder) => read(&folder).with_context(|| format!("--page {}", folder.display()))?,
        None => PLAIN.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(),
    };
    Ok(files.into_iter().fold(Router::new(), |router, (name, bytes)| {
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let headers = [
            (CONTENT_TYPE, content_type(&name)),
            // A new release of the server is a new page.
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            // The address contains a session's id, which gives access to the session.
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (
                HeaderName::from_static("permissions-policy"),
                "camera=(), geolocation=(), microphone=()",
            ),
        ];
        let bytes = axum::body::Bytes::from(bytes);
        router.route(&path, get(move || async move { (headers, bytes) }))
    }))
}

/// The files of a folder and of the folders in it, by their paths.
fn read(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    fs::metadata(folder.join("index.html")).context("the folder has no index.html")?;
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), folder.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((format!("{name}/"), entry.path()));
            } else if !name.contains(['{', '}']) {
                files.push((name, fs::read(entry.path())?));
            }
        }
    }
    Ok(files)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
