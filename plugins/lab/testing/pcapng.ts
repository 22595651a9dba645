/**
 * What a lab has seen as a pcapng file for Wireshark: an interface per device; the reason of a drop is a comment on the
 * packet. draft-ietf-opsawg-pcapng, sections 4.1, 4.2 and 4.3.
 */
import { concatBytes, type NetDevice } from "../../../core/mod.ts";
import type { Seen } from "./record.ts";

const LINKTYPE_ETHERNET = 1;
const LINKTYPE_RAW = 101;
const SHB = 0x0a0d0d0a, IDB = 1, EPB = 6;
const OPT_COMMENT = 1, SHB_USERAPPL = 4, IF_NAME = 2, IF_TSRESOL = 9, EPB_FLAGS = 2, EPB_PACKETID = 5;
const NANOSECONDS = 9;

/**
 * The file. Each frame stands once, where it was sent (one that was injected: where it arrived), as a receiver's copy
 * would look like a retransmission to Wireshark. `epoch`: wall clock in ms at the machine's time 0.
 */
export function pcapngOf(
  seen: readonly Seen[],
  devices: ReadonlyMap<string, NetDevice>,
  epoch: number,
): Uint8Array<ArrayBuffer> {
  const names = [...devices.keys()];
  const parts = [block(SHB, [u32(0x1a2b3c4d, 1, 0xffffffff, 0xffffffff), option(SHB_USERAPPL, text("netpath"))])];
  for (const name of names) parts.push(interfaceBlock(name, devices.get(name)!));
  // A packet that met no device has an interface of its own.
  const homeless = seen.some((s) => s.direction === "drop" && s.link === "ip");
  if (homeless) parts.push(interfaceBlock("dropped", null));
  for (const { frame, comment } of framesOf(seen)) {
    const id = frame.direction === "drop" ? names.length : names.indexOf(`${frame.net}:${frame.dev}`);
    if (id >= 0) parts.push(packetBlock(id, frame, comment, epoch));
  }
  return concatBytes(parts);
}

/** What stands in the file, with comments. */
function framesOf(seen: readonly Seen[]): { frame: Seen; comment: string }[] {
  const sent = new Set<number>();
  const last = new Map<number, { frame: Seen; comment: string }>();
  const out: { frame: Seen; comment: string }[] = [];
  for (const frame of seen) {
    if (frame.direction === "in" && sent.has(frame.id)) continue;
    const before = last.get(frame.id);
    if (frame.direction === "drop") {
      const where = `dropped in ${frame.net}: ${frame.reason}`;
      if (before !== undefined) before.comment = before.comment === "" ? where : `${before.comment}; ${where}`;
      else if (frame.link === "ip") out.push({ frame, comment: where });
      continue;
    }
    if (frame.direction === "out") sent.add(frame.id);
    const entry = { frame, comment: "" };
    last.set(frame.id, entry);
    out.push(entry);
  }
  return out;
}

function interfaceBlock(name: string, dev: NetDevice | null): Uint8Array<ArrayBuffer> {
  const type = dev !== null && dev.headerOps.hardHeaderLen === 14 ? LINKTYPE_ETHERNET : LINKTYPE_RAW;
  const options = [option(IF_NAME, text(name)), option(IF_TSRESOL, Uint8Array.of(NANOSECONDS))];
  return block(IDB, [u32(type, 0), ...options]);
}

function packetBlock(id: number, frame: Seen, comment: string, epoch: number): Uint8Array<ArrayBuffer> {
  const ns = BigInt(Math.round(epoch)) * 1_000_000n + BigInt(Math.round(frame.time));
  const { bytes } = frame;
  const head = u32(id, Number(ns >> 32n), Number(ns & 0xffffffffn), bytes.length, bytes.length);
  const packetId = new DataView(new ArrayBuffer(8));
  packetId.setUint32(0, frame.id, true);
  return block(EPB, [
    head,
    padded(bytes),
    ...(comment === "" ? [] : [option(OPT_COMMENT, text(comment))]),
    option(EPB_FLAGS, u32(frame.direction === "in" ? 1 : 2)),
    option(EPB_PACKETID, new Uint8Array(packetId.buffer)),
  ]);
}

/** A block around its parts; options end by an empty one. */
function block(type: number, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = concatBytes([...parts, u32(0)]);
  const length = body.length + 12;
  return concatBytes([u32(type, length), body, u32(length)]);
}

function option(code: number, value: Uint8Array): Uint8Array<ArrayBuffer> {
  return concatBytes([u32((value.length << 16 | code) >>> 0), padded(value)]);
}

function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return concatBytes([bytes, new Uint8Array(-bytes.length & 3)]);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function u32(...words: number[]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(words.length * 4));
  words.forEach((w, i) => view.setUint32(i * 4, w, true));
  return new Uint8Array(view.buffer);
}
