/**
 * Labs that are large, and labs that are slow in virtual time alone: the cost of a packet does not grow with the hosts, and
 * waiting costs nothing.
 */
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { type LoadedLab, loadLab } from "../../../plugins/lab/mod.ts";
import { flows } from "./app_flows.ts";

const HERE = new URL(import.meta.url);
const LINK = "delay: 2ms, jitter: 500us, loss: 1%, rate: 1gbit, limit: 20000";
const RING = "ring: { rx: 64, tx: 64 }";
const ROUTERS = 10;
const HOSTS = 10; // a router
const FLOWS = 10; // a host
const BYTES = 12_000;

interface Many {
  to: readonly string[];
  atOnce: number;
  start: number;
}

function app({ to, atOnce, start }: Many): string {
  const options = { port: 5001, to, bytes: BYTES, atOnce, start };
  return `apps: [{ app: ./app_flows.ts, options: ${JSON.stringify(options)} }]`;
}

/** 100 hosts behind 10 routers that are joined by a switch; from each host 10 flows to others, all links lossy. */
function hundredHosts(): string {
  let state = 12345;
  const random = (n: number): number =>
    Math.floor((state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32 * n);
  const ip = (router: number, host: number): string => `10.${router}.${host}.2`;
  const numbers = (n: number): number[] => [...Array(n).keys()];
  const hosts: string[] = [];
  const links: string[] = [];
  for (const r of numbers(ROUTERS)) {
    const nics = numbers(HOSTS).map((h) => `eth${h}: { addresses: [10.${r}.${h}.1/24], ${RING} }`);
    nics.push(`up: { addresses: [10.100.0.${r + 1}/24], ${RING} }`);
    const others = numbers(ROUTERS).filter((q) => q !== r);
    const routes = others.map((q) => `{ to: 10.${q}.0.0/16, via: 10.100.0.${q + 1} }`);
    hosts.push(`  r${r}: { forwarding: true, nics: { ${nics.join(", ")} }, routes: [${routes.join(", ")}] }`);
    for (const h of numbers(HOSTS)) {
      const to = Array.from({ length: FLOWS }, () => ip(others[random(ROUTERS - 1)], random(HOSTS)));
      hosts.push(
        `  h${r}x${h}: { nics: { eth0: { addresses: [${ip(r, h)}/24], ${RING} } }, ` +
          `routes: [{ to: default, via: 10.${r}.${h}.1 }], ${app({ to, atOnce: 5, start: random(50) })} }`,
      );
      links.push(`  - { endpoints: [h${r}x${h}:eth0, r${r}:eth${h}], ${LINK} }`);
    }
  }
  const ports = numbers(ROUTERS).map((r) => `{ to: r${r}:up, ${LINK} }`);
  const captures = numbers(ROUTERS).map((r) => `{ on: r${r}:up, file: r${r}.pcap }`);
  return `seed: 7\nhosts:\n${hosts.join("\n")}\nlinks:\n${links.join("\n")}\n` +
    `switches: { backbone: { ports: [${ports.join(", ")}] } }\ncaptures: [${captures.join(", ")}]\n`;
}

/** The same number of flows, as many at once, between two hosts on one link. */
function twoHosts(): string {
  const half = ROUTERS * HOSTS * FLOWS / 2;
  const host = (name: string, own: string, peer: string): string =>
    `  ${name}: { nics: { eth0: { addresses: [${own}/24], ${RING} } }, ` +
    `${app({ to: Array(half).fill(peer), atOnce: ROUTERS * HOSTS * 5 / 2, start: 0 })} }`;
  return `seed: 7\nhosts:\n${host("a", "10.0.0.1", "10.0.0.2")}\n${host("b", "10.0.0.2", "10.0.0.1")}\n` +
    `links:\n  - { endpoints: [a:eth0, b:eth0], ${LINK} }\ncaptures: [{ on: a:eth0, file: a.pcap }]\n`;
}

function packetsOf({ lab }: LoadedLab): number {
  const nets = [...lab.hosts.values(), ...lab.switches.values()].map((h) => h.net);
  return nets.flatMap((net) => net.devices).filter((d) => d.name !== "lo").reduce((n, d) => n + d.stats.rxPackets, 0);
}

interface Run {
  /** Nanoseconds of CPU per frame that a NIC received, between the 300th flow and the 850th: nothing starts, none ends. */
  cost: number;
  packets: number;
  timeNs: number;
  digests: string[];
}

async function runLab(text: string): Promise<Run> {
  Object.assign(flows, { sent: 0, received: 0, wrong: 0 });
  using loaded = await loadLab("lab.yaml", text, HERE);
  const marks: { cpu: number; packets: number }[] = [];
  flows.onSent = (sent) => {
    if (sent !== 300 && sent !== 850) return;
    const { user, system } = process.cpuUsage();
    marks.push({ cpu: (user + system) * 1000, packets: packetsOf(loaded) });
  };
  const result = await loaded.run();
  // At once: the lab goes on while it lives.
  const packets = packetsOf(loaded);
  flows.onSent = null;
  assertEquals(result.errors, []);
  assertEquals([flows.sent, flows.received, flows.wrong], [1000, 1000 * BYTES, 0]);
  const digests = await Promise.all([...result.captures.values()].map(async (bytes) => {
    assert(bytes.length > 10_000);
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  }));
  const [from, to] = marks;
  const cost = (to.cpu - from.cpu) / (to.packets - from.packets);
  return { cost, packets, timeNs: result.timeNs, digests };
}

Deno.test("labs: 100 hosts, 10 routers, 1,000 flows over lossy links: the same twice, and a packet costs at most 1.3 times what it does between two hosts", async () => {
  const big: Run[] = [];
  const small: Run[] = [];
  const least = (runs: readonly Run[]): number => Math.min(...runs.map((r) => r.cost));
  // The least of several: what else the machine does only ever adds.
  for (let round = 0; round < 6; round++) {
    small.push(await runLab(twoHosts()));
    big.push(await runLab(hundredHosts()));
    if (round > 0 && least(big) <= 1.3 * least(small)) break;
  }
  for (const runs of [small, big]) {
    for (const { packets, timeNs, digests } of runs) {
      assertEquals({ packets, timeNs, digests }, {
        packets: runs[0].packets,
        timeNs: runs[0].timeNs,
        digests: runs[0].digests,
      });
    }
  }
  assert(big[0].packets > 80_000, `${big[0].packets}`);
  const ratio = least(big) / least(small);
  assert(ratio <= 1.3, `${least(big).toFixed(0)} ns a packet, between two hosts ${least(small).toFixed(0)}: ${ratio}`);
});

Deno.test("labs: a service behind 10 % loss and 200 ms delay answers 50 requests in under 1 s of wall time, the same every time", async () => {
  const lab = `
seed: 3
hosts: { client: , server: { apps: [./app_service.ts] } }
links: [{ endpoints: [client, server], delay: 200ms, loss: 10% }]
captures: [{ on: client:eth0, file: client.pcap }]
expect: [{ http: { from: client, url: "http://server/", count: 50, body: "answer 50" } }]
`;
  const seen: unknown[] = [];
  let fastest = Infinity;
  for (let round = 0; round < 3; round++) {
    using loaded = await loadLab("lab.yaml", lab, HERE);
    const start = performance.now();
    const result = await loaded.run();
    fastest = Math.min(fastest, performance.now() - start);
    assertEquals([result.errors, result.outcomes.map((o) => o.ok)], [[], [true]], JSON.stringify(result.outcomes));
    // Each waits for at least a handshake, a request, an answer and their losses.
    assert(result.timeNs > 50 * 800e6);
    const [capture] = result.captures.values();
    seen.push([result.timeNs, new Uint8Array(await crypto.subtle.digest("SHA-256", capture)).toHex()]);
  }
  assertEquals(seen, [seen[0], seen[0], seen[0]]);
  assert(fastest < 1000, `${fastest} ms`);
});
