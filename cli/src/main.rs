//! The binary `barograph`.

/// Serving allocates and frees message buffers all the time, which mimalloc gives back and takes again
/// without page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    barograph::run()
}
