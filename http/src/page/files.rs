//! The files of the page, from `http/assets`.

use super::PageFile;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const IMAGE: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file of the folder with its path.
macro_rules! file {
    ($name:literal, $media_type:expr) => {
        PageFile::new(
            concat!("/page/", $name),
            $media_type,
            include_bytes!(concat!("../../assets/", $name)),
        )
    };
}

/// All of them.
pub(crate) static FILES: [PageFile; 21] = [
    PageFile::new("/", HTML, include_bytes!("../../assets/index.html")),
    file!("page.css", CSS),
    file!("app.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("model.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("colours.js", SCRIPT),
    file!("map.js", SCRIPT),
    file!("overview.js", SCRIPT),
    file!("places.js", SCRIPT),
    file!("chart.js", SCRIPT),
    file!("sql.js", SCRIPT),
    file!("completion.js", SCRIPT),
    file!("popup.js", SCRIPT),
    file!("server.js", SCRIPT),
    file!("language.js", SCRIPT),
    file!("uplot.js", SCRIPT),
    file!("uplot.css", CSS),
    file!("land.json", JSON),
    file!("icon.svg", IMAGE),
    file!("licences.txt", TEXT),
];
