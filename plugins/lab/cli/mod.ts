/**
 * The commands of the command line. See `cli.ts`.
 *
 * @module
 */
export { type CliOutput, type Command, oneOf, unknownOption, UsageError, whole } from "./command.ts";
export { demoCommand } from "./demo.ts";
export { checkCommand, graphCommand, runCommand } from "./lab.ts";
