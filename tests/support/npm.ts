/** Packages of npm that a test runs over the stack: where the registry is out of reach the test is skipped, by name. */

/** A module by its specifier; null: it cannot be loaded. Not a literal, so that it is no part of the graph that must load. */
export async function tryImport<T>(specifier: string): Promise<T | null> {
  try {
    return await import(specifier) as T;
  } catch {
    return null;
  }
}

/** The options of a test that takes what {@linkcode tryImport} gave: ignored, with the reason in its name, without one. */
export function needing(name: string, modules: Readonly<Record<string, unknown>>): { name: string; ignore: boolean } {
  const missing = Object.keys(modules).filter((m) => modules[m] === null);
  return { name: missing.length === 0 ? name : `${name} [needs ${missing.join(", ")}]`, ignore: missing.length > 0 };
}
