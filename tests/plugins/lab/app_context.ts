// An application for file_test.ts: says in which context and when it runs.
import { CONTEXT_NAMES } from "../../../core/mod.ts";
import type { Host } from "../../../mod.ts";

export default ({ machine }: Host): void => {
  (globalThis as { labContexts?: string[] }).labContexts?.push(`${CONTEXT_NAMES[machine.context]} at ${machine.now}`);
};
