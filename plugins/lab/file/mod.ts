/**
 * Lab files: YAML in, a lab that stands out; what it expects, tried. See {@linkcode loadLab}.
 *
 * @module
 */
export { LabFileError, type LabProblem } from "./problem.ts";
export { type LabResult, type LabService, type LoadedLab, loadLab, type RunOptions } from "./run.ts";
export type { Outcome } from "./expect.ts";
export type { LabApp, LabAppContext } from "./build.ts";
export { parseLab } from "./load.ts";
export { graphOf } from "./graph.ts";
export { jsonSchema, type ParsedLab } from "./schema.ts";
