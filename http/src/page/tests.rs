//! What the page is made of: what it names is there, and what it may do is little.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::Read;

use http::header::{self, HeaderName};
use http_body_util::BodyExt;

use super::*;

/// The bytes of a first view, as they are sent: the files, and beside them 15,000 places and readings.
const FIRST_VIEW_BYTES_MAX: usize = 400_000;

fn asked(headers: &[(HeaderName, &str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

async fn body(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn text(path: &str) -> &'static str {
    let file = FILES.iter().find(|file| file.path == path).unwrap();
    std::str::from_utf8(file.bytes).unwrap()
}

/// The quoted words of a text that stand between `before` and the next quote.
fn named<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn each_file_that_is_named_is_served() {
    let served: BTreeSet<_> = FILES.iter().map(|file| file.path).collect();
    assert_eq!(served.len(), FILES.len());
    let index = text("/");
    let links = [named(index, "src=\""), named(index, "href=\"page")].concat();
    let links = links.iter().map(|link| match link.strip_prefix('/') {
        Some(name) => format!("/page/{name}"),
        None => format!("/{link}"),
    });
    let mut found = links.collect::<BTreeSet<_>>();
    for file in FILES.iter().filter(|file| file.path.ends_with(".js")) {
        let text = std::str::from_utf8(file.bytes).unwrap();
        found.extend(named(text, "from \"./").iter().map(|name| format!("/page/{name}")));
        found.extend(named(text, "\"page/").iter().map(|name| format!("/page/{name}")));
    }
    assert!(found.len() + 1 >= FILES.len(), "{found:?}");
    for path in &found {
        assert!(served.contains(path.as_str()), "{path} is named and not there");
    }
}

#[test]
fn each_file_of_the_folder_is_served() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = match name.as_str() {
            "index.html" => "/".to_owned(),
            _ => format!("/page/{name}"),
        };
        assert!(FILES.iter().any(|file| file.path == path), "{name} is in no binary");
    }
}

#[test]
fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let index = text("/");
    for forbidden in ["<style", " style=", " onclick=", " onload=", "javascript:", "//"] {
        assert!(!index.contains(forbidden), "{forbidden}");
    }
    assert!(
        index.split("<script").skip(1).all(|of| of.split('>').next().unwrap().contains("src="))
    );
    assert!(!POLICY.contains("unsafe") && POLICY.starts_with("default-src 'none'"));
    assert!(text("/page/licences.txt").contains("Leon Sorokin"));
}

#[test]
fn a_language_that_is_none_is_mended_before_scripts_format_in_it() {
    let scripts = named(text("/"), "<script src=\"");
    assert_eq!(scripts, ["page/language.js", "page/uplot.js"]);
}

#[tokio::test]
async fn the_files_are_small_and_whole() {
    let mut sum = 0;
    for file in &FILES {
        let plain = body(file.answer(&HeaderMap::new())).await;
        assert_eq!(plain, file.bytes);
        let response = file.answer(&asked(&[(header::ACCEPT_ENCODING, "zstd, gzip;q=0.8")]));
        let is_packed = response.headers().get(header::CONTENT_ENCODING).is_some();
        let sent = body(response).await;
        sum += sent.len();
        if is_packed {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&*sent).read_to_end(&mut text).unwrap();
            assert_eq!(text, file.bytes, "{}", file.path);
        }
    }
    assert!(sum <= FIRST_VIEW_BYTES_MAX, "{sum} bytes are sent for a first view");
}

#[test]
fn a_browser_is_told_what_it_may_do_and_what_it_has() {
    for file in &FILES {
        let response = file.answer(&HeaderMap::new());
        let headers = response.headers();
        assert_eq!(headers["content-security-policy"], POLICY);
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!headers.contains_key(header::CONTENT_ENCODING));
        let tag = headers[header::ETAG].to_str().unwrap();
        let again = file.answer(&asked(&[(header::IF_NONE_MATCH, tag)]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(again.headers().contains_key("content-security-policy"));
        let other = file.answer(&asked(&[(header::IF_NONE_MATCH, "\"other\"")]));
        assert_eq!(other.status(), StatusCode::OK);
    }
}
