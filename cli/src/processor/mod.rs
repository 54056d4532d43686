//! The check of processor features: a program that was compiled for more of them than the processor has says which
//! are missing, and exits with code 1 instead of dying of an illegal instruction.
//!
//! Rust code is compiled with the very features that are looked for, so that it may fail before it can tell. The check
//! is in C (`check.c`), which `build.rs` compiles for any x86-64 processor, and runs before `main`.

use std::ffi::c_char;

/// What a processor says of itself, as `check.c` declares it.
#[repr(C)]
struct Processor {
    /// Registers EAX to EDX of the CPUID leaves 1, 7 and 0x80000001.
    leaves: [[u32; 4]; 3],
    /// XCR0: which registers the operating system saves.
    saved: u64,
}

unsafe extern "C" {
    fn barograph_processor_missing(
        processor: *const Processor,
        needed: *const c_char,
        missing: *mut c_char,
        bytes: usize,
    ) -> usize;
}

/// Links the check into the program: nothing has to call it.
#[used]
static CHECK: unsafe extern "C" fn(*const Processor, *const c_char, *mut c_char, usize) -> usize =
    barograph_processor_missing;

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, CString};

    use super::*;

    /// What `target-cpu=x86-64-v3` stands for, as rustc names it.
    const V3: &str = "avx,avx2,bmi1,bmi2,cmpxchg16b,f16c,fma,fxsr,lahfsahf,lzcnt,movbe,popcnt,sse,sse2,sse3,sse4.1,\
                      sse4.2,ssse3,xsave";
    const ALL: Processor = Processor { leaves: [[u32::MAX; 4]; 3], saved: u64::MAX };
    /// As Intel's of 2008: SSE4.2 and POPCNT, neither AVX nor BMI, and no XSAVE.
    const NEHALEM: Processor = Processor {
        leaves: [[0, 0, 0x0098_2201, 0x078b_fbfd], [0; 4], [0, 0, 1, 0x2010_0800]],
        saved: 0,
    };

    fn missing_in(processor: &Processor, needed: &str, room: usize) -> (usize, String) {
        let needed = CString::new(needed).unwrap();
        let mut missing = vec![0x7f; room.max(1)];
        let start = missing.as_mut_ptr();
        // SAFETY: both pointers are of live values, and there is as much room as is said.
        let count = unsafe {
            barograph_processor_missing(processor, needed.as_ptr(), start, missing.len())
        };
        // SAFETY: the list was ended within its room.
        let missing = unsafe { CStr::from_ptr(start) };
        (count, missing.to_str().unwrap().to_owned())
    }

    fn missing(processor: &Processor, needed: &str) -> String {
        missing_in(processor, needed, 512).1
    }

    #[test]
    fn a_processor_with_everything_lacks_nothing() {
        assert_eq!(missing_in(&ALL, V3, 512), (0, String::new()));
    }

    #[test]
    fn each_feature_of_a_build_is_known_but_those_of_every_processor() {
        let nothing = Processor { leaves: [[0; 4]; 3], saved: 0 };
        let missing = missing(&nothing, V3);
        let mut known: Vec<_> = missing.split(", ").chain(["fxsr", "sse", "sse2"]).collect();
        known.sort_unstable();
        assert_eq!(known.join(","), V3);
    }

    #[test]
    fn what_an_older_processor_lacks_is_named() {
        assert_eq!(missing(&NEHALEM, V3), "fma, movbe, xsave, avx, f16c, bmi1, avx2, bmi2, lzcnt");
        assert_eq!(missing(&NEHALEM, "fxsr,sse,sse2,sse3,ssse3,sse4.1,sse4.2,popcnt"), "");
        assert_eq!(missing(&NEHALEM, ""), "");
        assert_eq!(missing(&NEHALEM, "avx"), "avx");
        assert_eq!(missing(&NEHALEM, "avx512f,avx512"), "avx512f");
    }

    #[test]
    fn registers_that_the_system_does_not_save_are_missing() {
        let without_ymm = Processor { saved: 0b011, ..ALL };
        assert_eq!(missing(&without_ymm, V3), "fma, avx, f16c, avx2");
        let without_zmm = Processor { saved: 0b111, ..ALL };
        assert_eq!(missing(&without_zmm, V3), "");
        assert_eq!(missing(&without_zmm, "avx2,avx512f,avx512bw"), "avx512f, avx512bw");
    }

    #[test]
    fn names_without_room_are_left_out() {
        assert_eq!(missing_in(&NEHALEM, V3, 11), (9, "fma, movbe".to_owned()));
        assert_eq!(missing_in(&NEHALEM, V3, 1), (9, String::new()));
    }

    #[test]
    fn the_check_looks_for_what_this_build_uses() {
        let needed = env!("PROCESSOR_FEATURES");
        assert_eq!(missing(&ALL, needed), "");
        assert_eq!(missing(&NEHALEM, needed).contains("avx2"), cfg!(target_feature = "avx2"));
    }
}
