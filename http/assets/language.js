// Before all other scripts: a browser without a language of its own names that of its system, such as `en-US@posix`, which
// is none to scripts that format numbers in it.

try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en-US", configurable: true });
}
