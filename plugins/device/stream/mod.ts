/**
 * Frames over whatever carries bytes or messages: a way into a net without root and without a kernel's interface.
 *
 * | link | what is at the other end |
 * |---|---|
 * | {@linkcode qemuLink} | QEMU's `-netdev stream`, or another netpath: a byte stream with a length before each frame |
 * | {@linkcode webSocketLink} | v86 and its kin in a browser, a guest behind a proxy: a binary message a frame |
 * | {@linkcode portLink} | a worker: a message a frame |
 * | {@linkcode frameLink} | anything with a ReadableStream and a WritableStream: a chunk a frame |
 *
 * Both ways are bounded. What waits for the link fills a ring; a full one stops the transmit queue, so that the queue
 * discipline decides and TCP feels it. What comes fills another, which NAPI empties under its budget; while it is full the
 * link is not read. When the link ends, the carrier goes and all that waited is freed; the device stays until somebody
 * unregisters it.
 *
 * Machines with virtual time may use it for what is in the same process. A link to the outside takes real time: give the
 * machine {@linkcode realPlatform}, or hold the clock.
 *
 * @example Two hosts, and streams of this process between them
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine, realPlatform } from "@netpath/stack";
 * import { qemuLink, streamDevice } from "@netpath/stack/stream";
 *
 * using machine = new Machine({ platform: realPlatform() });
 * const [there, back] = [new TransformStream<Uint8Array>(), new TransformStream<Uint8Array>()];
 * const ends = [
 *   { readable: back.readable, writable: there.writable },
 *   { readable: there.readable, writable: back.writable },
 * ];
 * const [a, b] = ends.map((end, i) => {
 *   const host = createHost({ machine });
 *   streamDevice(host.net, "eth0", qemuLink(end));
 *   host.addr.add("eth0", `10.0.0.${i + 1}/24`);
 *   return host;
 * });
 * assertEquals((await a.ping("10.0.0.2")).ttl, 64);
 * assertEquals(b.net.device("eth0")!.stats.rxErrors, 0);
 * ```
 *
 * @module
 */
import { type Net, netdevOps, NETIF_F_SG } from "../../../core/mod.ts";
import { STREAM_MAX_MTU, type StreamDevice, type StreamLink, type StreamOptions } from "./contract.ts";
import { streamXmit } from "./output.ts";
import { Stream } from "./state.ts";

export * from "./contract.ts";
export { frameLink, portLink, type PortLinkOptions, qemuLink, webSocketLink } from "./links.ts";

/**
 * Adds a stream device to a net, up; its carrier comes when the other end is there. A taken name is a TypeError, a limit that
 * is none a RangeError.
 */
export function streamDevice(net: Net, name: string, link: StreamLink, options: StreamOptions = {}): StreamDevice {
  for (const what of ["rxLimit", "txLimit"] as const) {
    const value = options[what] ?? 1;
    if (Number.isInteger(value) && value >= 1) continue;
    throw new RangeError(`Cannot add stream device ${name}: ${what} ${value}, it takes a whole number from 1`);
  }
  let self: Stream | null = null;
  const dev = net.registerNetdevice(name, {
    ops: netdevOps({
      open: () => self!.open(),
      stop: () => self!.stop(),
      startXmit: (skb, _dev, more) => streamXmit(self!, skb, more),
    }),
    maxMtu: STREAM_MAX_MTU,
    features: NETIF_F_SG | (options.features ?? 0),
    ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
    ...(options.type === undefined ? {} : { type: options.type }),
    ...(options.address === undefined ? {} : { address: options.address }),
    ...(options.txQueueLen === undefined ? {} : { txQueueLen: options.txQueueLen }),
  });
  self = new Stream(net, dev, link, options);
  dev.open();
  self.begin();
  return self;
}
