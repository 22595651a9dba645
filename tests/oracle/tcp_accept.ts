/**
 * Where netpath's TCP is meant to answer otherwise than the kernel's: the list of FINDINGS.md, "Where netpath differs".
 *
 * @module
 */

import type { TcpMismatch } from "./tcp_compare.ts";

/** The reason why a difference is accepted, or undefined. */
export function accepted(mismatch: TcpMismatch): string | undefined {
  return crossedWithoutScaling(mismatch) ?? timestampOfOldAck(mismatch);
}

/** A timestamp ahead by so much makes what follows too old, where it was taken. */
const FAR = 1000;

/** A segment with an ACK older than the last brings a newer timestamp: netpath echoes it, as later kernels do; 6.18 does not. */
function timestampOfOldAck({ case: { steps }, step, differences }: TcpMismatch): string | undefined {
  let newest = 0;
  for (const one of steps.slice(0, step + 1)) {
    if (one.kind !== "segment" || !one.flags.includes("A") || /[SR]/.test(one.flags)) continue;
    const old = one.ack.off < 0 || one.ack.base === "una" || one.ack.base === "isn";
    for (const option of one.options) if (old && option.kind === "ts") newest = Math.max(newest, option.val);
  }
  const echoes = differences.every((text) => /^frame \d+\.options: .*ts ecr/.test(text));
  return newest > FAR || (newest > 0 && echoes) ? "the timestamp of a segment with an old ACK" : undefined;
}

/** Both SYNs crossed, and the peer's offered no window scaling: Linux answers with its own shift, and scales its windows. */
function crossedWithoutScaling({ case: { setup, steps }, differences }: TcpMismatch): string | undefined {
  const plain = steps.some((step) =>
    step.kind === "segment" && step.flags.includes("S") && !step.options.some(({ kind }) => kind === "wscale")
  );
  const only = differences.every((text) => /^frame \d+\.(options|window): /.test(text));
  return setup === "synSent" && plain && only
    ? "window scaling that the peer of a crossed open did not offer"
    : undefined;
}
