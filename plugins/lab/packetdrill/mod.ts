/**
 * packetdrill in process: scripts say what is injected, what must be sent, which system calls are made and what they
 * must give, each with its time. They run against a stack of their own, in virtual time, without root: a second of script
 * takes no second. The language is that of packetdrill (Cardwell et al., USENIX ATC 2013).
 *
 * The judge is strict: what it cannot do is `unsupported` with a reason, what differs is `fail` with both sides, and only
 * a script that ran to its end passes. The tolerance is packetdrill's: 4 ms, or 12.5 % of the time since the event before.
 *
 * ```sh
 * deno task packetdrill my-tests/ --json results.json
 * ```
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { resultText, runScript } from "@netpath/stack/packetdrill";
 *
 * const script = `
 *    0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
 *   +0 bind(3, ..., ...) = 0
 *   +0 sendto(3, ..., 100, 0, ..., ...) = 100
 *   +0 > udp (100)
 *  +.1 < udp (20)
 *   +0 recv(3, ..., 1000, 0) = 20
 * `;
 * assertEquals(resultText(runScript("echo.pkt", script)), "PASS echo.pkt");
 *
 * const wrong = runScript("echo.pkt", script.replace("> udp (100)", "> udp (99)"));
 * assertEquals([wrong.result, wrong.line, wrong.error], ["fail", 5, "payload bytes 100, not 99"]);
 * ```
 *
 * @module
 */
export { CodeError, runCode, type Value } from "./code.ts";
export { Unsupported } from "./config.ts";
export type { Command } from "../cli/mod.ts";
export { findScripts, main, packetdrillCommand } from "./main.ts";
export { mutateScripts, type Mutation, type MutationOutcome, mutationsOf, mutationText } from "./mutate.ts";
export { DEFINES, parseScript } from "./parse.ts";
export {
  compare,
  type Comparison,
  comparisonText,
  parseReference,
  type ReferenceRow,
  type Report,
  report,
  resultText,
  totalText,
} from "./report.ts";
export { type RunOptions, runScript, type ScriptResult, type Verdict } from "./run.ts";
export * from "./script.ts";
export { type ControlMessage, SCRIPTED_TCP, type ScriptedTcp, type ScriptMsg, type TcpInfoRecord } from "./tcp_api.ts";
