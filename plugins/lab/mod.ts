/**
 * Labs: many hosts on one virtual clock, in code or from a file. See {@linkcode createLab} and {@linkcode loadLab}.
 *
 * A lab file says in YAML which hosts, links, switches and applications there are, and what is expected of them, which
 * makes it a test with an exit code: `deno run jsr:@netpath/stack/cli run FILE`. The smallest one:
 *
 * ```yaml
 * hosts: { a: , b: }
 * links: [[a, b]]
 * expect: [{ ping: { from: a, to: b } }]
 * ```
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { loadLab } from "@netpath/stack/lab";
 *
 * const text = `
 * hosts: { a: , b: }
 * links: [[a, b]]
 * expect: [{ ping: { from: a, to: b } }]
 * `;
 * using lab = await loadLab("two.yaml", text, new URL(import.meta.url));
 * assertEquals((await lab.run()).ok, true);
 * ```
 *
 * @module
 */
export * from "./lab.ts";
export { sleep, virtualClock } from "./clock.ts";
export {
  type LabApp,
  type LabAppContext,
  LabFileError,
  type LabProblem,
  type LabResult,
  type LabService,
  type LoadedLab,
  loadLab,
  type Outcome,
  type RunOptions,
} from "./file/mod.ts";
