/** Probes of forwarding, for a router between two devices. */

import {
  arp,
  BROADCAST_MAC,
  concat,
  eth,
  type EthFields,
  icmp,
  icmpEcho,
  icmpError,
  ipOption,
  ipv4,
  type Ipv4Fields,
  pattern,
  udp,
} from "../support/frames/build.ts";
import { HOST_MAC, HOSTS, LINK, macOf, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

function ping(size = 20): Uint8Array {
  return icmpEcho({ id: 1, seq: 1 }, pattern(size));
}

class RouterProbes extends Probes {
  #turn = 0;

  /**
   * A packet from one of eight hosts in turn to 10.20.0.5, with fields changed. The turns keep clear of the limit that Linux has per source on
   * 3/0, 3/1 and 3/13.
   */
  from(note: string, fields: Partial<Ipv4Fields>, payload: Uint8Array = ping(), link: EthFields = {}): void {
    const src = `10.9.0.${2 + (this.#turn++ % 8)}`;
    this.add(note, eth({ ...LINK, ...link }, ipv4({ src, dst: "10.20.0.5", id: 77, ...fields }, payload)));
  }
}

function basics(probes: RouterProbes): void {
  probes.from("forward", {});
  for (const ttl of [0, 1, 2]) probes.from(`ttl ${ttl}`, { ttl });
  probes.from("tos", { tos: 0x10 });
  probes.from("to a host on the link", { dst: "10.10.0.2" });
  probes.from("to an unresolved host", { dst: "10.10.0.77" });
  probes.from("back out of the same device", { dst: "10.9.0.9" });
  probes.from("in a broadcast frame", {}, ping(), { dst: BROADCAST_MAC });
  for (const dst of ["10.66.0.1", "10.67.0.1", "10.68.0.1", "99.9.9.9", "240.1.1.1", "0.0.0.1"]) {
    probes.from(`to ${dst}`, { dst });
  }
  for (const dst of ["10.10.0.255", "255.255.255.255", "10.10.0.1", "239.1.1.1"]) probes.from(`to ${dst}`, { dst });
  for (
    const src of [
      "10.10.0.9",
      "169.254.3.3",
      "0.0.0.0",
      "240.0.0.1",
      "10.9.0.255",
      "10.10.0.255",
      "10.10.0.1",
      "127.0.0.1",
    ]
  ) {
    probes.from(`from ${src}`, { src });
  }
  probes.from("wrong ICMP checksum", {}, icmp({ type: 8, checksum: 1 }, "x"));
}

function sizes(probes: RouterProbes): void {
  probes.from("DF, 1228 bytes, MTU 1000", { df: true }, ping(1200));
  probes.from("DF, 1000 bytes, MTU 1000", { df: true }, ping(972));
  probes.from("DF, 1001 bytes, MTU 1000", { df: true }, ping(973));
  probes.from("1228 bytes, MTU 1000", {}, ping(1200));
  probes.from("DF, 628 bytes, route MTU 600", { dst: "10.21.0.1", df: true }, ping(600));
  probes.from("DF, 590 bytes, route MTU 600", { dst: "10.21.0.1", df: true }, ping(562));
  probes.from("628 bytes, route MTU 600", { dst: "10.21.0.1" }, ping(600));
  probes.from("fragment", { mf: true }, ping());
  probes.from("fragment to be cut", { mf: true }, ping(1184));
  probes.from("fragment to be cut, DF", { mf: true, df: true }, ping(1184));
  probes.from("later fragment to be cut", { offset: 800, proto: 99 }, pattern(1300));
  probes.from("1228 bytes, ttl 1", { ttl: 1 }, ping(1200));
}

function errors(probes: RouterProbes): void {
  probes.from("ttl 1, first fragment", { mf: true, ttl: 1 });
  probes.from("ttl 1, later fragment", { offset: 64, ttl: 1 });
  probes.from("ttl 1, an ICMP error", { ttl: 1 }, icmpError({ type: 3 }, ipv4(HOSTS, udp({}))));
  probes.from("ttl 1, an echo reply", { ttl: 1 }, icmpEcho({ reply: true }));
  probes.from("ttl 1, ICMP type 30", { ttl: 1 }, icmp({ type: 30 }));
  probes.from("ttl 1, long", { ttl: 1 }, udp({}, pattern(1000)));
  probes.from("ttl 1, tos", { ttl: 1, tos: 0x13 });
  probes.from("ttl 1 and unreachable", { ttl: 1, dst: "10.66.0.1" });
  probes.from("ttl 1 and DF too long", { ttl: 1, df: true }, ping(1200));
  probes.from("ttl 1 in a broadcast frame", { ttl: 1 }, ping(), { dst: BROADCAST_MAC });
  probes.from("DF too long in a broadcast frame", { df: true }, ping(1200), { dst: BROADCAST_MAC });
}

function options(probes: RouterProbes): void {
  const { recordRoute, timestamp, routerAlert, strictRoute, looseRoute } = ipOption;
  const zeros = (n: number) => new Uint8Array(n);
  const list: Record<string, Uint8Array> = {
    "router alert": routerAlert(),
    "rr": recordRoute(3),
    "rr full": recordRoute(1, 8),
    "ts0": timestamp(0, zeros(16)),
    "ts0 full": timestamp(0, zeros(4), 9),
    "ts1": timestamp(1, zeros(16)),
    "ts3 both ours": timestamp(3, concat([10, 9, 0, 1], zeros(4), [10, 10, 0, 1], zeros(4))),
    "ts3 outgoing ours": timestamp(3, concat([10, 10, 0, 1], zeros(4))),
    "ssrr": strictRoute(["10.10.0.2"]),
    "lsrr exhausted": looseRoute(["10.10.0.2"], 8),
    "rr and ts1": concat(recordRoute(2), timestamp(1, zeros(8)), [1]),
    "unknown, copied and not": Uint8Array.of(0xe3, 4, 1, 2, 99, 4, 1, 2),
    "bad rr": Uint8Array.of(7, 2, 4, 0),
  };
  for (const [name, bytes] of Object.entries(list)) {
    probes.from(`${name}`, { options: bytes });
    probes.from(`${name}, ttl 1`, { options: bytes, ttl: 1 });
    probes.from(`${name}, cut`, { options: bytes }, ping(1200));
    probes.from(`${name}, DF too long`, { options: bytes, df: true }, ping(1200));
  }
  probes.from("router alert and ts0, cut", { options: concat(routerAlert(), timestamp(0, zeros(8))) }, ping(1200));
}

/** A path MTU that the router has learnt itself is not that of what it forwards, unless it was below min_pmtu. */
function learntMtu(probes: RouterProbes): void {
  const link = { dst: HOST_MAC, src: macOf(2) };
  const paths = [
    { mtu: 700, host: "10.20.9.1", sizes: [600, 690, 900] },
    { mtu: 500, host: "10.20.9.2", sizes: [480, 520, 560, 900] },
    { mtu: 580, host: "10.21.9.1", sizes: [570, 590, 700] },
  ];
  for (const { mtu, host, sizes } of paths) {
    const quoted = ipv4({ src: "10.9.0.1", dst: host }, icmpEcho({ reply: true }));
    const error = icmpError({ type: 3, code: 4, mtu }, quoted);
    probes.add(`path MTU ${mtu} to ${host}`, eth(link, ipv4({ src: "10.10.0.2", dst: "10.9.0.1" }, error)));
    for (const size of sizes) {
      for (const df of [false, true]) {
        const packet = ipv4({ src: "10.9.0.2", dst: host, df }, ping(size - 28));
        probes.add(`${size} bytes to ${host} after it${df ? ", DF" : ""}`, eth(link, packet));
      }
    }
  }
}

/** Forwarding. */
export function routerProbes(): Step[] {
  const probes = new RouterProbes("probe router");
  basics(probes);
  sizes(probes);
  errors(probes);
  options(probes);
  learntMtu(probes);
  const back = { dst: "02:00:00:00:0a:01", src: "02:00:00:00:0a:02" };
  const far = { src: "10.20.0.5", dst: "10.9.0.2" };
  probes.add("from the other side", eth(back, ipv4(far, ping())), 1);
  probes.add("from the other side, longer than its MTU", eth(back, ipv4(far, ping(1400))), 1);
  probes.add("from the other side to our first address", eth(back, ipv4({ ...far, dst: "10.9.0.1" }, ping())), 1);
  probes.add(
    "from the other side with a source of this",
    eth(back, ipv4({ src: "10.9.0.2", dst: "10.10.0.1" }, ping())),
    1,
  );
  const query = arp({ sha: back.src, spa: "10.10.0.2", tpa: "10.9.0.1" });
  probes.add("ARP there for our address here", eth({ dst: BROADCAST_MAC, src: back.src }, query), 1);
  const elsewhere = arp({ sha: macOf(2), spa: "10.9.0.2", tpa: "10.20.0.1" });
  probes.add("ARP here for a host there", eth({ dst: BROADCAST_MAC, src: macOf(2) }, elsewhere));
  probes.add(
    "echo to the router",
    eth({ ...LINK, dst: HOST_MAC }, ipv4({ src: "10.9.0.2", dst: "10.10.0.1" }, ping(1400))),
  );
  return probes.steps;
}
