/** How one event is told to a reader. */
import type { JourneyRecord } from "./contract.ts";

/** How one event is told. */
export interface Step {
  /** The sentence. */
  readonly text: (r: JourneyRecord) => string;
  /** `down`: towards the wire; `up`: towards the reader; `machine`: neither. */
  readonly way: "down" | "up" | "machine";
  /** Numbers of claims. */
  readonly claims: readonly string[];
  /** It has no packet and belongs to the packet that follows. */
  readonly begins?: boolean;
  /** A remark by name. */
  readonly remark?: string;
}

/** A {@linkcode Step}; `claims` is a list with blanks between. */
export function row(
  way: Step["way"],
  claims: string,
  text: string | ((r: JourneyRecord) => string),
  more: { begins?: boolean; remark?: string } = {},
): Step {
  return {
    text: typeof text === "string" ? () => text : text,
    way,
    claims: claims === "" ? [] : claims.split(" "),
    ...more,
  };
}
