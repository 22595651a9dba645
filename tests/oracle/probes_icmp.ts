/** Probes of ICMP: messages received, errors received, path MTU, redirects. */

import {
  eth,
  icmp,
  icmpEcho,
  icmpError,
  type IcmpErrorFields,
  ipv4,
  type Ipv4Fields,
  pattern,
  udp,
  type UdpFields,
} from "../support/frames/build.ts";
import { HOST_MAC, ip, macOf, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

/** A datagram that the connected socket 4000 could have sent to 10.9.0.2:4001. */
function sent(fields: Partial<Ipv4Fields> = {}, ports: UdpFields = {}): Uint8Array {
  return ipv4(
    { src: "10.9.0.1", dst: "10.9.0.2", ...fields },
    udp({ sport: 4000, dport: 4001, ...ports }, "hello world"),
  ).subarray(0, 28);
}

function pingFrom(n: number, size: number): Uint8Array {
  const packet = ipv4({ src: `10.9.0.${n}`, dst: "10.9.0.1" }, icmpEcho({ id: n, seq: size }, pattern(size)));
  return eth({ dst: HOST_MAC, src: macOf(n) }, packet);
}

function messages(probes: Probes): void {
  const add = (note: string, bytes: Uint8Array) => probes.add(note, bytes);
  for (let type = 0; type < 20; type++) add(`type ${type}`, ip({}, icmp({ type, rest: 0x10002 }, pattern(12))));
  for (const type of [30, 37, 40, 41, 42, 43, 44, 100, 255]) {
    add(`type ${type}`, ip({}, icmp({ type, rest: 0x10002 }, pattern(12))));
  }
  for (const code of [1, 255]) add(`echo code ${code}`, ip({}, icmpEcho({ code }, "x")));
  add("echo, wrong checksum", ip({}, icmpEcho({ checksum: 1 }, "x")));
  for (const size of [0, 1, 1464, 1472, 1473, 1480, 3000, 8000, 65507]) {
    add(`echo ${size} bytes`, ip({}, icmpEcho({ id: 1 }, pattern(size))));
  }
  add("echo 1473 bytes DF", ip({ df: true }, icmpEcho({}, pattern(1473))));
  for (const length of [0, 3, 4, 8, 11, 12, 20]) {
    add(`timestamp, ${length} bytes`, ip({}, icmp({ type: 13, rest: 1 }, pattern(length))));
  }
  add("timestamp code 1", ip({}, icmp({ type: 13, code: 1, rest: 1 }, pattern(12))));
  add("7 bytes", ip({ proto: 1 }, [8, 0, 0xf7, 0xff, 0, 0, 0]));
  add("4 bytes", ip({ proto: 1 }, [8, 0, 0xf7, 0xff]));
  add("no bytes", ip({ proto: 1 }, []));
  for (const type of [8, 13, 17, 30]) {
    add(`type ${type} to broadcast`, ip({ dst: "10.9.0.255" }, icmp({ type }, pattern(12))));
  }
}

function errors(probes: Probes): void {
  const add = (note: string, fields: IcmpErrorFields, quoted: Uint8Array, outer: Partial<Ipv4Fields> = {}) =>
    probes.add(`error ${note}`, ip(outer, icmpError(fields, quoted)));
  for (let code = 0; code < 17; code++) if (code !== 4) add(`3/${code}`, { type: 3, code }, sent());
  add("3/255", { type: 3, code: 255 }, sent());
  for (const code of [0, 1, 2]) add(`11/${code}`, { type: 11, code }, sent());
  for (const code of [0, 1, 3]) add(`12/${code}`, { type: 12, code, pointer: 20 }, sent());
  add("4/0", { type: 4 }, sent());
  const port = { type: 3, code: 3 };
  for (const length of [0, 8, 19, 20, 24, 27, 28]) add(`quoting ${length} bytes`, port, sent().subarray(0, length));
  add("quoting version 6", port, sent({ version: 6 }));
  add("quoting ihl 4", port, sent({ ihl: 4 }));
  add("quoting ihl 6, short", port, sent({ ihl: 6 }));
  add("quoting a wrong checksum", port, sent({ checksum: 1 }));
  add("quoting a later fragment", port, sent({ offset: 8 }));
  add("quoting another's packet", port, sent({ src: "10.9.0.3" }));
  add("quoting our second address", port, sent({ src: "10.9.0.11" }));
  add("quoting another source port", port, sent({}, { sport: 4001 }));
  add("quoting another destination port", port, sent({}, { dport: 4444 }));
  add("quoting a broadcast", port, sent({ dst: "10.9.0.255" }));
  add("quoting protocol 99", { type: 3, code: 2 }, ipv4({ src: "10.9.0.1", dst: "10.9.0.2", proto: 99 }, pattern(8)));
  add("quoting an echo", { type: 3, code: 1 }, ipv4({ src: "10.9.0.1", dst: "10.9.0.2" }, icmpEcho({ id: 1 })));
  add("from someone else", port, sent(), { src: "8.8.8.8" });
  add("wrong checksum", { ...port, checksum: 5 }, sent());
  add("to broadcast", port, sent(), { dst: "10.9.0.255" });
}

function pathMtu(probes: Probes): void {
  const needed = (what: string, peer: number, mtu: number, quoted: Uint8Array) => {
    probes.add(
      `frag needed ${mtu} quoting ${what}`,
      ip({ src: "10.9.0.9" }, icmpError({ type: 3, code: 4, mtu }, quoted)),
    );
    probes.add(`echo 1472 from .${peer} after it`, pingFrom(peer, 1472));
  };
  const to = (peer: number, payload: Uint8Array, fields: Partial<Ipv4Fields> = {}) =>
    ipv4({ src: "10.9.0.1", dst: `10.9.0.${peer}`, ...fields }, payload);
  const reply = icmpEcho({ id: 1, reply: true });
  needed("an echo request", 3, 1000, to(3, icmpEcho({ id: 1 })));
  needed("an echo reply", 4, 1000, to(4, reply));
  needed("udp of nobody", 5, 1000, to(5, udp({ sport: 6666, dport: 7 }, "x")));
  needed("udp of an open socket", 5, 1100, to(5, udp({ sport: 4500, dport: 7 }, "x")));
  needed("protocol 99", 6, 1000, to(6, pattern(8), { proto: 99 }));
  needed("an echo reply, not ours", 7, 1000, to(7, reply, { src: "10.9.0.200" }));
  needed("an echo reply, more than before", 4, 1400, to(4, reply));
  needed("an echo reply", 4, 0, to(4, reply));
  needed("an echo reply", 8, 0, to(8, reply));
  needed("an echo reply", 7, 9000, to(7, reply));
  needed("an echo reply of our second address", 3, 1200, to(3, reply, { src: "10.9.0.11" }));
  needed("27 bytes", 6, 1200, to(6, reply).subarray(0, 27));
  needed("a timestamp reply", 6, 1200, to(6, icmp({ type: 14 }, pattern(12))));
  for (const mtu of [68, 500, 551, 552, 553]) needed("the connected socket", 2, mtu, sent());
}

function redirects(probes: Probes): void {
  const redirect = (note: string, code: number, gateway: string, host: string, from = "10.9.0.254") => {
    const quoted = ipv4({ src: "10.9.0.1", dst: host }, icmpEcho({ reply: true }));
    probes.add(`redirect ${note}`, ip({ src: from }, icmpError({ type: 5, code, gateway }, quoted)));
    probes.add(`echo from ${host} after it`, ip({ src: host }));
  };
  for (let code = 0; code < 6; code++) redirect(`code ${code}`, code, "10.9.0.9", `8.8.8.${code}`);
  redirect("from a stranger", 1, "10.9.0.9", "8.8.9.1", "10.9.0.3");
  redirect("to a gateway off the link", 1, "7.7.7.7", "8.8.9.2");
  redirect("to ourselves", 1, "10.9.0.1", "8.8.9.3");
  redirect("to an unresolved gateway", 1, "10.9.0.66", "8.8.9.4");
  redirect("to 0.0.0.0", 1, "0.0.0.0", "8.8.9.5");
  redirect("to multicast", 1, "224.0.0.1", "8.8.9.6");
  redirect("to broadcast", 1, "10.9.0.255", "8.8.9.7");
  redirect("to the same gateway", 1, "10.9.0.254", "8.8.9.8");
  redirect("of a host on the link whose path MTU is known", 1, "10.9.0.9", "10.9.0.5", "10.9.0.5");
  redirect("of a host on the link of which nothing is known", 1, "10.9.0.9", "10.9.0.8", "10.9.0.8");
  for (const length of [8, 12, 19]) {
    const quoted = ipv4({ src: "10.9.0.1", dst: "8.8.9.9" }, icmpEcho({ reply: true })).subarray(0, length);
    probes.add(
      `redirect quoting ${length} bytes`,
      ip({}, icmpError({ type: 5, code: 1, gateway: "10.9.0.9" }, quoted)),
    );
  }
}

/** ICMP. Path MTU and redirects last, since they change what comes after. */
export function icmpProbes(): Step[] {
  const probes = new Probes("probe icmp");
  messages(probes);
  errors(probes);
  pathMtu(probes);
  redirects(probes);
  return probes.steps;
}
