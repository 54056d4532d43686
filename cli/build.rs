//! Compiles the check of processor features (`src/processor`): in C and for any x86-64 processor, since Rust code is
//! compiled with the features that it looks for.

use std::env;

const CHECK: &str = "src/processor/check.c";

fn main() {
    println!("cargo::rerun-if-changed={CHECK}");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "x86_64") {
        let needed = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
        println!("cargo::rustc-env=PROCESSOR_FEATURES={needed}");
        cc::Build::new()
            .file(CHECK)
            .define("NEEDED", format!("{needed:?}").as_str())
            .inherit_rustflags(false)
            .flag("-march=x86-64")
            .compile("processor");
    }
}
