/**
 * The commands of the command line. See `cli.ts`.
 *
 * @module
 */
export {
  type CliOutput,
  type Command,
  oneOf,
  unknownFlag,
  unknownOption,
  UsageError,
  VERSION,
  whole,
} from "./command.ts";
export { benchCommand } from "./bench.ts";
export { demoCommand } from "./demo.ts";
export { checkCommand, graphCommand, runCommand } from "./lab.ts";
export { livelockCommand } from "./livelock.ts";
export { pluginsCommand } from "./plugins.ts";
export { procCommand } from "./proc.ts";
export { INTERRUPTED, Interrupted, readLab, urlOf } from "./session.ts";
export { traceCommand } from "./trace.ts";
