/**
 * Where netpath's TCP is meant to answer otherwise than the kernel's: the list of FINDINGS.md, "Where netpath differs".
 *
 * @module
 */

import type { TcpMismatch } from "./tcp_compare.ts";

/** The reason why a difference is accepted, or undefined. */
export function accepted(mismatch: TcpMismatch): string | undefined {
  return crossedWithoutScaling(mismatch) ?? timestampOfOldAck(mismatch) ?? dataUnderOldAck(mismatch) ??
    dataBehindFin(mismatch);
}

/** A timestamp ahead by so much makes what follows too old, where it was taken; or behind one that is as far ahead. */
const FAR = 1000;
/** Half of all timestamps ahead: a step of one decides whether it is ahead or behind. */
const HALF = 0x80000000;

/** A segment with an ACK older than the last brings a newer timestamp: netpath echoes it, as later kernels do; 6.18 does not. */
function timestampOfOldAck({ case: { steps }, step, differences }: TcpMismatch): string | undefined {
  let newest = 0, stamped = false, edge = false;
  for (const one of steps.slice(0, step + 1)) {
    if (one.kind !== "segment" || !one.flags.includes("A") || /[SR]/.test(one.flags)) continue;
    const old = one.ack.off < 0 || one.ack.base === "una" || one.ack.base === "isn";
    for (const option of one.options) {
      if (option.kind === "ts" && Math.abs(Math.abs(option.val) - HALF) < FAR) edge = true;
      if (!old || option.kind !== "ts") continue;
      stamped = true;
      newest = Math.max(newest, Math.abs(option.val));
    }
  }
  const echoes = differences.every((text) => /^frame \d+\.options: .*ts ecr/.test(text));
  return newest > FAR || (stamped && (echoes || edge)) ? "the timestamp of a segment with an old ACK" : undefined;
}

/** Both SYNs crossed, and the peer's offered no window scaling: Linux answers with its own shift, and scales its windows. */
function crossedWithoutScaling({ case: { setup, steps }, differences }: TcpMismatch): string | undefined {
  const plain = steps.some((step) =>
    step.kind === "segment" && step.flags.includes("S") && !step.options.some(({ kind }) => kind === "wscale")
  );
  // Its identification is random, and 0 once in 65,536 times.
  const only = differences.every((text) =>
    /^frame \d+\.(options|window): |^frame \d+\.ip: "(.*)id0(.*)" \| "\2idn\3"$/.test(text)
  );
  return setup === "synSent" && plain && only
    ? "window scaling that the peer of a crossed open did not offer"
    : undefined;
}

/**
 * Data that the kernel's header prediction takes does not wait for the verdict on its ACK: with one that is too old it is queued all
 * the same, and the challenge ACK acknowledges it. netpath drops it, RFC 5961 section 5.2.
 */
function dataUnderOldAck({ case: { steps }, step, left, right, differences }: TcpMismatch): string | undefined {
  const one = steps[step];
  if (one?.kind !== "segment" || !/^P?A$/.test(one.flags) || one.length === 0) return undefined;
  const old = one.ack.off < 0 || one.ack.base === "isn";
  const [kernel, netpath] = [left?.frames ?? [], right?.frames ?? []];
  const challenged = kernel.length === 1 && netpath.length === 1 && kernel[0].flags === "A" && netpath[0].flags === "A";
  const more = challenged ? (kernel[0].ack.raw - netpath[0].ack.raw) | 0 : 0;
  // What is cut off by damage is not acknowledged.
  if (!old || (one.damage ? more <= 0 || more > one.length : more !== one.length)) return undefined;
  const only = differences.every((text) => /^frame 0\.(ack|window|options): /.test(text));
  return only ? "predicted data under an ACK that is too old" : undefined;
}

/**
 * What follows a FIN in the out-of-order queue, data or another FIN: Linux hangs it on the segment with the FIN, does not see that it
 * overlaps another, and lets the window grow; netpath queues it by itself, and tells the overlap by D-SACK.
 */
function dataBehindFin({ case: { steps }, step, left, right, differences }: TcpMismatch): string | undefined {
  const one = steps[step];
  const fin = steps.slice(0, step).some((before) => before.kind === "segment" && before.flags.includes("F"));
  if (one?.kind !== "segment" || !fin) return undefined;
  const blocks = (options: readonly string[] | undefined) => /sack ([\d ]+)/.exec(options?.join(",") ?? "")?.[1] ?? "";
  const [kernel, netpath] = [blocks(left?.frames[0]?.options), blocks(right?.frames[0]?.options)];
  const dsack = kernel !== "" && new RegExp(`^\\d+ \\d+ ${kernel}$`).test(netpath);
  const only = (field: string) => differences.every((text) => text.startsWith(`frame 0.${field}: `));
  const grew = kernel !== "" && one.flags.includes("F") && only("window") &&
    left!.frames[0].window > right!.frames[0].window;
  return (dsack && only("options")) || grew ? "data or a FIN behind a FIN out of order" : undefined;
}
