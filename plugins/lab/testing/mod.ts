/**
 * A testing kit: your own code, or a plugin, against a network that exists only in the test. No root, no sockets of the
 * machine, no waiting: time is virtual, and the same seed gives the same bytes.
 *
 * - {@linkcode createLab}: hosts, switches and links; real sockets on them (`lab.host("a").connect(...)`).
 * - {@linkcode TestLab.inject} and {@linkcode TestLab.expectPacket}: packets as plain objects. In what is sent an unset field is
 *   filled in, checksums too; in what is expected it means: do not care.
 * - `advance`, `step`, `runUntilIdle`, {@linkcode TestLab.settle}: time.
 * - {@linkcode TestLab.fault}: drop, corrupt, duplicate, delay, at any stage; no memory; calls that fail.
 * - {@linkcode TestLab.assertPath}, {@linkcode TestLab.expectDrop}: the way of a packet, and why it ended.
 * - A test that fails leaves a pcapng file and the journey of every packet; the message says where.
 *
 * @example A retransmission, and what the application sees of it
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createLab } from "@netpath/stack/testing";
 *
 * using lab = createLab({ seed: 1 });
 * lab.link("client", "server", { delay: "5ms" });
 * await lab.run(async () => {
 *   const listener = lab.host("server").listen({ port: 80 });
 *   const client = await lab.host("client").connect({ hostname: "10.0.0.2", port: 80 });
 *   const server = await listener.accept();
 *
 *   // The first segment with data gets lost.
 *   using loss = lab.fault("server:eth0", "ingress", { match: { payload: "hello" }, times: 1 });
 *   await client.write(new TextEncoder().encode("hello"));
 *   await server.read(new Uint8Array(100));
 *   assertEquals(loss.hits, 1);
 *
 *   const sent = lab.packets("client:eth0", { tcp: { dport: 80 }, payload: "hello" });
 *   assertEquals(sent.length, 2);
 *   await lab.expectDrop("FAULT_INJECTED", { on: "server" });
 *   for (const each of [client, server, listener]) each.close();
 * });
 * ```
 *
 * @module
 */
export * from "../lab.ts";
export { sleep, virtualClock } from "../clock.ts";
export * from "./packet.ts";
export { buildPacket, replyTo } from "./build.ts";
export { packetText, type ReadOptions, readPacket } from "./read.ts";
export { differences, matches } from "./match.ts";
export { Fault, type FaultEffect, type FaultOptions, type FaultStage } from "./fault.ts";
export { type Artifacts, LabAssertionError } from "./failure.ts";
export { type PathStep } from "./path.ts";
export { Seen } from "./record.ts";
export {
  createLab,
  type ExpectDropOptions,
  type ExpectPacketOptions,
  TestLab,
  type TestLabOptions,
  type WaitOptions,
} from "./lab.ts";
