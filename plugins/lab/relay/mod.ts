/**
 * A relay: guests from outside join a switch over WebSocket or QEMU's stream socket, without root; a router behind it gives
 * them addresses (DHCP) and names (DNS), and leads to lab hosts, without NAT. `netpath relay` is this on the command line.
 *
 * ```text
 *   v86 ── WebSocket ──┐                         ┌── web.lab
 *   QEMU ── stream ────┤ switch ── router ── switch
 *   netpath ── either ─┘          DHCP, DNS      └── db.lab
 *                                     │
 *                   curl, fetch ── SOCKS5
 * ```
 *
 * The lab hosts may also be those of a lab file: {@linkcode relayLab}.
 *
 * Anybody who reaches a door is on the switch. So the doors listen on 127.0.0.1 unless told otherwise, and a page of
 * another site may not join (see {@linkcode WebSocketDoor.origins}).
 *
 * @example A guest in the same process
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine, realPlatform } from "@netpath/stack";
 * import { dhcpClient, leased } from "@netpath/stack/dhcp";
 * import { lookup, resolver } from "@netpath/stack/dns";
 * import { createRelay } from "@netpath/stack/relay";
 * import { portLink, streamDevice } from "@netpath/stack/stream";
 *
 * await using relay = createRelay();
 * relay.host("web");
 * using machine = new Machine({ platform: realPlatform() });
 * const guest = createHost({ machine, plugins: [dhcpClient({ dev: "eth0" }), resolver()] });
 * const { port1, port2 } = new MessageChannel();
 * relay.join(portLink(port1));
 * await using _ = streamDevice(guest.net, "eth0", portLink(port2));
 * const { address } = await leased(guest.net, "eth0");
 * assertEquals([address.startsWith("10.0.2."), await lookup(guest.net, "web.lab")], [true, "10.0.3.10"]);
 * assertEquals((await guest.ping("10.0.3.10")).ttl, 63);
 * ```
 *
 * @module
 */
export { relayCommand } from "./command.ts";
export type { GuestListener, QemuAddress, WebSocketDoor } from "./doors.ts";
export { type LabDoor, type LabRelay, relayLab } from "./lab_file.ts";
export { createRelay, type Guest, Relay, type RelayHostOptions, type RelayOptions } from "./relay.ts";
export { byteAt, serveWeb } from "./web.ts";
