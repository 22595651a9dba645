/**
 * A test that fails: what was seen is left in files, and the message says where.
 */
import type { Machine } from "../../../core/mod.ts";
import type { Journey } from "../../observe/journey/mod.ts";
import { pcapngOf } from "./pcapng.ts";
import type { Recorder } from "./record.ts";

/** What a failed test left. */
export interface Artifacts {
  /** Path of the capture, for Wireshark. */
  readonly pcapng: string;
  /** Path of the journey, for people. */
  readonly journey: string;
}

/** An expectation of a lab does not hold. */
export class LabAssertionError extends Error {
  /** The files that were left; null: there was no leave to write them. */
  readonly artifacts: Artifacts | null;

  /** An error about `message`. */
  constructor(message: string, artifacts: Artifacts | null) {
    super(message);
    this.name = "AssertionError";
    this.artifacts = artifacts;
  }
}

/**
 * Writes capture and journey into a new folder of `dir`, or of the system's folder for temporary files. Null where that
 * is not allowed: a failing test says so and fails for its own reason.
 */
export function leaveArtifacts(
  machine: Machine,
  recorder: Recorder,
  journey: Journey,
  dir: string | undefined,
): Artifacts | null {
  const { platform } = machine;
  const epoch = platform.wallClock() - platform.now() / 1e6;
  try {
    if (dir !== undefined) Deno.mkdirSync(dir, { recursive: true });
    const folder = Deno.makeTempDirSync({ prefix: "netpath-", ...(dir === undefined ? {} : { dir }) });
    const files = { pcapng: `${folder}/lab.pcapng`, journey: `${folder}/journey.txt` };
    Deno.writeFileSync(files.pcapng, pcapngOf(recorder.seen, recorder.devices, epoch));
    Deno.writeTextFileSync(files.journey, `${journey.render({ color: false })}\n${journey.ladder({ color: false })}\n`);
    return files;
  } catch {
    return null;
  }
}

/** The last lines of a message. */
export function artifactsText(artifacts: Artifacts | null): string {
  if (artifacts === null) return "\n\nno capture was left: it takes --allow-write";
  return `\n\ncapture: ${artifacts.pcapng}\njourney: ${artifacts.journey}`;
}

/** Adds lines to the message of an error, and to its stack, which is what test runners print. */
export function addToMessage(error: Error, text: string): void {
  const { message, stack } = error;
  error.message = message + text;
  if (stack?.includes(message)) error.stack = stack.replace(message, () => message + text);
}
