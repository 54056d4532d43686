/* The processor features that this build needs, looked for before any Rust code runs. All Rust code of a build is
 * compiled with these features, so that the check could fail by using one of them: build.rs compiles this file for any
 * x86-64 processor instead. */

#include <cpuid.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { LEAF_1, LEAF_7, LEAF_EXTENDED, LEAVES };
enum { EAX, EBX, ECX, EDX, REGISTERS };

/* Bits of XCR0, the registers that the operating system saves: SSE and AVX, and those of AVX-512 beside them. */
enum { NONE = 0, YMM = 0x06, ZMM = 0xe6 };

/* What a processor says of itself. */
struct processor {
    uint32_t leaves[LEAVES][REGISTERS];
    uint64_t saved;
};

/* Intel, Software Developer's Manual, volume 2A, CPUID; AMD, Architecture Programmer's Manual, volume 3, appendix E. */
static const struct feature {
    const char *name; /* as rustc names it */
    uint8_t leaf, reg, bit, saved;
} FEATURES[] = {
    {"sse3", LEAF_1, ECX, 0, NONE},
    {"pclmulqdq", LEAF_1, ECX, 1, NONE},
    {"ssse3", LEAF_1, ECX, 9, NONE},
    {"fma", LEAF_1, ECX, 12, YMM},
    {"cmpxchg16b", LEAF_1, ECX, 13, NONE},
    {"sse4.1", LEAF_1, ECX, 19, NONE},
    {"sse4.2", LEAF_1, ECX, 20, NONE},
    {"movbe", LEAF_1, ECX, 22, NONE},
    {"popcnt", LEAF_1, ECX, 23, NONE},
    {"aes", LEAF_1, ECX, 25, NONE},
    {"xsave", LEAF_1, ECX, 26, NONE},
    {"avx", LEAF_1, ECX, 28, YMM},
    {"f16c", LEAF_1, ECX, 29, YMM},
    {"rdrand", LEAF_1, ECX, 30, NONE},
    {"bmi1", LEAF_7, EBX, 3, NONE},
    {"avx2", LEAF_7, EBX, 5, YMM},
    {"bmi2", LEAF_7, EBX, 8, NONE},
    {"avx512f", LEAF_7, EBX, 16, ZMM},
    {"avx512dq", LEAF_7, EBX, 17, ZMM},
    {"rdseed", LEAF_7, EBX, 18, NONE},
    {"adx", LEAF_7, EBX, 19, NONE},
    {"avx512ifma", LEAF_7, EBX, 21, ZMM},
    {"avx512cd", LEAF_7, EBX, 28, ZMM},
    {"sha", LEAF_7, EBX, 29, NONE},
    {"avx512bw", LEAF_7, EBX, 30, ZMM},
    {"avx512vl", LEAF_7, EBX, 31, ZMM},
    {"avx512vbmi", LEAF_7, ECX, 1, ZMM},
    {"avx512vbmi2", LEAF_7, ECX, 6, ZMM},
    {"gfni", LEAF_7, ECX, 8, NONE},
    {"vaes", LEAF_7, ECX, 9, YMM},
    {"vpclmulqdq", LEAF_7, ECX, 10, YMM},
    {"avx512vnni", LEAF_7, ECX, 11, ZMM},
    {"avx512bitalg", LEAF_7, ECX, 12, ZMM},
    {"avx512vpopcntdq", LEAF_7, ECX, 14, ZMM},
    {"lahfsahf", LEAF_EXTENDED, ECX, 0, NONE},
    {"lzcnt", LEAF_EXTENDED, ECX, 5, NONE},
};

enum { COUNT = sizeof FEATURES / sizeof FEATURES[0] };

/* Whether `name` stands in `list`, which is separated by commas. */
static int listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return 1;
        }
    }
    return 0;
}

/* Writes the names of the features of `needed`, a list separated by commas, that `processor` lacks to `missing`, as many
 * as `bytes` have room for; returns how many there are. Features that every x86-64 processor has, and those that are not
 * known here, count as there. */
size_t barograph_processor_missing(
    const struct processor *processor, const char *needed, char *missing, size_t bytes
) {
    size_t count = 0;
    size_t used = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const struct feature *feature = &FEATURES[i];
        int known = processor->leaves[feature->leaf][feature->reg] >> feature->bit & 1;
        int saved = (processor->saved & feature->saved) == feature->saved;
        if ((known && saved) || !listed(needed, feature->name)) {
            continue;
        }
        size_t length = strlen(feature->name);
        const char *comma = used > 0 ? ", " : "";
        if (used + strlen(comma) + length < bytes) {
            memcpy(missing + used, comma, strlen(comma));
            used += strlen(comma);
            memcpy(missing + used, feature->name, length);
            used += length;
        }
        count++;
    }
    if (bytes > 0) {
        missing[used] = '\0';
    }
    return count;
}

static void read_leaf(uint32_t registers[REGISTERS], uint32_t leaf) {
    /* Leaves that the processor does not have stay zero. */
    __get_cpuid_count(leaf, 0, &registers[EAX], &registers[EBX], &registers[ECX], &registers[EDX]);
}

static struct processor this_processor(void) {
    struct processor processor = {{{0}}, 0};
    read_leaf(processor.leaves[LEAF_1], 1);
    read_leaf(processor.leaves[LEAF_7], 7);
    read_leaf(processor.leaves[LEAF_EXTENDED], 0x80000001);
    if (processor.leaves[LEAF_1][ECX] & bit_OSXSAVE) {
        uint32_t low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        processor.saved = (uint64_t)high << 32 | low;
    }
    return processor;
}

static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        /* Nobody reads it; the exit code says that it failed. */
    }
}

/* Before `main` and all other constructors, which may be those of Rust crates: 101 is the first priority of programs. */
__attribute__((constructor(101))) static void check(void) {
    char missing[512];
    struct processor processor = this_processor();
    if (barograph_processor_missing(&processor, NEEDED, missing, sizeof missing) == 0) {
        return;
    }
    say("barograph: this processor, or the virtual machine around it, lacks features that the program was compiled for: ");
    say(missing);
    say(". Run it on a processor that has them, or compile it on this one with RUSTFLAGS=\"-C target-cpu=native\" "
        "(with target-cpu=x86-64 for any processor)\n");
    _exit(1);
}
