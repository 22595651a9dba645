/** What a lab file can say, beyond what examples/labs shows: each word does what it says. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { NETIF_F_GRO, NETIF_F_HW_CSUM, NETIF_F_SG, NETIF_F_TSO } from "../../../core/mod.ts";
import type { Nic } from "../../../plugins/device/nic/mod.ts";
import { LabFileError, type LabResult, type LoadedLab, loadLab } from "../../../plugins/lab/mod.ts";

const HERE = new URL(import.meta.url);

async function load(text: string): Promise<LoadedLab> {
  return await loadLab("lab.yaml", text, HERE);
}

async function run(text: string): Promise<LabResult> {
  using loaded = await load(text);
  const result = await loaded.run();
  assertEquals(result.errors, []);
  assertEquals(result.outcomes.filter((o) => !o.ok), []);
  return result;
}

async function refused(text: string, ...says: string[]): Promise<void> {
  const error = await assertRejects(() => load(text), LabFileError);
  assertEquals(error.message.split("\n"), says);
}

const PAIR = (a: string, b: string, rest = ""): string => `
hosts:
  a: { nics: { eth0: { addresses: [10.0.0.1/24], ${a} } } }
  b: { nics: { eth0: { addresses: [10.0.0.2/24], ${b} } } }
links: [[a:eth0, b:eth0]]
expect: [{ ping: { from: a, to: b } }]
${rest}`;

Deno.test("lab file: a NIC has the ring, MTU, address, moderation and offloads that it is given", async () => {
  using loaded = await load(PAIR(
    "mtu: 9000, macaddress: '02:00:00:00:00:aa', ring: { rx: 64, tx: 128 }, coalesce: { rx-usecs: 50, rx-frames: 8 }, " +
      "offloads: { sg: true, tx-checksum: true, rx-checksum: true, gso: true, gro: true }, queues: 4",
    "offloads: { tx-checksum: true, gso: true }, mtu: 9000",
    "cpus: 2",
  ));
  const dev = loaded.lab.host("a").link.get("eth0");
  const nic = dev.priv as Nic;
  assertEquals([dev.mtu, dev.address], [9000, "02:00:00:00:00:aa"]);
  assertEquals([nic.rings.rx, nic.rings.tx], [64, 128]);
  assertEquals([nic.channels.combined, loaded.lab.machine.cpus.length], [4, 2]);
  assertEquals(nic.queues.map((q) => q.rxIrq.cpu), [0, 1, 0, 1]);
  assertEquals([nic.rxIrq.coalesce.usecs, nic.rxIrq.coalesce.frames], [50, 8]);
  for (const bit of [NETIF_F_SG, NETIF_F_HW_CSUM, NETIF_F_TSO, NETIF_F_GRO]) {
    assert((dev.features & bit) !== 0, `${bit}`);
  }
  assertEquals((await loaded.run()).ok, true);
});

Deno.test("lab file: driver veth makes a pair that hands packets over without a copy, on links and on switches", async () => {
  using loaded = await load(PAIR("driver: veth, mtu: 1400", "driver: veth"));
  const result = await loaded.run();
  assertEquals(result.outcomes.map((o) => o.ok), [true]);
  const { lab } = loaded;
  assertEquals(lab.links.length, 0);
  assertEquals([lab.host("a").link.get("eth0").mtu, lab.host("b").link.get("eth0").mtu], [1400, 1500]);
  assertEquals(lab.machine.ledger.total("dma"), 0);

  await run(`
hosts:
  a: { nics: { eth0: { driver: veth, addresses: [10.0.0.1/24] } } }
  b: { nics: { eth0: { addresses: [10.0.0.2/24] } } }
switches: { sw: { ports: [a:eth0, { to: b:eth0, delay: 1ms }] } }
expect: [{ ping: { from: a, to: b, at-least: 2ms } }]`);
});

Deno.test("lab file: what a veth pair cannot do is said before anything runs", async () => {
  await refused(
    PAIR("driver: veth, ring: { rx: 64 }", "driver: nic"),
    "lab.yaml:3: hosts.a.nics.eth0.driver: b:eth0 is no veth: a pair is of two",
    "lab.yaml:3: hosts.a.nics.eth0.ring: a veth has none",
  );
  await refused(
    PAIR("driver: veth, offloads: { sg: true }", "driver: veth").replace(
      "links: [[a:eth0, b:eth0]]",
      "links:\n  - { endpoints: [a:eth0, b:eth0], delay: 1ms }",
    ),
    "lab.yaml:3: hosts.a.nics.eth0.offloads: a veth has all of sg, tx-checksum, rx-checksum, gso or none",
    "lab.yaml:6: links[0].delay: a veth pair has no wire that could do this; the driver nic has one",
  );
});

Deno.test("lab file: the plugin filter by name, with its rules; a drop by it is an expectation", async () => {
  const lab = (rules: string): string => `
hosts:
  a:
  b: { plugins: [{ use: filter, options: ${rules} }] }
links: [[a, b]]
stop: 10s
expect:
  - ping: { from: a, to: b, fails: true }
  - dropped: { on: b, reason: NETFILTER_DROP, at-least: 1 }
`;
  await run(lab("{ rules: [{ chain: input, protocol: icmp, verdict: drop }] }"));
  const error = await assertRejects(() => load(lab("{ rules: [{ chain: inptu, verdict: drop }] }")), LabFileError);
  assertStringIncludes(error.message, "lab.yaml:4: hosts.b.plugins[0]: ");
  assertStringIncludes(error.message, "inptu");
  await refused(
    "hosts:\n  a: { plugins: [{ use: vlan, options: { id: 3 } }] }\n",
    "lab.yaml:2: hosts.a.plugins[0]: vlan takes no options",
  );
});

Deno.test("lab file: a plugin may be a module of a registry; one that is no plugin, or cannot be loaded, is said to be so", async () => {
  // zod is a dependency of the package, so that this needs no network.
  await refused(
    "hosts:\n  a: { plugins: ['npm:zod@^4'] }\n",
    "lab.yaml:2: hosts.a.plugins[0]: npm:zod@^4 does not default-export a plugin, or a function that makes one",
  );
  // A package of no registry's form is refused without asking one.
  const error = await assertRejects(() => load("hosts:\n  a: { plugins: ['npm:@'] }\n"), LabFileError);
  assertStringIncludes(error.message, "lab.yaml:2: hosts.a.plugins[0]: cannot load npm:@: ");
});

Deno.test("lab file: the reason of an expected drop may be a plugin's own; an unknown one is said when all are there", async () => {
  const lab = (reason: string): string =>
    `hosts: { a: { plugins: [vlan] }, b: }\nlinks: [[a, b]]\nexpect: [{ dropped: { on: a, reason: ${reason}, at-least: 0 } }]\n`;
  await run(lab("TCP_CSUM"));
  await refused(
    lab("TCP_CSMU"),
    'lab.yaml:3: expect[0].dropped.reason: no drop reason "TCP_CSMU"; did you mean "TCP_CSUM"?',
  );
});

Deno.test("lab file: links lose, double, reorder, corrupt, limit, and change at their times", async () => {
  using loaded = await load(`
seed: 5
hosts: { a:, b: }
links:
  - endpoints: [a, b]
    delay: 5ms
    jitter: 2ms
    loss: 10%
    duplicate: 10%
    reorder: 10%
    corrupt: 5%
    rate: 10mbit
    limit: 50
    changes:
      - { at: 20s, loss: 0%, duplicate: 0%, corrupt: 0%, jitter: 0ms, reorder: 0%, delay: 50ms }
      - { at: 40s, up: false }
      - { at: 50s, up: true, gemodel: [100%, 0%] }
stop: 60s
expect:
  - throughput: { from: a, to: b, bytes: 300kb }
  - ping: { from: a, to: b, at: 25s, count: 5, at-least: 100ms, within: 101ms }
  - ping: { from: a, to: b, at: 41s, fails: true }
  - ping: { from: a, to: b, at: 51s, fails: true }
`);
  const result = await loaded.run();
  assertEquals(result.outcomes.filter((o) => !o.ok), []);
  const [there, back] = loaded.lab.links[0].wire.counters!;
  for (const key of ["lost", "duplicated", "reordered", "corrupted"] as const) assert(there[key] + back[key] > 0, key);
});

Deno.test("lab file: an application that starts later runs as a process, not inside the timer interrupt", async () => {
  using loaded = await load(`
hosts: { a: { apps: [{ app: ./app_context.ts, at: 1ms }] } }
`);
  const contexts: string[] = [];
  (globalThis as { labContexts?: string[] }).labContexts = contexts;
  try {
    assertEquals((await loaded.run()).errors, []);
  } finally {
    delete (globalThis as { labContexts?: string[] }).labContexts;
  }
  assertEquals(contexts, ["process at 1000000"]);
});
