//! Compiles the check of processor features (`src/processor`), in C and for any x86-64 processor, since Rust code is
//! compiled with the features that it looks for; and has the linker make the binary smaller.

use std::env;
use std::path::Path;
use std::process::Command;

const CHECK: &str = "src/processor/check.c";
/// The target on which Rust links with its own linker, lld.
const LLD_TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo::rerun-if-changed={CHECK}");
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        let needed = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
        println!("cargo::rustc-env=PROCESSOR_FEATURES={needed}");
        cc::Build::new()
            .file(CHECK)
            .define("NEEDED", format!("{needed:?}").as_str())
            .inherit_rustflags(false)
            .flag("-march=x86-64")
            .compile("processor");
    }
    if is("TARGET", LLD_TARGET) && is("HOST", LLD_TARGET) && links_with_lld() {
        // Functions of the same machine code are one.
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        if c_library_unpacks_relocations() {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
}

fn is(variable: &str, value: &str) -> bool {
    env::var(variable).is_ok_and(|found| found == value)
}

/// Whether this Rust brings lld along, and no flag or setting names another linker.
fn links_with_lld() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if flags.contains("link") || env::var_os("RUSTC_LINKER").is_some() {
        return false;
    }
    let rustc = env::var("RUSTC").unwrap_or_default();
    let libraries = output(&rustc, &["--print", "target-libdir"]);
    Path::new(libraries.trim()).with_file_name("bin").join("gcc-ld/ld.lld").exists()
}

/// glibc does since 2.36.
fn c_library_unpacks_relocations() -> bool {
    let version = output("getconf", &["GNU_LIBC_VERSION"]);
    let minor = version.trim().strip_prefix("glibc 2.").and_then(|minor| minor.parse().ok());
    minor.is_some_and(|minor: u32| minor >= 36)
}

/// What a command prints; nothing if it cannot be run.
fn output(command: &str, arguments: &[&str]) -> String {
    let ran = Command::new(command).args(arguments).output();
    ran.ok().and_then(|ran| String::from_utf8(ran.stdout).ok()).unwrap_or_default()
}
