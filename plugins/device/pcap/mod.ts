/**
 * Captures what a device receives and sends to a pcap file, for Wireshark and tests. Linux: a packet socket with
 * ETH_P_ALL. With virtual time the timestamps are virtual too: the same seed gives the same bytes.
 *
 * A frame that the device is to checksum or to segment is captured as the stack left it, as on Linux.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { channel } from "@netpath/stack/channel";
 * import { PcapBuffer, pcapTap, readPcap } from "@netpath/stack/pcap";
 *
 * const ch = channel(new Machine().createNet(), "ch0");
 * const capture = new PcapBuffer();
 * {
 *   using _tap = pcapTap(ch.dev, capture);
 *   ch.inject(Uint8Array.of(0x45, 0, 0, 20));
 * }
 * const [frame] = readPcap(capture.bytes()).frames;
 * assertEquals([...frame.bytes], [0x45, 0, 0, 20]);
 * ```
 *
 * @module
 */
import type { NetDevice } from "../../../core/mod.ts";
import type { PcapOptions, PcapSink } from "./contract.ts";
import { PcapTap } from "./output.ts";

export * from "./contract.ts";
export * from "./file.ts";
export * from "./header.ts";
export { readPcapng } from "./ng.ts";
export { pcapReplay } from "./replay.ts";

/** Starts a capture of both directions; dispose it to end it. */
export function pcapTap(dev: NetDevice, sink: PcapSink, options: PcapOptions = {}): PcapTap {
  return new PcapTap(dev, sink, options);
}
